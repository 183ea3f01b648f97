// The border of parallel/parallel_llm_execution.h: nothing that is thrown inside crosses it. It
// becomes the error of the call, which lastError() tells, and the call answers as it does when it
// fails.
//
// `inside` is whatever has report(call, status): it keeps the error and says whether all was well.
#pragma once

#include <atomic>
#include <future>
#include <memory>
#include <type_traits>
#include <utility>

#include "base/caught.h"

namespace choir::parallel {

// For calls that answer whether they were carried out. `work` returns a Status.
template <class Inside, class F>
bool done(const Inside& inside, const char* call, F&& work) {
  return inside.report(call, caught(std::forward<F>(work)));
}

// For calls that answer with a value; an empty one where they fail. `work` returns a value or the
// Result of one.
template <class Inside, class F>
auto told(const Inside& inside, const char* call, F&& work) {
  using Answer = std::invoke_result_t<F>;
  constexpr bool kCanFail = requires(Answer a) { a.error(); };
  if constexpr (kCanFail) {
    auto answer = caught(std::forward<F>(work));
    if (answer) return std::move(*answer);
    (void)inside.report(call, tl::unexpected(answer.error()));
    return typename Answer::value_type{};
  } else {
    auto answer = caught([&]() -> Result<Answer> { return std::forward<F>(work)(); });
    if (answer) return std::move(*answer);
    (void)inside.report(call, tl::unexpected(answer.error()));
    return Answer{};
  }
}

// For calls that answer later. `start` takes the function that gives the answer. Where it throws,
// `refused(Error)` is the answer; one that comes after that is dropped. So the future is always
// ready in the end, and never with an exception.
template <class Answer, class Inside, class Start, class Refused>
std::future<Answer> told_later(const Inside& inside, const char* call, Start&& start,
                               Refused&& refused) {
  struct Given {
    std::promise<Answer> promise;
    std::atomic<bool> done{false};
    void give(Answer answer) {
      if (!done.exchange(true)) promise.set_value(std::move(answer));
    }
  };
  const auto given = std::make_shared<Given>();
  auto future = given->promise.get_future();
  const Status begun = caught([&] {
    std::forward<Start>(start)([given](Answer answer) { given->give(std::move(answer)); });
  });
  if (!inside.report(call, begun)) given->give(refused(begun.error()));
  return future;
}

// For calls that answer with nothing, and for destructors.
template <class Inside, class F>
void carried_out(const Inside& inside, const char* call, F&& work) {
  (void)done(inside, call, [&]() -> Status {
    std::forward<F>(work)();
    return {};
  });
}

}  // namespace choir::parallel
