#include "runtime/pass_control.h"

#include <algorithm>

namespace choir {

void PassControl::interrupt(RequestId request) {
  pass_.with([&](const Pass& pass) {
    if (std::ranges::find(pass.prefilling, request) != pass.prefilling.end()) abort_.raise();
  });
}

void PassControl::preempt() {
  cut_asked_.store(true);
  pass_.with([&](Pass& pass) { cut_short(pass); });
}

void PassControl::cut_short(Pass& pass) {
  if (pass.prefilling.empty() || pass.immune) return;
  pass.preempted = true;
  abort_.raise();
}

// Tells the other threads which prompts are in the pass before it looks at their wishes a last
// time: a cancel or an arrival that comes later finds the list, one that came earlier is seen here.
void PassControl::begin(std::span<const RequestState* const> prompts) {
  Instant deadline;
  bool cancelled = false;
  abort_.reset();
  pass_.with([&](Pass& pass) {
    pass.prefilling.clear();
    pass.preempted = false;
    for (const RequestState* request : prompts) pass.prefilling.push_back(request->id);
    if (cut_asked_.load() || urgent_mail_.load() > 0) cut_short(pass);
  });
  for (const RequestState* request : prompts) {
    cancelled = cancelled || request->cancelled.load();
    if (request->deadline != Instant{} && (deadline == Instant{} || request->deadline < deadline))
      deadline = request->deadline;
  }
  abort_.set_deadline(deadline);
  if (cancelled) abort_.raise();
}

void PassControl::end(Ended how) {
  pass_.with([&](Pass& pass) {
    pass.prefilling.clear();
    pass.immune = how == Ended::kAborted && pass.preempted;
  });
}

}  // namespace choir
