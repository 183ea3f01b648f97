#include "runtime/background.h"

#include <utility>

#include "base/log.h"

namespace choir {

Status Background::start() {
  workers_ = CHOIR_TRY(Workers::start(kThreads));
  return {};
}

void Background::post(Workers::Key key, std::function<void()> work) {
  if (!workers_) return;  // the node has ended
  if (const Status posted = workers_->post(key, std::move(work)); !posted)
    log(LogLevel::kError, "background work was refused: " + posted.error().message);
}

}  // namespace choir
