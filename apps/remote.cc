#include "remote.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace choir::app {
namespace {

using Reply = nlohmann::json;

constexpr std::array<Finish, 6> kFinishes = {Finish::kStop,      Finish::kLength,
                                             Finish::kCancelled, Finish::kDeadline,
                                             Finish::kStalled,   Finish::kFailed};
constexpr std::array<Code, 11> kCodes = {
    Code::kInvalidArgument, Code::kNotFound,  Code::kAlreadyExists,    Code::kOverloaded,
    Code::kOutOfMemory,     Code::kCancelled, Code::kDeadlineExceeded, Code::kUnavailable,
    Code::kEngineFailed,    Code::kTooLong,   Code::kDraining};

template <class Value, std::size_t kCount>
Value named(const std::array<Value, kCount>& values, std::string_view name, Value otherwise) {
  for (const Value value : values)
    if (to_string(value) == name) return value;
  return otherwise;
}

// Another status than 200.
Error error_of_reply(const serve::ClientReply& reply) {
  const Reply json = Reply::parse(reply.body, nullptr, false);
  const std::string message =
      json.is_object() ? json.value("/error/message"_json_pointer, reply.body) : reply.body;
  if (message.empty())
    return {Code::kUnavailable, "the daemon answers with status " + std::to_string(reply.status)};
  if (reply.status == 404) return {Code::kNotFound, message};
  if (reply.status == 400) return {Code::kInvalidArgument, message};
  return {Code::kUnavailable, message};
}

Reply json_of(const Request& r) {
  Reply job = {{"model", r.executor},
               {"max_tokens", r.max_tokens},
               {"temperature", r.sampling.temperature},
               {"top_k", r.sampling.top_k},
               {"top_p", r.sampling.top_p},
               {"min_p", r.sampling.min_p},
               {"repeat_penalty", r.sampling.repeat_penalty},
               {"repeat_last_n", r.sampling.repeat_last_n},
               {"seed", r.sampling.seed},
               {"ignore_eos", r.ignore_eos},
               {"default_template", false}};
  if (!r.stop.empty()) job["stop"] = r.stop;
  if (r.deadline.count() > 0) job["deadline_ms"] = r.deadline.count();
  if (!r.reuse_scope.empty()) job["cache_salt"] = r.reuse_scope;
  if (r.priority) job["priority"] = to_string(*r.priority);
  if (!r.text.empty()) {
    job["prompt"] = r.text;
    job["raw"] = true;
  }
  for (const Message& message : r.messages)
    job["messages"].push_back({{"role", message.role}, {"content", message.content}});
  return job;
}

// What comes of one call.
class Hearing {
 public:
  Hearing(const std::vector<Request>& requests, RemoteDaemon::Order order,
          const RemoteDaemon::Reader& reader)
      : reader_(reader), order_(order), ended_(requests.size(), false) {
    answers_.completions.resize(requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) {
      Completion& completion = answers_.completions[i];
      completion.executor = requests[i].executor;
      completion.finish = Finish::kCancelled;
      completion.error = Error{Code::kCancelled, "cancelled"};
    }
  }

  // Nothing may be thrown through libcurl.
  void hear(std::string_view data) try {
    const Reply event = Reply::parse(data, nullptr, false);
    if (!event.is_object()) return;
    const std::string type = event.value("type", "");
    if (type == "error")
      error_ = Error{Code::kUnavailable, event.value("/error/message"_json_pointer, "it failed")};
    if (type == "report") report(event.value("report", Reply::object()));
    if (type == "begin") begin(0, order_ == RemoteDaemon::Order::kTogether ? ended_.size() : 1);
    const std::size_t job = event.value("job", ended_.size());
    if (job >= ended_.size()) return;
    if (type == "text") text(job, event);
    if (type == "end") end(job, event);
  } catch (const Reply::exception&) {
    error_ = Error{Code::kUnavailable, "the daemon sent an event that cannot be read"};
  }

  const std::optional<Error>& error() const { return error_; }
  bool complete() const { return complete_; }
  RemoteDaemon::Answers take() { return std::move(answers_); }

