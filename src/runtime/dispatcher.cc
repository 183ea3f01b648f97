#include "runtime/dispatcher.h"

#include <exception>
#include <future>
#include <optional>
#include <utility>

#include "base/log.h"
#include "base/process_exit.h"

namespace choir {
namespace {

// What user code throws stays with it; the node goes on.
template <class F>
void call_user(F&& call) {
  if (exit_phase() == ExitPhase::kOver) return;
  try {
    call();
  } catch (const std::exception& error) {
    log(LogLevel::kError, std::string("a callback threw: ") + error.what());
  } catch (...) {
    log(LogLevel::kError, "a callback threw something that is not a std::exception");
  }
}

// What a callback captured ends here.
template <class Callback>
void end_here(Callback callback) {
  if (exit_phase() == ExitPhase::kOver) keep_for_ever(new auto(std::move(callback)));
}

}  // namespace

Dispatcher::Dispatcher()
    : service_("dispatcher",
               [](Requests& requests, Nanos&) -> std::optional<std::shared_ptr<RequestState>> {
                 if (requests.empty()) return std::nullopt;
                 auto next = std::move(requests.front());
                 requests.pop_front();
                 return next;
               }) {}

Dispatcher::~Dispatcher() { stop(); }

void Dispatcher::start(int threads) {
  service_.start_each(threads, [this] {
    become_callback_thread();
    return [this, piece = StreamPiece()](const std::shared_ptr<RequestState>& request) mutable {
      deliver(request, piece);
    };
  });
}

void Dispatcher::stop() { service_.stop(Left::kCarriedOut); }

void Dispatcher::stop_until(const Clock& clock, Instant end) { service_.stop_until(clock, end); }

void Dispatcher::notify(std::shared_ptr<RequestState> request) {
  if (!request->claim_dispatch()) return;
  try {
    service_.change([&](Requests& requests) { requests.push_back(request); });
  } catch (...) {  // else nobody could hand it over later
    request->release_dispatch();
    throw;
  }
}

bool Dispatcher::run_here() {
  StreamPiece piece;
  return service_.run_here(
      [&](const std::shared_ptr<RequestState>& request) { deliver(request, piece); });
}

// The end is taken first: the text that is there then is all that there is.
void Dispatcher::deliver(const std::shared_ptr<RequestState>& request, StreamPiece& piece) {
  std::optional<Completion> end = request->take_end();
  const Callbacks& callbacks = request->callbacks;
  if (callbacks.on_event) {
    const RequestState::Taken taken = request->take(piece);
    if (taken.any)
      call_user([&] { callbacks.on_event({request->id, piece.text, taken.output_tokens}); });
  } else if (callbacks.on_news && request->announce()) {
    call_user([&] { callbacks.on_news(request->id); });
  }
  if (end && request->before_end) return begin_end(request, std::move(*end));
  if (end) return tell_end(*request, std::move(*end));
  if (!request->pulled) tell_drained(*request);
  request->release_dispatch();
  // What came between take() and release was not announced: its notify() found the claim taken.
  if (request->has_news()) notify(request);
}

// The request stays claimed: no other thread puts it into the queue until this has been told. The
// queue outlives the node, which may end before the thread that tells is done with it.
void Dispatcher::begin_end(const std::shared_ptr<RequestState>& request, Completion completion) {
  const auto end = std::make_shared<Completion>(std::move(completion));
  const BeforeEnd before_end = std::exchange(request->before_end, nullptr);
  before_end(end, [queue = service_.queue(), request, end] {
    request->put_back(std::move(*end));
    queue.change([&](Requests& requests) { requests.push_back(request); });
  });
}

void Dispatcher::tell_end(RequestState& request, Completion completion) {
  Callbacks& callbacks = request.callbacks;
  if (callbacks.on_done) call_user([&] { callbacks.on_done(completion); });
  end_here(std::exchange(callbacks.on_event, nullptr));
  end_here(std::exchange(callbacks.on_done, nullptr));
  // The node forgets the request first: a caller that waits on the future may ask the node about
  // it.
  request.place().home->with([&](RequestHome& home) { home.ended(request, completion); });
  if (callbacks.on_settled) call_user([&] { callbacks.on_settled(completion); });
  end_here(std::exchange(callbacks.on_settled, nullptr));
  if (request.pulled && request.give_end(completion))
    call_user([&] { callbacks.on_news(request.id); });
  end_here(std::exchange(callbacks.on_news, nullptr));
  request.give_result(std::move(completion));
}

}  // namespace choir
