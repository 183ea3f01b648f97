#include "serve/generating.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <limits>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "serve/field_values.h"
#include "serve/openai_out.h"

namespace choir::serve {
namespace {

constexpr Nanos kPingEvery = std::chrono::seconds(15);
constexpr std::string_view kPing = ": ping\n\n";

// "chatcmpl-" and 128 random bits.
std::string random_id(std::string_view prefix) {
  std::random_device random;
  std::string id(prefix);
  for (int i = 0; i < 4; ++i) {
    char digits[9];
    std::snprintf(digits, sizeof digits, "%08x", static_cast<unsigned>(random()));
    id += digits;
  }
  return id;
}

constexpr std::size_t kIgnoredBytesMax = 512;  // of the header that names ignored fields

// Visible ASCII: a client chooses the names of fields, and must not write headers with them.
bool is_header_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

std::function<void()> hold_of(Node& node, const std::string& executor, const std::string& tenant,
                              std::optional<std::chrono::milliseconds> keep_alive) {
  if (!keep_alive) return [] {};
  const auto hold = [&node, executor, tenant, time = *keep_alive] {
    static_cast<void>(node.hold(executor, tenant, time));
  };
  if (keep_alive->count() > 0) hold();
  return hold;
}

ApiResult<Asked> read_body(const Services& services, Routes route, HttpRequest& request) {
  const Result<Json> body = parse_json(std::exchange(request.body, {}));
  if (!body) return tl::unexpected(api_error(body.error()));
  auto asked = read_fields(route, *body);
  if (asked) services.metrics.on_ignored_fields(asked->ignored.size());
  return asked;
}

std::optional<ApiError> set_class(Asked& asked, const HttpRequest& request) {
  if (const std::string_view name = request.header("x-priority"); !name.empty()) {
    if (auto error = set_priority(asked, Json(name))) {
      error->param = "x-priority";
      return error;
    }
  }
  const Client& client = request.client;
  if (!asked.request.priority) {
    // The executor's class, unless that is above the client's.
    if (client.best > Priority::kNormal)
      asked.request.priority = asked.embed.priority = client.best;
    return std::nullopt;
  }
  if (*asked.request.priority >= client.best) return std::nullopt;
  ApiError error = field_error("priority", "is " + std::string(to_string(*asked.request.priority)) +
                                               "; the key '" + client.key + "' may ask for " +
                                               std::string(to_string(client.best)) + " at most");
  error.status = 403;
  error.type = "permission_error";
  return error;
}

namespace {

// A request that the node has taken.
struct Accepted {
  Submission submission = {};
  AnswerId answer;
  LoadTicket load = {};  // of its model, where that was not in memory
  bool loads = false;
  bool stream = false;
  bool include_usage = false;
  std::vector<Header> headers = {};
};

// What the door thread leaves for the loop.
struct Slot {
  std::optional<ApiError> error;
  std::optional<Accepted> accepted;
};

// Shared by the work on the loop and the door thread that submits for it.
class Desk {
 public:
  Desk(const Services& services, Routes route, HttpRequest request, Wake wake)
      : services_(services), route_(route), request_(std::move(request)), wake_(std::move(wake)) {}

  // On a door thread.
  void open(const std::shared_ptr<Desk>& self) {
    auto asked = read_body(services_, route_, request_);
    if (!asked) return refuse(std::move(asked).error());
    asked_ = std::move(*asked);
    if (auto error = missing()) return refuse(std::move(*error));
    if (auto error = set_class(asked_, request_)) return refuse(std::move(*error));
    if (auto executor = services_.models.known(asked_.model)) return submit(*executor);
    const Status posted = services_.doors.post_slow([self] { self->find_model(self); });
    if (!posted) refuse(api_error(posted.error()));
  }

  // On the loop: the client has gone. What is not submitted yet never is.
  void leave() {
    gone_.store(true);
    const auto id = slot_.with([](Slot& s) -> std::optional<RequestId> {
      if (!s.accepted) return std::nullopt;
      return s.accepted->submission.id;
    });
    if (id) static_cast<void>(services_.node.cancel(*id));
  }

  Slot take() {
    return slot_.with([](Slot& s) { return std::exchange(s, {}); });
  }
  void refuse(ApiError error) {
    slot_.with([&](Slot& s) { s.error = std::move(error); });
    wake_();
  }

