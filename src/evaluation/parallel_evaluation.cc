// choir/parallel_evaluation.h: the sessions. What is printed of them: parallel_report.cc.
//
// An application of a node: of Choir it uses the public API, and small helpers of base.
#include "choir/parallel_evaluation.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <string_view>

#include "base/callback_thread.h"
#include "base/caught.h"
#include "base/clock.h"
#include "base/guarded.h"
#include "base/log.h"
#include "choir/node.h"

namespace choir {
namespace {

constexpr std::array<std::string_view, 8> kPrompts = {
    "Write a short poem about machine learning.",
    "Explain the concept of neural networks simply.",
    "What are the key differences between AI and machine learning?",
    "Give three tips for learning a new language.",
    "Tell a short story about a lighthouse keeper.",
    "Why is the sky blue?",
    "Describe how bread is baked.",
    "What makes a good friend?"};

// Names in the node are unique; two executors of one file are "a" and "a#2".
std::vector<std::string> executor_names(const std::vector<ParallelModel>& models) {
  std::vector<std::string> names;
  for (const ParallelModel& model : models) {
    const std::string base =
        model.name.empty() ? std::filesystem::path(model.path).stem().string() : model.name;
    std::string name = base;
    for (int i = 2; std::ranges::find(names, name) != names.end(); ++i)
      name = base + "#" + std::to_string(i);
    names.push_back(name);
  }
  return names;
}

}  // namespace

std::vector<std::string> usual_prompts() { return {kPrompts.begin(), kPrompts.end()}; }

struct ParallelEvaluation::Inside {
  explicit Inside(ParallelConfig wanted) : config(std::move(wanted)) {}

  std::int32_t sessions() const {
    return config.sessions * static_cast<std::int32_t>(config.models.size());
  }
  // Neighbouring sessions go to different models, so that the first ones show several at work.
  const std::string& executor_of(std::int32_t session) const {
    return names[static_cast<std::size_t>(session) % names.size()];
  }
  const std::string& prompt_of(std::int32_t session) const {
    return config.prompts[static_cast<std::size_t>(session) % config.prompts.size()];
  }
  Request request_of(std::int32_t session) const;
  EvaluationResult result_of(std::int32_t session, const Completion& completion,
                             double began) const;

