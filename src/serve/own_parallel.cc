#include "serve/own_parallel.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "choir/parallel_evaluation.h"
#include "serve/about_field.h"
#include "serve/dialect.h"
#include "serve/exchange.h"
#include "serve/load_wait.h"
#include "serve/own_shapes.h"
#include "serve/parallel_calls.h"
#include "serve/parallel_desk.h"
#include "serve/query.h"
#include "serve/request_headers.h"
#include "serve/secret.h"

namespace choir::serve {
namespace {

Json usage_of(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"output_tokens", usage.output_tokens},
          {"reused_tokens", usage.reused_tokens},
          {"queue_seconds", usage.queue_seconds},
          {"first_token_seconds", usage.first_token_seconds},
          {"total_seconds", usage.total_seconds}};
}

Json error_of(const std::optional<Error>& error) {
  if (!error) return nullptr;
  Json json = {{"code", to_string(error->code)}, {"message", error->message}};
  for (const Fact& fact : error->facts) json[fact.name] = fact.value;
  return json;
}

using Order = ParallelEvaluation::Order;

// What render() says of the models and the cores.
ParallelConfig config_of(const ParallelSubmitted& jobs) {
  std::set<std::string> names;
  for (const ParallelSubmitted::Shown& shown : jobs.shown) names.insert(shown.model);
  ParallelConfig config;
  for (const std::string& name : names) config.models.push_back({.path = {}, .name = name});
  config.node.cores = jobs.cores;
  return config;
}

class ParallelWork final : public Work {
 public:
  ParallelWork(const Services& services, std::shared_ptr<ParallelCalls> calls, HttpRequest request,
               Wake wake)
      : ping_every_(services.ping_every),
        clock_(services.clock),
        after_(services.after),
        load_wait_(services),
        calls_(std::move(calls)),
        desk_(std::make_shared<ParallelDesk>(services, std::move(request), std::move(wake))) {
    desk_->begin();
  }
  ~ParallelWork() override {
    if (!call_.empty()) calls_->remove(call_);
    if (!ended_) give_up();
  }

  Output advance() override {
    if (ended_) return {};
    std::string bytes;
    ParallelDesk::Slot slot = desk_->take();
    if (!jobs_) {
      if (slot.error) return refused(*slot.error);
      if (!slot.loads.empty()) loads_ = std::move(slot.loads);
      if (auto ended = look_at_loads()) return std::move(*ended);
      if (!slot.submitted) return {};
      jobs_ = std::move(slot.submitted);
      bytes = begin();
    }
    if (slot.begun) bytes += take_begun(std::move(*slot.begun));
    bytes += end_those_not_begun();
    const std::vector<std::size_t> news = desk_->take_news();
    waiting_.insert(waiting_.end(), news.begin(), news.end());
    tell_news(bytes);
    submit_next();
    if (left_ > 0) return desk_->stream() ? with_head(std::move(bytes)) : Output{};
    return report(bytes);
  }

  WorkFacts facts() const override { return facts_; }

  Output cut_short(const Refusal& why) override {
    give_up();
    return refused(api_error(why));
  }

  Output silence(Nanos silent) override {
    if (jobs_ || loads_.empty())
      return jobs_ && desk_->stream() && silent >= ping_every_ ? with_head(std::string(kPing))
                                                               : Output{};
    std::string news;
    for (const auto& [executor, ticket] : loads_) {
      const LoadState state = ticket.state();
      if (!is_open(state)) continue;
      if (load_wait_.is_over()) {
        give_up();
        return refused(load_wait_.error(executor));
      }
      news += loading_comment(state.fraction);
    }
    return desk_->stream() ? with_head(std::move(news)) : Output{};
  }

 private:
  void give_up() {
    desk_->leave();
    for (auto& [executor, ticket] : loads_) ticket.cancel();
    if (jobs_) desk_->cancel(jobs_->submissions);
  }
  Output refused(const ApiError& error) {
    ended_ = true;
    if (!head_given_) return reply_with_error(error)->advance();
    Json event = openai_error(error);
    event["type"] = "error";
    return {.head = std::nullopt, .bytes = event_of(event), .end = true};
  }
  // Submits when all are loaded; the end of the reply where one has failed.
  std::optional<Output> look_at_loads() {
    if (loads_.empty()) return std::nullopt;
    bool open = false;
    for (const auto& [executor, ticket] : loads_) {
      const LoadState state = ticket.state();
      if (state.phase == LoadState::Phase::kFailed && desk_->is_named(executor))
        return refused(desk_->load_error_of(executor, *state.error));
      open = open || is_open(state);
    }
    if (open) return std::nullopt;
    loads_.clear();
    desk_->submit_loaded();
    return std::nullopt;
  }
  Output with_head(std::string bytes) {
    if (bytes.empty()) return {};
    Output output{.head = std::nullopt, .bytes = std::move(bytes)};
    if (!std::exchange(head_given_, true))
      output.head = ReplyHead{.headers = {{"content-type", "text/event-stream; charset=utf-8"},
                                          {"cache-control", "no-store"}},
                              .streamed = true};
    return output;
  }

