#include "runtime/background.h"

#include <utility>

#include "base/log.h"

namespace choir {

// One for loads, of which there is one at a time, and one for prompts meanwhile.
Status Background::start() {
  workers_ = CHOIR_TRY(Workers::start({.threads = 2}));
  return {};
}

void Background::post(Workers::Key key, std::function<void()> work) {
  if (!workers_) return waiting_.with([&](auto& waiting) { waiting.push_back(std::move(work)); });
  if (const Status posted = workers_->post(key, std::move(work)); !posted)
    log(LogLevel::kError, "background work was refused: " + posted.error().message);
}

void Background::run_here() {
  for (;;) {
    const auto work = waiting_.with([](auto& waiting) {
      std::function<void()> next;
      if (!waiting.empty()) {
        next = std::move(waiting.front());
        waiting.pop_front();
      }
      return next;
    });
    if (!work) return;
    work();
  }
}

}  // namespace choir
