#include "runtime/observing.h"

#include "base/log.h"
#include "runtime/request_state.h"

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

void Observing::ended(const RequestState& request, const Completion& completion) const {
  tell([&](Observer& observer) {
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

void Observing::left(const std::string& executor, ExecutorLeft::Why why) const {
  tell([&](Observer& observer) { observer.on_left({.executor = executor, .why = why}); });
}

void Observing::loaded(const std::string& executor, double seconds, const Error* error) const {
  tell([&](Observer& observer) {
    observer.on_load({.executor = executor, .seconds = seconds, .error = error});
  });
}

}  // namespace choir
