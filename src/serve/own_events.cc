#include "serve/own_events.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "choir/machine.h"
#include "choir/text.h"
#include "serve/events.h"
#include "serve/own_shapes.h"
#include "serve/query.h"

namespace choir::serve {
namespace {

constexpr Nanos kPingEvery = std::chrono::seconds(10);
constexpr std::size_t kBytesAtOnce = 8U << 10U;  // a connection keeps room for what it sends
constexpr std::array<std::string_view, 3> kTopicNames = {"state", "requests", "log"};

Result<Topics> topics_of(const std::vector<std::string>& names) {
  Topics topics = 0;
  const std::vector<std::string> known(kTopicNames.begin(), kTopicNames.end());
  for (const std::string& name : names) {
    const auto found = std::ranges::find(kTopicNames, name);
    if (found == kTopicNames.end()) {
      const auto near = nearest(name, known);
      return fail(Code::kInvalidArgument, "there is no topic '" + printable_line(name, 60) + "'" +
                                              (near ? "; did you mean '" + *near + "'?"
                                                    : "; there are state, requests and log"));
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

std::string hello(const Client& client, Topics topics) {
  Json scopes = Json::array();
  for (const std::string_view name : kScopeNames)
    if ((*scope_named(name) & client.scopes) != 0) scopes.push_back(name);
  Json names = Json::array();
  for (std::size_t i = 0; i < kTopicNames.size(); ++i)
    if ((topics >> i & 1U) != 0) names.push_back(kTopicNames.at(i));
  return *frame_of("hello", 0,
                   to_text({{"epoch", epoch()},
                            {"version", version().choir},
                            {"tenant", client.tenant},
                            {"scopes", std::move(scopes)},
                            {"topics", std::move(names)}}));
}

class EventsWork final : public Work {
 public:
  EventsWork(std::shared_ptr<Events> events, Topics topics, const Client& client, Wake wake)
      : events_(std::move(events)),
        front_(hello(client, topics)),
        reader_(events_->join(topics, client, std::move(wake))) {}
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
    while (output.bytes.size() < kBytesAtOnce && next()) {
      const std::string_view left = std::string_view(*frame_).substr(given_);
      const std::string_view piece = left.substr(0, kBytesAtOnce - output.bytes.size());
      output.bytes += piece;
      given_ += piece.size();
    }
    if (output.bytes.empty() && events_->ended()) {
      output.bytes = "event: bye\ndata: {}\n\n";
      output.end = said_bye_ = true;
    }
    return output;
  }
  Output silence(Nanos silent) override {
    if (silent < kPingEvery || !head_given_) return {};
    return {.head = std::nullopt, .bytes = "event: ping\ndata: {}\n\n"};
  }

 private:
  // Whether there is a byte of a frame to give.
  bool next() {
    if (frame_ && given_ < frame_->size()) return true;
    frame_ = events_->take(reader_);
    given_ = 0;
    return frame_ != nullptr;
  }

  const std::shared_ptr<Events> events_;
  std::string front_;
  const std::uint64_t reader_;
  Frame frame_;
  std::size_t given_ = 0;  // of the frame
  bool head_given_ = false;
  bool said_bye_ = false;
};

std::unique_ptr<Work> begin_events(const Services& services, const HttpRequest& request,
                                   Wake wake) {
  const auto names = list_in_query(request.query, "topics");
  if (!names) return reply_with_error(api_error(names.error()));
  const auto topics = topics_of(names->value_or(std::vector<std::string>{}));
  if (!topics) return reply_with_error(api_error(topics.error()));
  if ((*topics & kLogTopic) != 0 && (request.client.scopes & kAdmin) == 0) {
    ApiError error = field_error("topics", "has log, which needs the scope admin");
    error.status = 403;
    error.type = "permission_error";
    return reply_with_error(error);
  }
  if (request.method == "HEAD")  // it has no end
    return reply_with({.headers = {{"content-type", "text/event-stream; charset=utf-8"}}}, "");
  return std::make_unique<EventsWork>(services.events, *topics, request.client, std::move(wake));
}

}  // namespace

void add_event_routes(Router& router, const Services& s) {
  router.add({.method = "GET",
              .path = "/choir/v1/events",
              .summary = "Streams what changes: the state, the requests, the log",
              .query = kEventsQuery,
              .reply = {.type = "text/event-stream"},
              .handler = [&s](const HttpRequest& request, Wake wake) {
                return begin_events(s, request, std::move(wake));
              }});
}

}  // namespace choir::serve
