#include "runtime/observing.h"

#include "base/log.h"
#include "runtime/runtime.h"

namespace choir {

Observer::~Observer() = default;
void Observer::on_request_ended(const RequestEnded&) {}
void Observer::on_step(const StepDone&) {}
void Observer::on_load(const LoadDone&) {}
void Observer::on_left(const ExecutorLeft&) {}

void Observing::complain(const Error& error) const {
  if (!complained_.exchange(true))
    log(LogLevel::kError, "the observer threw (told once): " + error.message);
}

void Runtime::tell_ended(const RequestState& request, const Completion& completion) const {
  observing_.tell([&](Observer& observer) {
    observer.on_request_ended(
        {.id = request.id,
         .executor = completion.executor,
         .tenant = request.tenant,
         .priority = request.priority,
         .finish = completion.finish,
         .error = completion.error ? std::optional(completion.error->code) : std::nullopt,
         .usage = completion.usage});
  });
}

void Runtime::tell_left(const std::string& executor, ExecutorLeft::Why why) const {
  observing_.tell(
      [&](Observer& observer) { observer.on_left({.executor = executor, .why = why}); });
}

Result<std::shared_ptr<Executor>> Runtime::make_executor(const Row& row) {
  const Instant began = clock_.now();
  auto made = make_it(row);
  observing_.tell([&](Observer& observer) {
    observer.on_load({.executor = row.config.name,
                      .seconds = to_seconds(clock_.now() - began),
                      .error = made ? nullptr : &made.error()});
  });
  return made;
}

}  // namespace choir