  ParallelConfig config;
  std::vector<std::string> names;  // of the executors, one for each model
  SteadyClock clock;
  double load_seconds = 0;
  std::atomic<bool> cancelled{false};
  struct Running {
    std::vector<RequestId> ids;
  };
  Guarded<Running> running;
  std::unique_ptr<Node> node;
};

Request ParallelEvaluation::Inside::request_of(std::int32_t session) const {
  Request request;
  request.executor = executor_of(session);
  if (config.raw) {
    request.text = prompt_of(session);
  } else {
    if (!config.system.empty()) request.messages.push_back({"system", config.system});
    request.messages.push_back({"user", prompt_of(session)});
  }
  request.max_tokens = config.max_tokens;
  request.sampling.temperature = config.temperature;
  request.sampling.seed = static_cast<std::uint64_t>(session) * 1000;
  request.ignore_eos = config.ignore_eos;
  return request;
}

EvaluationResult ParallelEvaluation::Inside::result_of(std::int32_t session,
                                                       const Completion& completion,
                                                       double began) const {
  EvaluationResult r = choir::result_of(completion);
  r.session_id = session;
  r.model = executor_of(session);
  r.prompt = prompt_of(session);
  r.first_token_seconds += began;
  return r;
}

Result<std::unique_ptr<ParallelEvaluation>> ParallelEvaluation::create(ParallelConfig config) {
  return caught([&] { return load(std::move(config)); });
}

Result<std::unique_ptr<ParallelEvaluation>> ParallelEvaluation::load(ParallelConfig config) {
  CHOIR_CHECK_OK(validate(config));
  if (config.prompts.empty()) config.prompts = usual_prompts();
  auto inside = std::make_unique<Inside>(std::move(config));
  const ParallelConfig& c = inside->config;
  inside->names = executor_names(c.models);
  inside->node = CHOIR_TRY(Node::create(c.node));
  const Instant began = inside->clock.now();

  // Room for every session at once: its prompt (by bytes, which are at least its tokens, plus what
  // a template adds) and what it may generate.
  std::size_t longest = 0;
  for (const std::string& prompt : c.prompts) longest = std::max(longest, prompt.size());
  constexpr std::size_t kTemplateTokens = 64;
  const std::size_t each =
      longest + c.system.size() + kTemplateTokens + static_cast<std::size_t>(c.max_tokens);
  const std::size_t cells = (each * static_cast<std::size_t>(c.sessions) + 255) / 256 * 256;
  for (std::size_t i = 0; i < c.models.size(); ++i) {
    ExecutorConfig executor;
    executor.name = inside->names[i];
    executor.path = c.models[i].path;
    executor.priority = c.models[i].priority;
    executor.shares = c.models[i].shares;
    executor.sequences_max = c.sessions;
    executor.prefix_cache = c.prefix_cache;
    executor.kv_type = c.kv_type;
    executor.context_tokens = static_cast<std::int32_t>(std::min<std::size_t>(cells, 1U << 17));
    CHOIR_CHECK_OK(inside->node->add(executor));
  }
  inside->load_seconds = to_seconds(inside->clock.now() - began);
  return std::unique_ptr<ParallelEvaluation>(new ParallelEvaluation(std::move(inside)));
}

ParallelEvaluation::ParallelEvaluation(std::unique_ptr<Inside> inside)
    : inside_(std::move(inside)) {}
ParallelEvaluation::~ParallelEvaluation() = default;

const ParallelConfig& ParallelEvaluation::config() const { return inside_->config; }

void ParallelEvaluation::cancel() {
  inside_->cancelled.store(true);
  for (const RequestId id : inside_->running.with([](const auto& r) { return r.ids; }))
    (void)inside_->node->cancel(id);
}

Result<EvaluationReport> ParallelEvaluation::run(
    Order order, const std::function<void(const SessionProgress&)>& progress) {
  CHOIR_CHECK_OK(refuse_inside_callback("ParallelEvaluation::run()", "another thread"));
  Inside& in = *inside_;
  const Instant start = in.clock.now();
  std::vector<EvaluationResult> results(static_cast<std::size_t>(in.sessions()));
  in.running.with([](auto& r) { r.ids.clear(); });

  const auto tell = [&](std::int32_t session, SessionProgress::Phase phase, std::int32_t tokens,
                        double speed) {
    if (!progress) return;
    // What it throws stays with it: requests that run still tell of themselves here.
    const Status told = caught([&] {
      progress({session, phase, in.executor_of(session), in.prompt_of(session), tokens, speed});
    });
    if (!told) log(LogLevel::kError, "a progress callback threw: " + told.error().message);
  };
  const auto begin = [&](std::int32_t session) -> Result<Submission> {
    tell(session, SessionProgress::Phase::kStarted, 0, 0);
    if (in.cancelled.load()) return fail(Code::kCancelled, "the evaluation was cancelled");
    Callbacks callbacks;
    if (progress) {
      const Instant submitted = in.clock.now();
      callbacks.on_event = [&, session, submitted](const StreamEvent& event) {
        const double seconds = to_seconds(in.clock.now() - submitted);
        tell(session, SessionProgress::Phase::kToken, event.output_tokens,
             seconds > 0 ? event.output_tokens / seconds : 0);
      };
      callbacks.on_done = [&, session](const Completion& c) {
        const EvaluationResult r = in.result_of(session, c, 0);
        tell(session, SessionProgress::Phase::kEnded, r.tokens, r.tokens_per_second);
      };
    }
    auto submission = in.node->submit(in.request_of(session), std::move(callbacks));
    if (submission) {
      in.running.with([&](auto& r) { r.ids.push_back(submission->id); });
      if (in.cancelled.load()) (void)in.node->cancel(submission->id);  // it came in between
    }
    return submission;
  };
  const auto end = [&](std::int32_t session, Result<Submission> submission, double began) {
    EvaluationResult& row = results[static_cast<std::size_t>(session)];
    if (submission) {
      row = in.result_of(session, submission->result.get(), began);
      return;
    }
    row.session_id = session;
    row.model = in.executor_of(session);
    row.prompt = in.prompt_of(session);
    row.error = submission.error();
    if (row.error->code == Code::kCancelled) row.finish = Finish::kCancelled;
    tell(session, SessionProgress::Phase::kEnded, 0, 0);
  };

  if (order == Order::kTogether) {
    std::vector<Result<Submission>> submissions;
    submissions.reserve(results.size());
    for (std::int32_t session = 0; session < in.sessions(); ++session)
      submissions.push_back(begin(session));
    for (std::int32_t session = 0; session < in.sessions(); ++session)
      end(session, std::move(submissions[static_cast<std::size_t>(session)]), 0);
  } else {
    for (std::int32_t session = 0; session < in.sessions(); ++session) {
      const double began = to_seconds(in.clock.now() - start);
      end(session, begin(session), began);
    }
  }

  return report_of(std::move(results), in.load_seconds, to_seconds(in.clock.now() - start));
}

}  // namespace choir