 private:
  std::optional<ApiError> missing() const {
    const Request& r = asked_.request;
    if (route_ == kChat && r.messages.empty()) return field_error("messages", "is missing");
    if (route_ == kCompletion && r.text.empty() && r.tokens.empty())
      return field_error("prompt", "is missing");
    return std::nullopt;
  }

  void find_model(const std::shared_ptr<Desk>& self) {
    if (gone_.load()) return;
    auto executor = services_.models.find(asked_.model);
    if (!executor) return refuse(model_error(executor.error()));
    const Status posted =
        services_.doors.post([self, name = std::move(*executor)] { self->submit(name); });
    if (!posted) refuse(api_error(posted.error()));
  }
  Request request_of(const std::string& executor) {
    Request request = std::move(asked_.request);
    request.executor = executor;
    request.tenant = request_.client.tenant;
    request.tenant_weight = request_.client.weight;
    request.default_template = true;
    if (!asked_.max_tokens_given) request.max_tokens = std::numeric_limits<std::int32_t>::max();
    if (!asked_.seed_given) request.sampling.seed = std::random_device{}();
    if (!asked_.cache_salt.empty() || !asked_.prompt_cache_key.empty())
      request.reuse_scope =
          request.tenant + "/" + asked_.cache_salt + "/" + asked_.prompt_cache_key;
    return request;
  }

  void submit(const std::string& executor) {
    if (gone_.load()) return;
    const auto info = services_.node.executor(executor);
    if (!info) return refuse(model_error(info.error()));
    if (info->loaded && !info->model.generates)
      return refuse(model_error(
          {Code::kInvalidArgument, "'" + executor +
                                       "' is an encoder: it embeds text "
                                       "and writes none; POST /v1/embeddings uses it"}));
    const std::int32_t asked_tokens = asked_.request.max_tokens;
    auto prepared = services_.node.prepare(request_of(executor));
    if (!prepared) return refuse(api_error(prepared.error()));
    Accepted accepted{.answer = {.id = random_id(route_ == kChat ? "chatcmpl-" : "cmpl-"),
                                 .model = executor,
                                 .created = unix_ms() / 1000,
                                 .chat = route_ == kChat},
                      .stream = asked_.stream,
                      .include_usage = asked_.include_usage,
                      .headers = headers_of(*info, prepared->prompt_tokens(), asked_tokens)};
    if (!info->loaded) {
      if (auto ticket = services_.node.begin_load(executor)) accepted.load = std::move(*ticket);
      accepted.loads = true;
    }
    // The stream announces news before the submission is in the slot: the loop then finds nothing,
    // and is woken once more below.
    const auto hold = hold_of(services_.node, executor, request_.client.tenant, asked_.keep_alive);
    auto submission = services_.node.enqueue(std::move(*prepared),
                                             {.on_event = {},
                                              .on_done = [hold](const Completion&) { hold(); },
                                              .on_news = [wake = wake_](RequestId) { wake(); }});
    if (!submission) return refuse(api_error(submission.error()));
    accepted.submission = std::move(*submission);
    const RequestId id = accepted.submission.id;
    slot_.with([&](Slot& s) { s.accepted = std::move(accepted); });
    if (gone_.load()) static_cast<void>(services_.node.cancel(id));
    wake_();
  }

  std::vector<Header> headers_of(const ExecutorInfo& info, std::int32_t prompt_tokens,
                                 std::int32_t asked_tokens) const {
    std::vector<Header> headers;
    std::string names;
    for (const std::string& name : asked_.ignored)
      if (names.size() + name.size() < kIgnoredBytesMax && is_header_text(name))
        names += (names.empty() ? "" : ", ") + name;
    if (!names.empty()) headers.push_back({"x-choir-ignored", names});
    if (route_ == kChat && info.loaded && info.model.chat_template.empty())
      headers.push_back({"x-choir-template", "default"});
    const std::int32_t room = info.config.sequence_tokens_max - prompt_tokens;
    if (asked_.max_tokens_given && prompt_tokens > 0 && asked_tokens > room)
      headers.push_back({"x-choir-max-tokens", std::to_string(room)});
    return headers;
  }