 private:
  void begin(std::size_t first, std::size_t end) {
    if (!reader_.on_begin) return;
    for (std::size_t job = first; job < end; ++job) reader_.on_begin(job);
  }
  void text(std::size_t job, const Reply& event) {
    Completion& completion = answers_.completions[job];
    const std::string text = event.value("text", "");
    completion.text += text;
    completion.usage.output_tokens = event.value("tokens", 0);
    if (reader_.on_text) reader_.on_text(job, text, completion.usage.output_tokens);
  }
  void end(std::size_t job, const Reply& event) {
    Completion& completion = answers_.completions[job];
    const Reply usage = event.value("usage", Reply::object());
    completion.finish = named(kFinishes, event.value("finish", ""), Finish::kFailed);
    completion.error.reset();
    if (const Reply error = event.value("error", Reply()); error.is_object())
      completion.error = Error{named(kCodes, error.value("code", ""), Code::kUnavailable),
                               error.value("message", "it failed")};
    completion.usage = {.prompt_tokens = usage.value("prompt_tokens", 0),
                        .output_tokens = usage.value("output_tokens", 0),
                        .reused_tokens = usage.value("reused_tokens", 0),
                        .queue_seconds = usage.value("queue_seconds", 0.0),
                        .first_token_seconds = usage.value("first_token_seconds", 0.0),
                        .total_seconds = usage.value("total_seconds", 0.0)};
    ended_[job] = true;
    if (reader_.on_end) reader_.on_end(job, completion);
    const bool alone = order_ == RemoteDaemon::Order::kOneAtATime;
    if (alone && job + 1 < ended_.size()) begin(job + 1, job + 2);
  }
  void report(const Reply& report) {
    complete_ = true;
    answers_.load_seconds = report.value("load_seconds", 0.0);
    answers_.total_seconds = report.value("total_seconds", 0.0);
    // Since the first submission, where the end of a job has it since its own.
    for (const Reply& row : report.value("sessions", Reply::array())) {
      const std::size_t job = row.value("session_id", ended_.size());
      if (job >= ended_.size()) continue;
      answers_.completions[job].usage.first_token_seconds = row.value("first_token_seconds", 0.0);
    }
  }

  const RemoteDaemon::Reader& reader_;
  const RemoteDaemon::Order order_;
  std::vector<bool> ended_;
  RemoteDaemon::Answers answers_;
  std::optional<Error> error_;
  bool complete_ = false;
};

}  // namespace

Result<RemoteDaemon> RemoteDaemon::at(const std::string& host) {
  return RemoteDaemon(CHOIR_TRY(serve::daemon_address(host)));
}

Result<RemoteModel> RemoteDaemon::model(const std::string& name) const {
  const serve::ClientReply reply = CHOIR_TRY(serve::ask(address_, "GET", "/choir/v1/models"));
  if (reply.status != 200) return tl::unexpected(error_of_reply(reply));
  const Reply json = Reply::parse(reply.body, nullptr, false);
  if (!json.is_object())
    return fail(Code::kUnavailable, "what answers there is no daemon of Choir");
  for (const Reply& model : json.value("models", Reply::array()))
    if (model.value("name", "") == name)
      return RemoteModel{.name = name, .path = model.value("path", "")};
  return RemoteModel{.name = name, .path = {}};
}

Result<std::int32_t> RemoteDaemon::cores() const {
  const serve::ClientReply reply = CHOIR_TRY(serve::ask(address_, "GET", "/choir/v1/models"));
  if (reply.status != 200) return tl::unexpected(error_of_reply(reply));
  const Reply json = Reply::parse(reply.body, nullptr, false);
  return json.is_object() ? json.value("/node/cores"_json_pointer, 0) : 0;
}

Result<RemoteDaemon::Answers> RemoteDaemon::run(const std::vector<Request>& requests, Order order,
                                                const Reader& reader) const {
  Reply body = {{"stream", true}, {"jobs", Reply::array()}};
  if (order == Order::kOneAtATime) body["order"] = "one_at_a_time";
  for (const Request& request : requests) body["jobs"].push_back(json_of(request));
  Hearing hearing(requests, order, reader);
  const auto reply = serve::ask_events(
      address_, "/choir/v1/parallel", body.dump(-1, ' ', false, Reply::error_handler_t::replace),
      {.on_event = [&](std::string_view data) { hearing.hear(data); }, .go_on = reader.go_on});
  if (!reply && reply.error().code != Code::kCancelled) return tl::unexpected(reply.error());
  if (reply && reply->status != 200) return tl::unexpected(error_of_reply(*reply));
  if (hearing.error()) return tl::unexpected(*hearing.error());
  if (reply && !hearing.complete())
    return fail(Code::kUnavailable, "the daemon ended before the answer was complete");
  return hearing.take();
}

Result<Completion> RemoteDaemon::run(const Request& request, const Reader& reader) const {
  Answers answers = CHOIR_TRY(run(std::vector<Request>{request}, Order::kTogether, reader));
  Completion& completion = answers.completions.front();
  if (completion.finish == Finish::kFailed && completion.error &&
      completion.error->code == Code::kTooLong)
    return tl::unexpected(*completion.error);
  return std::move(completion);
}

}  // namespace choir::app
