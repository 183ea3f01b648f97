#include "top/follower.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <utility>

#include "choir/text.h"
#include "top/pause.h"

namespace choir::app::top {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr std::chrono::seconds kSilence{25};

double seconds_between(SteadyClock::time_point from, SteadyClock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

double random_part() {
  static std::minstd_rand random{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(random);
}

// What a reply says that is no success.
std::string complaint_of(const serve::ClientReply& reply) {
  const auto json = nlohmann::json::parse(reply.body, nullptr, false);
  const auto at = nlohmann::json::json_pointer("/error/message");
  if (json.is_object() && json.contains(at) && json[at].is_string())
    return json[at].get<std::string>();
  return "the daemon answered with status " + std::to_string(reply.status);
}

}  // namespace

void Follower::open() {
  quiet_since_ = SteadyClock::now();
  const Status opened =
      watch_.open(std::string("/choir/v1/events?topics=state,requests") + (turns_ ? ",turns" : "") +
                      state_.since(),
                  {.on_event = [this](std::string_view event, std::string_view id,
                                      std::string_view data) { heard(event, id, data); },
                   .on_end = [this](const Result<serve::ClientReply>& reply) { ended(reply); }});
  if (!opened) lost(opened.error().message);
}

void Follower::heard(std::string_view event, std::string_view id, std::string_view data) {
  heard_at_ = quiet_since_ = SteadyClock::now();
  tries_ = 0;
  live_ = true;
  state_ = reduced(std::move(state_), event, data, id);
  known_ = known_ || (state_.knows_models && state_.knows_requests);
}

void Follower::lost(std::string why) {
  const auto now = SteadyClock::now();
  if (live_ || tries_ == 0) lost_at_ = now;
  live_ = false;
  why_ = std::move(why);
  ++tries_;
  next_try_ = now + std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(
                        pause_before(tries_, seconds_between(lost_at_, now), random_part())));
}

void Follower::ended(const Result<serve::ClientReply>& reply) {
  if (reply && reply->status == 400 && turns_) {  // a daemon without the topic `turns`
    turns_ = false;
    return;
  }
  if (reply && reply->status == 200)
    return lost(state_.said_bye ? "the daemon has ended" : "the connection has ended");
  const Error error = reply ? Error{Code::kUnavailable, complaint_of(*reply)} : reply.error();
  if (!known_ && state_.epoch.empty()) first_failure_ = tl::unexpected(error);
  lost(error.message);
}

void Follower::wait(std::chrono::milliseconds longest, int file) {
  const auto now = SteadyClock::now();
  if (watch_.is_open() && now - quiet_since_ > kSilence) {
    watch_.close();
    lost("nothing has come for " + std::to_string(kSilence.count()) + " s");
  }
  if (!watch_.is_open() && now >= next_try_) open();
  if (!watch_.is_open()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next_try_ - now);
    longest = std::clamp(left, std::chrono::milliseconds(0), longest);
  }
  watch_.wait(longest, file);
}

std::string Follower::not_live() const {
  if (live_) return {};
  std::string text = printable_line(why_, 200);
  if (!known_) return text;
  const auto ago = static_cast<int>(seconds_between(heard_at_, SteadyClock::now()));
  return "for " + std::to_string(ago) + " s; " + text;
}

void Follower::ask(const Chosen::Question& question, const std::function<void(std::string)>& tell) {
  const Status sent =
      watch_.send(question.method, question.path, [done = question.done, tell](const auto& reply) {
        if (!reply) return tell(reply.error().message);
        tell(reply->status == 200 ? done : complaint_of(*reply));
      });
  if (!sent) tell(sent.error().message);
}

}  // namespace choir::app::top
