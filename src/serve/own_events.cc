#include "serve/own_events.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "choir/machine.h"
#include "choir/text.h"
#include "serve/about_field.h"
#include "serve/events.h"
#include "serve/own_shapes.h"
#include "serve/query.h"
#include "serve/sessions.h"

namespace choir::serve {
namespace {

constexpr Nanos kPingEvery = std::chrono::seconds(10);
constexpr std::size_t kBytesAtOnce = 8U << 10U;  // a connection keeps room for what it sends
constexpr std::array<std::string_view, 4> kTopicNames = {"state", "requests", "log", "turns"};

Result<Topics> topics_of(const std::vector<std::string>& names) {
  Topics topics = 0;
  const std::vector<std::string> known(kTopicNames.begin(), kTopicNames.end());
  for (const std::string& name : names) {
    const auto found = std::ranges::find(kTopicNames, name);
    if (found == kTopicNames.end()) {
      const auto near = nearest(name, known);
      return fail(Code::kInvalidArgument,
                  "'topics' has '" + printable_line(name, 60) + "', which is none" +
                      (near ? "; did you mean '" + *near + "'?"
                            : "; there are state, requests, turns and log"));
    }
    topics = static_cast<Topics>(topics | 1U << (found - kTopicNames.begin()));
  }
  return topics == 0 ? static_cast<Topics>(kStateTopic | kRequestsTopic) : topics;
}

// The start of this process, which tells one daemon from the next at the same place.
std::string epoch() {
  static const std::int64_t started = unix_ms();
  return std::to_string(started);
}

std::string hello(const Client& client, Topics topics, bool resumed) {
  Json scopes = Json::array();
  for (const std::string_view name : kScopeNames)
    if ((*scope_named(name) & client.scopes) != 0) scopes.push_back(name);
  Json names = Json::array();
  for (std::size_t i = 0; i < kTopicNames.size(); ++i)
    if ((topics >> i & 1U) != 0) names.push_back(kTopicNames.at(i));
  return *frame_of("hello", 0,
                   to_text({{"epoch", epoch()},
                            {"version", version().choir},
                            {"now_ms", unix_ms()},
                            {"tenant", client.tenant},
                            {"scopes", std::move(scopes)},
                            {"topics", std::move(names)},
                            {"resumed", resumed}}));
}

class EventsWork final : public Work {
 public:
  EventsWork(const Services& services, Topics topics, const Client& client, Wake wake,
             std::uint64_t since)
      : events_(services.events),
        sessions_(services.sessions),
        session_(client.session),
        reader_(events_->join(topics, client, std::move(wake), since)),
        front_(hello(client, topics, events_->resumed(reader_))) {}
  ~EventsWork() override { events_->leave(reader_); }

  Output advance() override {
    if (said_bye_) return {};
    Output output;
    if (!std::exchange(head_given_, true)) {
      output.head = ReplyHead{.headers = {{"content-type", "text/event-stream; charset=utf-8"},
                                          {"cache-control", "no-store"}},
                              .streamed = true};
      output.bytes = std::exchange(front_, {});
    }
    const bool ended = session_has_ended();
    while (!ended && output.bytes.size() < kBytesAtOnce && next()) {
      const std::string_view left = std::string_view(*frame_).substr(given_);
      const std::string_view piece = left.substr(0, kBytesAtOnce - output.bytes.size());
      output.bytes += piece;
      given_ += piece.size();
    }
    if (output.bytes.empty() && (ended || events_->ended())) output = bye();
    return output;
  }
  Output cut_short(const Refusal& /*why*/) override {
    Output last = bye();
    if (frame_) last.bytes.insert(0, frame_->substr(given_));  // whole frames only
    return last;
  }
  Output silence(Nanos silent) override {
    if (!head_given_ || said_bye_) return {};
    if (session_has_ended()) return bye();
    if (silent < kPingEvery) return {};
    return {.head = std::nullopt, .bytes = "event: ping\ndata: {}\n\n"};
  }

 private:
  bool session_has_ended() const { return !session_.empty() && !sessions_.left(session_); }
  Output bye() {
    said_bye_ = true;
    return {.head = std::nullopt, .bytes = "event: bye\ndata: {}\n\n", .end = true};
  }
  // Whether there is a byte of a frame to give.
  bool next() {
    if (frame_ && given_ < frame_->size()) return true;
    frame_ = events_->take(reader_);
    given_ = 0;
    return frame_ != nullptr;
  }

  const std::shared_ptr<Events> events_;
  const Sessions& sessions_;
  const std::string session_;  // of the client; empty: it has none
  const std::uint64_t reader_;
  std::string front_;
  Frame frame_;
  std::size_t given_ = 0;  // of the frame
  bool head_given_ = false;
  bool said_bye_ = false;
};

// The N of "EPOCH-N"; 0: it is of another daemon, and nothing of that one is known here.
Result<std::uint64_t> since_of(const std::string& query) {
  const std::string text = query_value(query, "since");
  if (text.empty()) return 0;
  const std::size_t dash = text.find('-');
  const std::string start = text.substr(0, dash);
  const std::string last = dash == std::string::npos ? "" : text.substr(dash + 1);
  const auto is_number = [](const std::string& digits, std::size_t most) {
    return !digits.empty() && digits.size() <= most &&
           digits.find_first_not_of("0123456789") == std::string::npos;
  };
  if (!is_number(start, 15) || !is_number(last, 18))
    return fail(Code::kInvalidArgument, "'since' is '" + printable_line(text, 60) +
                                            "'; it takes EPOCH-N, the epoch of hello and the last "
                                            "id");
  std::uint64_t number = 0;
  std::from_chars(last.data(), last.data() + last.size(), number);
  return start == epoch() ? number : 0;
}

std::unique_ptr<Work> begin_events(const Services& services, const HttpRequest& request,
                                   Wake wake) {
  const auto names = list_in_query(request.query, "topics", {"since"});
  if (!names) return reply_with_error(about_query(api_error(names.error()), kEventsQuery));
  const auto topics = topics_of(names->value_or(std::vector<std::string>{}));
  if (!topics) return reply_with_error(about_query(api_error(topics.error()), kEventsQuery));
  if ((*topics & kLogTopic) != 0 && (request.client.scopes & kAdmin) == 0) {
    ApiError error = field_error("topics", "has log, which needs the scope admin");
    error.status = 403;
    error.type = "permission_error";
    error.pointer.clear();  // it is no field of a body
    return reply_with_error(error);
  }
  const auto since = since_of(request.query);
  if (!since) return reply_with_error(about_query(api_error(since.error()), kEventsQuery));
  if (request.method == "HEAD")  // it has no end
    return reply_with({.headers = {{"content-type", "text/event-stream; charset=utf-8"}}}, "");
  return std::make_unique<EventsWork>(services, *topics, request.client, std::move(wake), *since);
}

}  // namespace

void add_event_routes(Router& router, const Services& s) {
  router.add({.method = "GET",
              .path = "/choir/v1/events",
              .summary = "Streams what changes: the state, the requests, the log",
              .query = kEventsQuery,
              .reply = {.type = "text/event-stream", .event = "NodeEvent"},
              .handler = [&s](const HttpRequest& request, Wake wake) {
                return begin_events(s, request, std::move(wake));
              }});
}

}  // namespace choir::serve
