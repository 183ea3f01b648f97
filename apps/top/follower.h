// The connection of `choir top`: what the daemon tells, and whether that is live.
//
// One thread; wait() alone blocks.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "serve/watch.h"
#include "top/view.h"

namespace choir::app::top {

class Follower {
 public:
  explicit Follower(const serve::DaemonAddress& daemon) : watch_(daemon) {}

  // Takes what comes, and connects again when it is time to. Returns after `longest`, or earlier
  // when something has come from the daemon or can be read from `file`.
  void wait(std::chrono::milliseconds longest, int file = -1);
  const State& state() const { return state_; }
  // A snapshot of both tables has come at some time.
  bool knows_all() const { return known_; }
  // Why what is known is not live; empty: it is.
  std::string not_live() const;
  // Of the first connection; once it stood there is none.
  Status first_failure() const { return first_failure_; }
  // Carries out what the question asks; `tell` gets a sentence.
  void ask(const Chosen::Question& question, const std::function<void(std::string)>& tell);

 private:
  using Time = std::chrono::steady_clock::time_point;
  void open();
  void heard(std::string_view event, std::string_view id, std::string_view data);
  void lost(std::string why);
  void ended(const Result<serve::ClientReply>& reply);

  serve::DaemonWatch watch_;
  State state_;
  bool known_ = false;
  bool live_ = false;
  bool turns_ = true;  // the daemon may have the topic
  std::string why_ = "connecting";
  Status first_failure_{};
  int tries_ = 0;
  Time heard_at_{};     // the last event
  Time quiet_since_{};  // that, or the begin of the connection
  Time lost_at_{};
  Time next_try_{};
};

}  // namespace choir::app::top
