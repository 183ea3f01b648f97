#include "serve/doors.h"

#include <utility>

namespace choir::serve {
namespace {

constexpr int kQuick = 2;  // a long prompt does not hold up all others
constexpr std::size_t kWaitingMax = 4096;
constexpr int kSlow = 4;  // one for each door: of each one piece of work follows another
constexpr std::size_t kSlowWaitingMax = 1024;

}  // namespace

Result<std::unique_ptr<Doors>> Doors::create() {
  auto quick =
      CHOIR_TRY(Workers::start({.threads = kQuick, .at_once = kQuick, .waiting_max = kWaitingMax}));
  auto slow = CHOIR_TRY(Workers::start({.threads = kSlow, .waiting_max = kSlowWaitingMax}));
  return std::unique_ptr<Doors>(new Doors(std::move(quick), std::move(slow)));
}

Status Doors::post_to(Door door, std::function<void()> work) {
  Workers& workers = door == Door::kQuick ? *quick_ : *slow_;
  // Not kNoKey, of which any amount may wait.
  return workers.post(static_cast<Workers::Key>(door) + 1, std::move(work));
}

}  // namespace choir::serve
