#include "serve/timeouts.h"

namespace choir::serve {
namespace {

bool too_slow(Nanos lasts, std::size_t bytes, const Timeouts& timeouts) {
  if (lasts > timeouts.body) return true;
  return lasts > timeouts.body_grace &&
         static_cast<double>(bytes) <
             static_cast<double>(timeouts.body_bytes_per_second) * to_seconds(lasts);
}

}  // namespace

Overdue overdue(Phase phase, Nanos lasts, std::size_t bytes, const Timeouts& timeouts) {
  switch (phase) {
    case Phase::kIdle:
      return lasts > timeouts.idle ? Overdue::kClose : Overdue::kNo;
    case Phase::kHead:
      return lasts > timeouts.head ? Overdue::kTooSlow : Overdue::kNo;
    case Phase::kBody:
      return too_slow(lasts, bytes, timeouts) ? Overdue::kTooSlow : Overdue::kNo;
    case Phase::kWork:
      return Overdue::kNo;
    case Phase::kSending:
      return lasts > timeouts.stalled ? Overdue::kStalled : Overdue::kNo;
    case Phase::kLinger:
      return lasts > timeouts.linger ? Overdue::kClose : Overdue::kNo;
  }
  return Overdue::kNo;
}

}  // namespace choir::serve
