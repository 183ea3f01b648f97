// How exchanges and connections end.
#include <string>
#include <utility>

#include "serve/connection.h"

namespace choir::serve {

using boost::system::error_code;

// Shows the client the end, and reads what it still sends: closing at once would make its machine
// throw the reply away.
void Connection::linger() {
  error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  enter(Phase::kLinger);
  in_.clear();
  wait_for_bytes();
}

void Connection::tell_exchange() {
  if (!exchange_) return;
  look_at_clock();  // it is told how long the handling took, too
  exchange_->seconds = to_seconds(now_ - began_);
  if (work_) exchange_->facts = work_->facts();
  host_.exchanged(key_, *std::exchange(exchange_, std::nullopt));
}

void Connection::look_at_time(const Timeouts& timeouts) {
  look_at_clock();
  // A socket may say only after many small reads of its client that it has room.
  if (phase_ == Phase::kSending) send();
  if (closed_) return;
  const Nanos lasts = now_ - since_;
  switch (overdue(phase_, lasts, body_bytes_, timeouts)) {
    case Overdue::kClose:
    case Overdue::kStalled:
      end(kClientGone);
      return;
    case Overdue::kTooSlow:
      refuse({408, "the request came too slowly"});
      return;
    case Overdue::kNo:
      break;
  }
  if (phase_ != Phase::kWork || !work_ || ended_) return;
  Output output = work_->silence(lasts);
  if (!output.empty()) handle(std::move(output));
}

void Connection::end_when_idle() {
  if (phase_ == Phase::kIdle) close();
}

void Connection::cut_short(const Refusal& why) {
  look_at_clock();
  const bool answers = phase_ == Phase::kWork || phase_ == Phase::kSending;
  if (closed_ || phase_ == Phase::kLinger || (answers && ended_)) return;
  if (phase_ == Phase::kIdle) {
    close();
    return;
  }
  if (!answers) {
    refuse(why);
    return;
  }
  keep_alive_ = false;
  exchange_->status = why.status;
  Output last = work_->cut_short(why);
  if (!last.empty()) {
    last.end = true;
    handle(std::move(last));
  } else if (!head_sent_) {
    exchange_->facts = work_->facts();
    refuse(why);
  } else {
    close();
  }
}

void Connection::end(int status) {
  if (std::exchange(closed_, true)) return;
  if (exchange_) exchange_->status = status;
  tell_exchange();
  work_.reset();
  host_.release_body(std::exchange(body_reserved_, 0));
  error_code ignored;
  socket_.close(ignored);
  host_.ended(key_);
}

}  // namespace choir::serve
