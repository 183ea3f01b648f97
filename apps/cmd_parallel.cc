// choir parallel: many sessions over one or several models at once, and the report.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "choir/catalog.h"
#include "choir/machine.h"
#include "choir/parallel_evaluation.h"
#include "choir/priority_named.h"
#include "choir/text.h"
#include "command.h"
#include "exit_code.h"
#include "input.h"
#include "interrupt.h"
#include "json.h"
#include "live_sessions.h"
#include "remote_parallel.h"

namespace choir::app {
namespace {

struct ParallelOptions {
  std::vector<std::string> models;
  std::vector<std::string> priorities;
  std::vector<std::string> prompts;
  std::string prompts_file;
  ParallelConfig config;  // what the flags fill in directly
  std::string host;       // empty: the models are loaded in this process
  bool compare = false;
  bool json = false;
};

Result<Priority> priority_in(const std::string& word) {
  if (const auto priority = priority_named(word)) return *priority;
  const std::vector<std::string> names(kPriorityNames.begin(), kPriorityNames.end());
  const auto near = nearest(word, names);
  return fail(Code::kInvalidArgument, "'" + word + "' is no priority" +
                                          (near ? ", did you mean '" + *near + "'?" : "") +
                                          " (critical, high, normal, low)");
}

struct ModelWord {
  std::string model;
  std::optional<Priority> priority;
};

// "NAME" or "NAME:priority"; a file with a colon in its name is a file.
Result<ModelWord> split_priority(const std::string& word) {
  const std::size_t colon = word.rfind(':');
  if (colon == std::string::npos || word.find('/', colon) != std::string::npos)
    return ModelWord{word, {}};
  if (resolve_model(word)) return ModelWord{word, {}};
  return ModelWord{word.substr(0, colon), CHOIR_TRY(priority_in(word.substr(colon + 1)))};
}

Result<std::vector<ModelWord>> model_words(const ParallelOptions& options) {
  if (options.priorities.size() > options.models.size())
    return fail(Code::kInvalidArgument,
                "there are " + std::to_string(options.priorities.size()) + " --priority for " +
                    std::to_string(options.models.size()) + " --model; they go in the same order");
  std::vector<ModelWord> words;
  for (std::size_t i = 0; i < options.models.size(); ++i) {
    words.push_back(CHOIR_TRY(split_priority(options.models[i])));
    if (i >= options.priorities.size()) continue;
    if (words[i].priority)
      return fail(
          Code::kInvalidArgument,
          "'" + options.models[i] + "' has a priority of its own and a --priority; leave one out");
    words[i].priority = CHOIR_TRY(priority_in(options.priorities[i]));
  }
  return words;
}

// What to show for a model: the name as the user wrote it, of a path the file's. The second one of
// a name is "a#2", so that their sessions can be told apart.
std::string shown_name(const std::string& word, const std::vector<ParallelModel>& before) {
  const bool path = word.find('/') != std::string::npos || word.ends_with(".gguf");
  const std::string base = path ? std::filesystem::path(word).stem().string() : word;
  std::string name = base;
  for (int i = 2; std::ranges::count(before, name, &ParallelModel::name) > 0; ++i)
    name = base + "#" + std::to_string(i);
  return name;
}

// With a daemon its names are taken as they are, and the paths are those that it tells.
Result<std::vector<ParallelModel>> resolved(const std::vector<ModelWord>& words,
                                            const RemoteDaemon* daemon) {
  std::vector<ParallelModel> models;
  for (const ModelWord& word : words) {
    ParallelModel model;
    model.path = daemon == nullptr ? CHOIR_TRY(resolve_model(word.model))
                                   : CHOIR_TRY(daemon->model(word.model)).path;
    model.name = shown_name(word.model, models);
    model.priority = word.priority.value_or(Priority::kNormal);
    models.push_back(std::move(model));
  }
  return models;
}

std::size_t sessions_of(const ParallelConfig& config) {
  return config.models.size() * static_cast<std::size_t>(config.sessions);
}

std::string header(const ParallelConfig& config) {
  std::string models;
  for (const ParallelModel& model : config.models) {
    models += (models.empty() ? "" : ", ") + printable_line(model.name, 60);
    if (model.priority != Priority::kNormal)
      models += " (" + std::string(to_string(model.priority)) + ")";
  }
  return "🎯 Starting parallel LLM evaluation with " + count_of(sessions_of(config), "session") +
         "\n📋 Model" + (config.models.size() == 1 ? "" : "s") + ": " + models +
         "\n🔥 Temperature: " + shortest(config.temperature) +
         "\n📝 Max tokens: " + std::to_string(config.max_tokens) + "\n\n";
}

void print_outcome_json(const ParallelConfig& config, const EvaluationReport& together,
                        const std::optional<Comparison>& comparison) {
  Json models = Json::array();
  for (const ParallelModel& model : config.models)
    models.push_back(
        {{"name", model.name}, {"path", model.path}, {"priority", to_string(model.priority)}});
  Json out = {{"models", std::move(models)},
              {"sessions_per_model", config.sessions},
              {"max_tokens", config.max_tokens},
              {"temperature", Json::parse(shortest(config.temperature))},
              {"cores", config.node.cores}};
  out.update(comparison ? json_of(*comparison) : json_of(together));
  print_json(out);
}

bool failed(const EvaluationReport& report) {
  return std::ranges::any_of(report.results,
                             [](const EvaluationResult& r) { return r.error.has_value(); });
}

using Order = ParallelEvaluation::Order;
using RunInOrder = std::function<Result<EvaluationReport>(Order order)>;

// Runs the sessions, once or for a comparison twice, and prints what came of it.
Result<int> evaluate(const ParallelConfig& config, const ParallelOptions& options,
                     const RunInOrder& run) {
  const Graceful until_reported;
  note("⚡ Running " + count_of(sessions_of(config), "evaluation session") + " concurrently...\n\n");
  const EvaluationReport together = CHOIR_TRY(run(Order::kTogether));
  note("\n");
  if (!options.json) print(render(together, config));
  std::optional<Comparison> comparison;
  if (options.compare && !interrupted()) {
    note("\n🐢 The same work, one request at a time...\n\n");
    comparison = compare(together, CHOIR_TRY(run(Order::kOneAtATime)));
    note("\n");
    if (!options.json && !interrupted()) print(render(*comparison));
  }
  if (options.json) print_outcome_json(config, together, comparison);
  if (interrupted()) return kExitInterrupted;
  return failed(together) || (comparison && failed(comparison->one_at_a_time)) ? kExitFailed
                                                                               : kExitOk;
}

Result<int> parallel_here(const ParallelConfig& config, const ParallelOptions& options) {
  if (!options.json) print(header(config));
  note("⏳ Loading " + count_of(config.models.size(), "model") + "...\n");
  auto evaluation = CHOIR_TRY(ParallelEvaluation::create(config));
  return evaluate(evaluation->config(), options, [&](Order order) {
    LiveSessions live(evaluation->config(), [&] { evaluation->cancel(); });
    return evaluation->run(order, [&](const SessionProgress& progress) { live.update(progress); });
  });
}

Result<int> parallel_there(ParallelConfig config, const std::vector<ModelWord>& words,
                           const ParallelOptions& options) {
  if (config.node.cores != 0 || config.kv_type != KvType::kF16)
    return usage_error("--cores and --kv-type are the daemon's; leave them out with --host");
  const RemoteDaemon daemon = CHOIR_TRY(RemoteDaemon::at(options.host));
  config.models = CHOIR_TRY(resolved(words, &daemon));
  config.node.cores = CHOIR_TRY(daemon.cores());
  if (config.prompts.empty()) config.prompts = usual_prompts();
  std::vector<std::string> executors;
  executors.reserve(words.size());
  for (const ModelWord& word : words) executors.push_back(word.model);
  if (!options.json) print(header(config));
  return evaluate(config, options, [&](Order order) {
    std::atomic<bool> cancelled{false};
    LiveSessions live(config, [&] { cancelled.store(true); });
    return run_there(
        daemon, config, executors, order,
        [&](const SessionProgress& progress) { live.update(progress); }, cancelled);
  });
}

Result<int> parallel(const ParallelOptions& options) {
  const auto words = model_words(options);
  if (!words) return usage_error(words.error().message);
  if (!options.prompts_file.empty() && !options.prompts.empty())
    return usage_error("--prompt and --prompts exclude each other; take one");
  ParallelConfig config = options.config;
  config.prompts = options.prompts;
  if (!options.prompts_file.empty()) {
    config.prompts = CHOIR_TRY(read_lines(options.prompts_file));
    if (config.prompts.empty())
      return usage_error("'" + options.prompts_file + "' has no prompt: all its lines are blank");
  }
  if (config.raw && !config.system.empty())
    return usage_error("--system needs the chat template; leave out --raw");
  ParallelConfig checked = config;  // the files are not looked at yet
  for (const ModelWord& word : *words)
    checked.models.push_back({.path = word.model, .name = word.model});
  if (const Status valid = validate(checked); !valid) return usage_error(valid.error().message);
  config.prefix_cache = !options.compare;  // the second time would find what the first computed
  if (!options.host.empty()) return parallel_there(config, *words, options);
  config.models = CHOIR_TRY(resolved(*words, nullptr));
  const int allowed = read_machine().cores;  // named in the report
  config.node.cores = config.node.cores > 0 ? std::min(config.node.cores, allowed) : allowed;
  return parallel_here(config, options);
}

}  // namespace

void add_parallel(CLI::App& root, Run& chosen) {
  auto options = std::make_shared<ParallelOptions>();
  CLI::App* command = add_command(
      root, "parallel", "Run many sessions over one or several models at once",
      "  choir parallel --model smollm2-135m --sessions 4\n"
      "  choir parallel --model smollm2-135m:high --model gemma3-270m:low --compare\n"
      "  choir parallel --model a.gguf --prompts questions.txt --max-tokens 64\n"
      "  choir parallel --model a.gguf --model b.gguf --priority high --priority low --json\n"
      "Session i takes prompt i, beginning again after the last, and has a seed of its own.");
  ParallelConfig& config = options->config;
  add_value(*command, "--host", options->host, "HOST",
            "Let a running daemon do it: http://HOST:PORT or its unix socket");
  add_list(*command, "--model,-m", options->models, "NAME",
           "Name or GGUF file, once for each model; NAME:high sets its priority")
      ->required();
  add_list(*command, "--priority", options->priorities, "P",
           "critical, high, normal or low, in the order of the models");
  add_value(*command, "--sessions,-n", config.sessions, "N", "Sessions of each model at once");
  add_list(*command, "--prompt,-p", options->prompts, "TEXT",
           "A prompt; may be given several times");
  add_value(*command, "--prompts", options->prompts_file, "FILE",
            "Prompts, one on each line; - is standard input");
  add_value(*command, "--system", config.system, "TEXT", "System message");
  add_value(*command, "--max-tokens", config.max_tokens, "N", "Tokens of each session at most");
  add_value(*command, "--temperature", config.temperature, "T",
            "0 takes the likeliest token, more is freer");
  command->add_flag("--raw", config.raw,
                    "Prompts as they stand, without the model's chat template");
  command->add_flag("--ignore-eos", config.ignore_eos, "Go on to --max-tokens, for measuring");
  command->add_flag("--compare", options->compare,
                    "Then the same work one request at a time, and the speedup; no prefix cache");
  add_kv_type(*command, config.kv_type);
  add_cores(*command, config.node.cores);
  add_json(*command, options->json);
  command->callback([options, &chosen] { chosen = [options] { return parallel(*options); }; });
}

}  // namespace choir::app
