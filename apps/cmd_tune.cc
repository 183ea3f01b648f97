// choir tune: how many lanes the cores of this machine are best cut into when several models are
// busy, measured through nodes as every user has them, and kept for all nodes from then on.
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "choir/text.h"
#include "choir/tuning.h"
#include "command.h"
#include "exit_code.h"
#include "generation.h"
#include "interrupt.h"
#include "json.h"
#include "measure.h"
#include "terminal.h"

namespace choir::app {
namespace {

struct TuneOptions {
  std::string model;  // empty: kModel
  bool forget = false;
  bool json = false;
};

// One thing tried: so many lanes, or so many tokens of a pass.
struct Row {
  std::int32_t value = 0;
  Rates rates;
};

struct Found {
  ModelInfo model;
  Machine machine;
  std::int32_t executors = 0;
  std::int32_t prompt_tokens = 0;  // of the prompts that were read for `batches`
  std::vector<Row> batches;
  std::vector<Row> lanes;
  Tuning tuning;
};

constexpr auto kModel = "smollm2-135m";  // small: a turn is short, so the cut of the cores shows
constexpr std::int32_t kRounds = 3;      // the median of so many; one that was disturbed is not it
constexpr std::int32_t kExecutorsMax = 4;  // with its KV memory each
constexpr std::int32_t kRequests = 4;      // of each executor: it batches, as it does in use
constexpr std::int32_t kTokens = 48;       // half a second of a small model on two cores
constexpr std::int32_t kShortPrompt = 8;   // one small pass, so writing is nearly all of the time
constexpr std::int32_t kLongPrompt = 512;  // the largest pass that is tried
constexpr std::int32_t kSlackTokens = 16;  // of the context, for each sequence
constexpr std::int32_t kBatchTokens[] = {128, 256, kLongPrompt};
constexpr auto kBatchUse =
    "What one pass of a prompt takes is batch_tokens_max of each executor, 512 where nothing is "
    "said; it is shown\nfor those who set it, and not kept.";

// Ctrl-C where no request is running: while a model is being loaded.
Status still_wanted() {
  watch_output();
  if (interrupted()) return fail(Code::kCancelled, "interrupted");
  return {};
}

ExecutorConfig executor_config(const std::string& name, const std::string& path,
                               std::int32_t sequences, std::int32_t tokens) {
  ExecutorConfig config;
  config.name = name;
  config.path = path;
  config.sequences_max = sequences;
  config.context_tokens = sequences * (tokens + kSlackTokens);
  return config;
}

Result<std::unique_ptr<Node>> node_for_batches(const Found& found) {
  auto node = CHOIR_TRY(Node::create({}));
  for (const std::int32_t batch : kBatchTokens) {
    ExecutorConfig config =
        executor_config(std::to_string(batch), found.model.path, 1, found.prompt_tokens);
    config.batch_tokens_max = batch;
    CHOIR_CHECK_OK(node->add(config));
  }
  return node;
}

// In rounds over all candidates, so that a disturbance of some seconds hits them alike.
Result<std::vector<Row>> measure_batches(Node& node, std::int32_t prompt_tokens) {
  std::vector<Row> rows;
  std::vector<std::vector<double>> runs(std::size(kBatchTokens));
  for (std::int32_t round = 0; round <= kRounds; ++round)
    for (std::size_t i = 0; i < runs.size(); ++i) {
      const Request request = CHOIR_TRY(
          request_of(node, std::to_string(kBatchTokens[i]), prompt_tokens, /*tokens=*/1, round));
      const double rate = prefill_rate(CHOIR_TRY(run_all(node, {request})));
      if (round > 0) runs[i].push_back(rate);  // the first one touches pages and wakes threads
    }
  for (std::size_t i = 0; i < runs.size(); ++i)
    rows.push_back({kBatchTokens[i], rates_of(runs[i])});
  return rows;
}

Result<std::vector<Usage>> run_busy(Node& node, std::int32_t executors, std::int32_t tokens) {
  std::vector<Request> requests;
  requests.reserve(static_cast<std::size_t>(executors) * kRequests);
  for (std::int32_t i = 0; i < executors * kRequests; ++i)
    requests.push_back(
        CHOIR_TRY(request_of(node, std::to_string(i % executors), kShortPrompt, tokens, i)));
  return run_all(node, requests);
}

// Tokens of all executors in a second. A node of its own each time: where its memory came to lie is
// part of what the median is over, and no more than one model's weights are in memory.
Result<double> lanes_rate(const Found& found, std::int32_t lanes_max) {
  CHOIR_CHECK_OK(still_wanted());
  NodeConfig config;
  config.lanes_max = lanes_max;
  const auto node = CHOIR_TRY(Node::create(config));
  for (std::int32_t i = 0; i < found.executors; ++i)
    CHOIR_CHECK_OK(node->add(
        executor_config(std::to_string(i), found.model.path, kRequests, kShortPrompt + kTokens)));
  CHOIR_TRY(run_busy(*node, found.executors, 4));  // warm: pages touched, threads awake
  return output_rate(CHOIR_TRY(run_busy(*node, found.executors, kTokens)));
}

Result<std::vector<Row>> measure_lanes(const Found& found) {
  const std::vector<std::int32_t> candidates = lanes_candidates(found.machine.cores);
  std::vector<std::vector<double>> runs(candidates.size());
  for (std::int32_t round = 0; round < kRounds; ++round)
    for (std::size_t i = 0; i < runs.size(); ++i)
      runs[i].push_back(CHOIR_TRY(lanes_rate(found, candidates[i])));
  std::vector<Row> rows;
  for (std::size_t i = 0; i < runs.size(); ++i) rows.push_back({candidates[i], rates_of(runs[i])});
  return rows;
}

Tuning decide(const Found& found) {
  std::vector<LanesRate> rates;
  for (const Row& row : found.lanes) rates.push_back({row.value, row.rates.median});
  const std::int32_t cores = found.machine.cores;
  return {found.machine.cpu, cores, version().choir, choose_lanes(rates, cores)};
}

Result<Found> measure_all(const std::string& model) {
  Found found;
  found.model = CHOIR_TRY(generating_model(model));
  found.machine = read_machine();
  found.executors = std::clamp(found.machine.cores, 2, kExecutorsMax);
  found.prompt_tokens = kLongPrompt;
  if (const std::int32_t trained = found.model.context_tokens_trained; trained > 0)
    found.prompt_tokens = std::clamp(trained - kSlackTokens, kShortPrompt, kLongPrompt);
  auto node = CHOIR_TRY(node_for_batches(found));
  note("⏳ Measuring for some seconds; other work on this machine falsifies it...\n");
  found.batches = CHOIR_TRY(measure_batches(*node, found.prompt_tokens));
  node.reset();  // gives its memory back to those that follow
  found.lanes = CHOIR_TRY(measure_lanes(found));
  found.tuning = decide(found);
  return found;
}

std::string verdict(const Found& found) {
  const std::int32_t cores = found.machine.cores;
  const std::int32_t lanes = found.tuning.lanes_max;
  if (cores == 1) return "One core is one lane: there is nothing to choose.";
  const auto rate = [&](std::int32_t value) {
    return std::ranges::find(found.lanes, value, &Row::value)->rates.median;
  };
  if (lanes != cores)
    return "Nodes will use up to " + count_of(static_cast<std::size_t>(lanes), "lane") + ": " +
           fixed((rate(lanes) / rate(cores) - 1) * 100, 1) + " % faster than " +
           std::to_string(cores) + ", which they use where nothing is kept.";
  return "Nodes go on using up to " + count_of(static_cast<std::size_t>(cores), "lane") +
         ", one for each core: nothing else was more than " + fixed(kTuningGainMin * 100, 0) +
         " % faster.";
}

std::string table_of(const std::vector<Row>& rows, const std::string& what) {
  std::vector<std::vector<std::string>> lines = {{what, "tok/s", "lowest", "highest"}};
  for (const Row& row : rows)
    lines.push_back({std::to_string(row.value), fixed(row.rates.median, 1),
                     fixed(row.rates.lowest, 1), fixed(row.rates.highest, 1)});
  return table(lines, "rrrr");
}

void print_found(const Found& found) {
  const auto executors = static_cast<std::size_t>(found.executors);
  print(printable_line(found.model.name, 60) + ", " + found.model.quantization + ", on " +
        count_of(static_cast<std::size_t>(found.machine.cores), "core") + " of " +
        printable_line(found.machine.cpu, 60) + "\n\n" + count_of(executors, "busy executor") +
        ", " + std::to_string(kRequests) + " requests of " + std::to_string(kTokens) +
        " tokens each:\n\n" + table_of(found.lanes, "lanes") + "\n" + verdict(found) +
        "\n\nOne executor reads a prompt of " + std::to_string(found.prompt_tokens) +
        " tokens:\n\n" + table_of(found.batches, "tokens of a pass") + "\n" + kBatchUse + "\n");
}

Json json_of(const std::vector<Row>& rows, const std::string& what) {
  Json lines = Json::array();
  for (const Row& row : rows)
    lines.push_back({{what, row.value},
                     {"tokens_per_second", row.rates.median},
                     {"lowest", row.rates.lowest},
                     {"highest", row.rates.highest}});
  return lines;
}

void print_found_json(const Found& found, bool kept) {
  print_json({{"model", found.model.path},
              {"cpu", found.tuning.cpu},
              {"cores", found.tuning.cores},
              {"choir", found.tuning.choir},
              {"executors", found.executors},
              {"requests", kRequests},
              {"tokens", kTokens},
              {"repeat", kRounds},
              {"lanes", json_of(found.lanes, "lanes_max")},
              {"prompt_tokens", found.prompt_tokens},
              {"batches", json_of(found.batches, "batch_tokens_max")},
              {"lanes_max", found.tuning.lanes_max},
              {"as_untuned", found.tuning.lanes_max == found.tuning.cores},
              {"kept_in", kept ? Json(tuning_path()) : Json()}});
}

Result<int> forget(bool json) {
  const bool there = CHOIR_TRY(forget_tuning());
  if (json)
    print_json({{"path", tuning_path()}, {"forgotten", there}});
  else
    print(there ? "Removed " + tuning_path() + ": nodes use as many lanes as there are cores.\n"
                : "Nothing was kept.\n");
  return kExitOk;
}

Result<int> tune(const TuneOptions& options) {
  if (options.forget && !options.model.empty())
    return usage_error("--forget and --model exclude each other; take one");
  if (options.forget) return forget(options.json);
  if (tuning_path().empty())
    return fail(Code::kUnavailable, "there is no folder to keep the result in: set CHOIR_CACHE");
  const Graceful until_kept;
  const Found found = CHOIR_TRY(measure_all(options.model.empty() ? kModel : options.model));
  CHOIR_CHECK_OK(still_wanted());
  const Status kept = keep_tuning(found.tuning);
  options.json ? print_found_json(found, kept.has_value()) : print_found(found);
  if (!kept) return tl::unexpected(kept.error());
  if (!options.json) print("Kept in " + tuning_path() + "\n");
  return kExitOk;
}

}  // namespace

void add_tune(CLI::App& root, Run& chosen) {
  auto options = std::make_shared<TuneOptions>();
  CLI::App* command = add_command(
      root, "tune", "Measure how to share this machine's cores among busy models, and keep it",
      "  choir tune\n"
      "  choir tune --model ./model.gguf\n"
      "  choir tune --forget\n"
      "Takes under a minute with a small model. 'choir doctor' says what is kept; on another\n"
      "CPU, with other cores or another version of Choir it is ignored.");
  add_value(*command, "--model,-m", options->model, "MODEL",
            "Name or GGUF file to measure with [" + std::string(kModel) + "]");
  command->add_flag("--forget", options->forget, "Remove what is kept, measure nothing");
  add_json(*command, options->json);
  command->callback([options, &chosen] { chosen = [options] { return tune(*options); }; });
}

}  // namespace choir::app