  std::string begin() {
    const std::size_t count = jobs_->submissions.size();
    results_.resize(count);
    began_seconds_.resize(count);
    tokens_.resize(count);
    has_ended_.resize(count);
    left_ = count;
    begun_ = jobs_->order == Order::kTogether ? count : 1;
    const std::string& first = jobs_->shown.front().model;
    facts_.model =
        std::ranges::all_of(jobs_->shown, [&](const auto& s) { return s.model == first; })
            ? first
            : "several";
    Json list = Json::array();
    for (std::size_t job = 0; job < count; ++job)
      list.push_back({{"job", job},
                      {"model", jobs_->shown[job].model},
                      {"prompt", jobs_->shown[job].prompt},
                      {"request", request_of(jobs_->submissions[job])}});
    std::string bytes = desk_->stream() ? begin_event(std::move(list)) : std::string();
    for (const auto& [job, completion] : jobs_->refused) bytes += ended(job, completion);
    return bytes;
  }
  // Its id; null: there is none, or not yet.
  static Json request_of(const Submission& submission) {
    return submission.stream ? Json(std::to_string(submission.id.value)) : Json(nullptr);
  }
  // Without random bytes there is no call, and the client can stop all jobs together only.
  std::string begin_event(Json jobs) {
    const Result<std::string> secret = random_secret("call_");
    if (secret) {
      call_ = *secret;
      calls_->add(call_, [this](std::size_t job) { return stop(job); });
    }
    return event_of({{"type", "begin"},
                     {"call", secret ? Json(*secret) : Json(nullptr)},
                     {"jobs", std::move(jobs)}});
  }
  // The end comes on the stream.
  bool stop(std::size_t job) {
    if (ended_ || !jobs_ || job >= jobs_->submissions.size() || has_ended_[job]) return false;
    stopped_.insert(job);
    desk_->cancel({&jobs_->submissions[job], 1});
    if (!jobs_->submissions[job].stream) desk_->wake()();
    return true;
  }
  std::string take_begun(ParallelDesk::Begun begun) {
    if (begun.refused) return ended(begun.job, *begun.refused);
    jobs_->submissions[begun.job] = std::move(begun.submission);
    began_seconds_[begun.job] = to_seconds(begun.began - jobs_->began);
    const Submission& submission = jobs_->submissions[begun.job];
    if (stopped_.contains(begun.job)) desk_->cancel({&submission, 1});
    if (!desk_->stream()) return {};
    return event_of({{"type", "begun"}, {"job", begun.job}, {"request", request_of(submission)}});
  }
  // They were stopped, and are passed over when their turn comes.
  std::string end_those_not_begun() {
    std::string bytes;
    for (const std::size_t job : stopped_) {
      if (job < begun_ || has_ended_[job]) continue;
      Completion never;
      never.finish = Finish::kCancelled;
      never.error = Error{Code::kCancelled, "cancelled before it was submitted"};
      bytes += ended(job, never);
    }
    return bytes;
  }
  // Of jobs that go one at a time.
  void submit_next() {
    while (begun_ < has_ended_.size() && is_over(begun_ - 1)) {
      const std::size_t job = begun_++;
      if (!has_ended_[job]) desk_->submit_job(job);
    }
  }
  bool is_over(std::size_t job) const {
    return has_ended_[job] && (!jobs_->submissions[job].stream || desk_->settled(job));
  }
  // A text that is not due stays in its stream, which collects what comes; an end is told at once.
  void tell_news(std::string& bytes) {
    const Instant now = clock_.now();
    const bool due = now >= next_text_;
    const std::size_t told_now = std::erase_if(waiting_, [&](std::size_t job) {
      if (!jobs_->submissions[job].stream) return false;  // on its way from the door
      if (bytes.size() >= kBytesAtOnce || !(due || desk_->settled(job))) return false;
      bytes += told(job, jobs_->submissions[job].stream.take());
      return true;
    });
    if (due && told_now > 0 && waiting_.empty()) next_text_ = now + desk_->text_every();
    if (due || waiting_.empty() || std::exchange(wakes_for_, next_text_) == next_text_) return;
    after_(next_text_ - now, desk_->wake());
  }
  std::string told(std::size_t job, const StreamPiece& piece) {
    std::string bytes;
    tokens_[job] += piece.tokens.size();
    if (!piece.text.empty() && desk_->stream())
      bytes += event_of(
          {{"type", "text"}, {"job", job}, {"text", piece.text}, {"tokens", tokens_[job]}});
    if (piece.end) bytes += ended(job, *piece.end);
    return bytes;
  }
  std::string ended(std::size_t job, const Completion& completion) {
    --left_;
    has_ended_[job] = true;
    add_usage(facts_, completion.usage);
    EvaluationResult& row = results_[job];
    row = result_of(completion);
    row.first_token_seconds += began_seconds_[job];
    if (row.error) row.error->message = without_folders(std::move(row.error->message));
    row.session_id = static_cast<std::int32_t>(job);
    row.model = jobs_->shown[job].model;
    row.prompt = jobs_->shown[job].prompt;
    if (!desk_->stream()) return {};
    return event_of({{"type", "end"},
                     {"job", job},
                     {"finish", to_string(completion.finish)},
                     {"error", error_of(row.error)},
                     {"usage", usage_of(completion.usage)}});
  }
  Output report(const std::string& bytes) {
    ended_ = true;
    const EvaluationReport all =
        report_of(std::move(results_), jobs_->load_seconds, desk_->seconds_since(jobs_->began));
    std::string report = json_text(all);
    const std::string comparison = compared(all);
    if (!desk_->stream()) {
      report.replace(report.size() - 1, 1, comparison + "}");
      return reply_with_json(200, report)->advance();
    }
    Output output =
        with_head(bytes + R"(data: {"type":"report","report":)" + report + R"(,"text":)" +
                  to_text(render(all, config_of(*jobs_))) + comparison + "}\n\n");
    output.end = true;
    return output;
  }

