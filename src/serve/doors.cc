#include "serve/doors.h"

namespace choir::serve {
namespace {

constexpr int kQuick = 2;  // a long prompt does not hold up all others
constexpr std::size_t kWaitingMax = 4096;
constexpr int kSlow = 1;  // one model is looked at after another
constexpr std::size_t kSlowWaitingMax = 1024;

}  // namespace

Result<std::unique_ptr<Doors>> Doors::create() {
  auto quick =
      CHOIR_TRY(Workers::start({.threads = kQuick, .at_once = kQuick, .waiting_max = kWaitingMax}));
  auto slow = CHOIR_TRY(
      Workers::start({.threads = kSlow, .at_once = kSlow, .waiting_max = kSlowWaitingMax}));
  return std::unique_ptr<Doors>(new Doors(std::move(quick), std::move(slow)));
}

}  // namespace choir::serve