  const Services services_;
  const Routes route_;
  HttpRequest request_;
  const Wake wake_;
  Asked asked_;
  std::atomic<bool> gone_{false};
  Guarded<Slot> slot_;
};

class Generating final : public Work {
 public:
  Generating(const Services& services, Routes route, HttpRequest request, Wake wake)
      : node_(services.node),
        desk_(std::make_shared<Desk>(services, route, std::move(request), std::move(wake))) {
    const Status posted = services.doors.post([desk = desk_] { desk->open(desk); });
    if (!posted) desk_->refuse(api_error(posted.error()));
  }
  ~Generating() override {
    if (ended_) return;
    desk_->leave();
    if (accepted_) static_cast<void>(node_.cancel(accepted_->submission.id));
  }

  Output advance() override {
    if (!accepted_) {
      Slot slot = desk_->take();
      if (slot.error) return refused(*slot.error);
      if (!slot.accepted) return {};
      accepted_ = std::move(slot.accepted);
      if (accepted_->stream) chunks_.emplace(accepted_->answer);
    }
    StreamPiece piece = accepted_->submission.stream.take();
    return accepted_->stream ? streamed(std::move(piece)) : gathered(std::move(piece));
  }

  Output silence(Nanos silent) override {
    if (!accepted_ || !accepted_->stream) return {};
    if (accepted_->loads) {
      const LoadState load = accepted_->load.state();
      accepted_->loads =
          load.phase == LoadState::Phase::kWaiting || load.phase == LoadState::Phase::kLoading;
      if (accepted_->loads)
        return with_head(": loading " + std::to_string(static_cast<int>(load.fraction * 100)) +
                         " %\n\n");
    }
    if (silent < kPingEvery) return {};
    return with_head(std::string(kPing));
  }

 private:
  Output refused(const ApiError& error) {
    ended_ = true;
    return reply_with_error(error)->advance();
  }

  ReplyHead head(std::string_view type, bool streamed) const {
    ReplyHead head{.headers = accepted_->headers, .streamed = streamed};
    head.headers.push_back({"content-type", std::string(type)});
    if (streamed) head.headers.push_back({"cache-control", "no-store"});
    return head;
  }

  Output with_head(std::string bytes) {
    Output output{.head = std::nullopt, .bytes = std::move(bytes)};
    if (!std::exchange(head_given_, true))
      output.head = head("text/event-stream; charset=utf-8", true);
    return output;
  }

  static ApiError error_of(const Completion& completion) {
    return api_error(completion.error ? *completion.error
                                      : Error{Code::kEngineFailed, "the generation failed"});
  }

  Output streamed(StreamPiece piece) {
    std::string bytes;
    if (!std::exchange(begun_, begun_ || !piece.text.empty()) && begun_) bytes += chunks_->begin();
    if (!piece.text.empty()) bytes += chunks_->text(piece.text);
    if (piece.end) {
      ended_ = true;
      if (!ended_well(piece.end->finish)) {
        // Nothing was sent: the reply can still say so by its status.
        if (!head_given_) return refused(error_of(*piece.end));
        bytes += Chunks::error(openai_error(error_of(*piece.end)));
      } else {
        if (!std::exchange(begun_, true)) bytes += chunks_->begin();
        bytes += chunks_->end(*piece.end, accepted_->include_usage);
      }
    }
    if (bytes.empty()) return {};
    Output output = with_head(std::move(bytes));
    output.end = ended_;
    return output;
  }

  Output gathered(StreamPiece piece) {
    if (!piece.end) return {};  // the completion has all of the text
    ended_ = true;
    if (!ended_well(piece.end->finish)) return refused(error_of(*piece.end));
    return {.head = head("application/json", false),
            .bytes = to_text(whole_answer(accepted_->answer, *piece.end)),
            .end = true};
  }

  Node& node_;
  const std::shared_ptr<Desk> desk_;
  std::optional<Accepted> accepted_;
  std::optional<Chunks> chunks_;
  bool head_given_ = false;
  bool begun_ = false;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<Work> begin_generating(const Services& services, Routes route, HttpRequest request,
                                       Wake wake) {
  return std::make_unique<Generating>(services, route, std::move(request), std::move(wake));
}

}  // namespace choir::serve