  // As one more member of an object; empty: it was not asked for.
  std::string compared(const EvaluationReport& all) const {
    if (!jobs_->against) return {};
    const Comparison comparison = jobs_->order == Order::kTogether ? compare(all, *jobs_->against)
                                                                   : compare(*jobs_->against, all);
    return R"(,"comparison":)" +
           to_text({{"speedup", comparison.speedup}, {"text", render(comparison)}});
  }

  const Nanos ping_every_;
  const Clock& clock_;
  const std::function<void(Nanos, std::function<void()>)> after_;
  const LoadWait load_wait_;
  const std::shared_ptr<ParallelCalls> calls_;
  const std::shared_ptr<ParallelDesk> desk_;
  std::map<std::string, LoadTicket> loads_;
  std::optional<ParallelSubmitted> jobs_;
  std::vector<std::size_t> waiting_;  // jobs whose streams have something
  Instant next_text_;                 // no text before
  Instant wakes_for_;                 // the next_text_ that a wake was asked for
  std::vector<EvaluationResult> results_;
  std::vector<std::size_t> tokens_;    // of each job, so far
  std::vector<bool> has_ended_;        // by job
  std::vector<double> began_seconds_;  // by job: its submission after the first one
  std::size_t begun_ = 0;              // those before it were submitted, or passed over
  std::set<std::size_t> stopped_;      // jobs, by the client
  std::string call_;                   // its secret among calls_; empty: it has none
  WorkFacts facts_;
  std::size_t left_ = 0;  // jobs that have not ended
  bool head_given_ = false;
  bool ended_ = false;
};

std::unique_ptr<Work> stop_job(const ParallelCalls& calls, const HttpRequest& request) {
  const auto job = [&]() -> Result<std::int64_t> {
    CHOIR_CHECK_OK(has_only(request.query, {"job"}));
    if (query_value(request.query, "job").empty())
      return fail(Code::kInvalidArgument, "'job' is missing: the number of the job in 'begin'");
    return number_in_query(request.query, "job", {0, kJobLast}, 0);
  }();
  if (!job) return reply_with_error(about_query(api_error(job.error()), kParallelJobQuery));
  if (!calls.stop(request.rest, static_cast<std::size_t>(*job)))
    return reply_with_error(
        api_error(Error{Code::kNotFound, "no stream under way has this call with a job " +
                                             std::to_string(*job) + " that has not ended"}));
  return reply_with_json(200, to_text({{"job", *job}, {"cancelled", true}}));
}

}  // namespace

void add_parallel_routes(Router& router, const Services& s) {
  const auto calls = std::make_shared<ParallelCalls>();
  router.add({.method = "POST",
              .path = "/choir/v1/parallel",
              .summary = "Runs several prompts or models at once, and reports",
              .scopes = kInfer,
              .body_bytes_max = kInferenceBodyMax,
              .headers = kRequestHeaders,
              .body = kParallel,
              .reply = {.schema = "Report", .may_stream = true, .event = "JobEvent"},
              .handler = [&s, calls](HttpRequest request, Wake wake) -> std::unique_ptr<Work> {
                return std::make_unique<ParallelWork>(s, calls, std::move(request),
                                                      std::move(wake));
              }});
  router.add({.method = "DELETE",
              .path = "/choir/v1/parallel/*",
              .summary = "Stops one job of a stream, whose 'begin' names the call",
              .scopes = kInfer,
              .query = kParallelJobQuery,
              .reply = {"JobStopped"},
              .handler = [calls](const HttpRequest& request, const Wake&) {
                return stop_job(*calls, request);
              }});
}

}  // namespace choir::serve
