#include "remote_parallel.h"

#include <chrono>
#include <optional>
#include <random>
#include <utility>

#include "terminal.h"

namespace choir::app {
namespace {

using SteadyTime = std::chrono::steady_clock;

double seconds_since(SteadyTime::time_point began) {
  return std::chrono::duration<double>(SteadyTime::now() - began).count();
}

const ParallelModel& model_of(const ParallelConfig& config, std::size_t session) {
  return config.models[session % config.models.size()];
}
const std::string& prompt_of(const ParallelConfig& config, std::size_t session) {
  return config.prompts[session % config.prompts.size()];
}

// As ParallelEvaluation makes them. The daemon has a prefix cache; what has a salt of its own finds
// nothing there.
std::vector<Request> requests_of(const ParallelConfig& config,
                                 const std::vector<std::string>& executors) {
  std::string salt;
  if (!config.prefix_cache) salt = std::to_string(std::random_device{}());
  std::vector<Request> requests(config.models.size() * static_cast<std::size_t>(config.sessions));
  for (std::size_t i = 0; i < requests.size(); ++i) {
    Request& request = requests[i];
    request.executor = executors[i % executors.size()];
    request.priority = model_of(config, i).priority;
    if (config.raw) {
      request.text = prompt_of(config, i);
    } else {
      if (!config.system.empty()) request.messages.push_back({"system", config.system});
      request.messages.push_back({"user", prompt_of(config, i)});
    }
    request.max_tokens = config.max_tokens;
    request.sampling.temperature = config.temperature;
    request.sampling.seed = i * 1000;
    request.ignore_eos = config.ignore_eos;
    if (!salt.empty()) request.reuse_scope = salt + "-" + std::to_string(i);
  }
  return requests;
}

}  // namespace

Result<EvaluationReport> run_there(const RemoteDaemon& daemon, const ParallelConfig& config,
                                   const std::vector<std::string>& executors,
                                   ParallelEvaluation::Order order,
                                   const std::function<void(const SessionProgress&)>& progress,
                                   const std::atomic<bool>& cancelled) {
  using Phase = SessionProgress::Phase;
  std::optional<SteadyTime::time_point> first_began;
  SteadyTime::time_point began = SteadyTime::now();  // the sessions that run
  const auto tell = [&](std::size_t session, Phase phase, std::int32_t tokens, double seconds) {
    progress({static_cast<std::int32_t>(session), phase, model_of(config, session).name,
              prompt_of(config, session), tokens, seconds > 0 ? tokens / seconds : 0});
  };
  RemoteDaemon::Reader reader;
  reader.on_begin = [&](std::size_t session) {
    began = SteadyTime::now();
    if (!first_began) first_began = began;
    tell(session, Phase::kStarted, 0, 0);
  };
  reader.on_text = [&](std::size_t session, std::string_view /*text*/, std::int32_t tokens) {
    tell(session, Phase::kToken, tokens, seconds_since(began));
  };
  reader.on_end = [&](std::size_t session, const Completion& completion) {
    const EvaluationResult row = result_of(completion);
    tell(session, Phase::kEnded, row.tokens, row.seconds);
  };
  reader.go_on = [&] {
    watch_output();
    return !cancelled.load();
  };
  const auto answers = CHOIR_TRY(daemon.run(requests_of(config, executors), order, reader));
  const double seconds =
      cancelled.load() ? seconds_since(first_began.value_or(began)) : answers.total_seconds;
  std::vector<EvaluationResult> rows;
  for (std::size_t i = 0; i < answers.completions.size(); ++i) {
    Completion completion = answers.completions[i];
    if (completion.usage.total_seconds == 0) completion.usage.total_seconds = seconds;
    EvaluationResult row = result_of(completion);
    row.session_id = static_cast<std::int32_t>(i);
    row.model = model_of(config, i).name;
    row.prompt = prompt_of(config, i);
    rows.push_back(std::move(row));
  }
  return report_of(std::move(rows), answers.load_seconds, seconds);
}

}  // namespace choir::app
