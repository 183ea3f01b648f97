// choir bench: a quick measure of one model on this machine, through a node as every user has it.
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "choir/text.h"
#include "command.h"
#include "exit_code.h"
#include "generation.h"
#include "interrupt.h"
#include "json.h"
#include "measure.h"
#include "terminal.h"

namespace choir::app {
namespace {

struct BenchOptions {
  std::string model;
  std::int32_t prompt_tokens = 256;
  std::int32_t tokens = 64;
  std::int32_t batch = 8;
  std::int32_t repeat = 3;
  std::int32_t cores = 0;
  bool json = false;
};

struct Row {
  std::string test;
  std::int32_t batch = 0;
  Rates rates;
};

// A prompt this short is one small forward pass, so decoding is nearly all of its time.
constexpr std::int32_t kDecodePromptTokens = 8;
constexpr std::int32_t kSlackTokens = 16;  // of the context, for each sequence

Result<std::vector<Usage>> run_batch(Node& node, std::int32_t batch, std::int32_t prompt_tokens,
                                     std::int32_t tokens) {
  std::vector<Request> requests;
  requests.reserve(static_cast<std::size_t>(batch));
  for (std::int32_t i = 0; i < batch; ++i)
    requests.push_back(CHOIR_TRY(request_of(node, "", prompt_tokens, tokens, i)));
  return run_all(node, requests);
}

// From the first token of the first sequence to the last of the last.
double batch_decode_rate(const std::vector<Usage>& usages) {
  double first = usages.front().first_token_seconds;
  double last = 0;
  double tokens = 0;
  for (const Usage& usage : usages) {
    first = std::min(first, usage.first_token_seconds);
    last = std::max(last, usage.total_seconds);
    tokens += usage.output_tokens - 1;
  }
  return last > first ? tokens / (last - first) : 0;
}

enum class Kind : unsigned char { kPrefill, kDecode };

Result<Row> measure(Node& node, Kind kind, std::int32_t batch, const BenchOptions& options) {
  std::vector<double> rates;
  for (std::int32_t i = 0; i < options.repeat; ++i) {
    const bool prefill = kind == Kind::kPrefill;
    const auto usages =
        CHOIR_TRY(run_batch(node, batch, prefill ? options.prompt_tokens : kDecodePromptTokens,
                            prefill ? 1 : options.tokens));
    rates.push_back(prefill ? prefill_rate(usages) : batch_decode_rate(usages));
  }
  const std::string test = kind == Kind::kPrefill
                               ? "prefill " + std::to_string(options.prompt_tokens)
                               : "decode " + std::to_string(options.tokens);
  return Row{test, batch, rates_of(std::move(rates))};
}

Result<std::vector<Row>> measure_all(Node& node, const BenchOptions& options) {
  const Graceful until_measured;
  note("⏳ Measuring, " + std::to_string(options.repeat) + " times each...\n");
  CHOIR_TRY(run_batch(node, 1, kDecodePromptTokens, 4));  // warm: pages touched, threads awake
  std::vector<Row> rows;
  for (const Kind kind : {Kind::kPrefill, Kind::kDecode}) {
    rows.push_back(CHOIR_TRY(measure(node, kind, 1, options)));
    if (options.batch > 1) rows.push_back(CHOIR_TRY(measure(node, kind, options.batch, options)));
  }
  return rows;
}

void print_rows(const std::vector<Row>& rows, const OpenModel& model) {
  const ModelInfo& info = model.info;
  print(printable_line(info.name, 60) + ", " + info.quantization + ", " +
        bytes_text(info.weight_bytes) + " of weights, on " +
        std::to_string(model.node->info().cores) + " cores\n\n");
  std::vector<std::vector<std::string>> lines = {
      {"test", "at once", "tok/s", "lowest", "highest", "ms/token"}};
  for (const Row& row : rows)
    lines.push_back({row.test, std::to_string(row.batch), fixed(row.rates.median, 1),
                     fixed(row.rates.lowest, 1), fixed(row.rates.highest, 1),
                     fixed(row.rates.median > 0 ? 1000 / row.rates.median : 0, 3)});
  print(table(lines, "lrrrrr"));
}

void print_rows_json(const std::vector<Row>& rows, const OpenModel& model,
                     const BenchOptions& options) {
  Json lines = Json::array();
  for (const Row& row : rows)
    lines.push_back({{"test", row.test},
                     {"batch", row.batch},
                     {"tokens_per_second", row.rates.median},
                     {"lowest", row.rates.lowest},
                     {"highest", row.rates.highest}});
  print_json({{"model", model.info.path},
              {"cores", model.node->info().cores},
              {"repeat", options.repeat},
              {"rows", std::move(lines)}});
}

std::string wrong_with(const BenchOptions& options) {
  const auto check = [](std::string_view flag, std::int32_t value,
                        std::int32_t most) -> std::string {
    if (value >= 1 && value <= most) return "";
    return std::string(flag) + " is " + std::to_string(value) + ", it takes 1 to " +
           std::to_string(most);
  };
  for (const std::string& wrong :
       {check("--prompt-tokens", options.prompt_tokens, 1 << 20),
        check("--tokens", options.tokens, 1 << 20), check("--batch", options.batch, 256),
        check("--repeat", options.repeat, 1000)})
    if (!wrong.empty()) return wrong;
  return options.tokens == 1 ? "--tokens is 1, decoding is measured from 2" : "";
}

Result<int> bench(const BenchOptions& options) {
  if (const std::string wrong = wrong_with(options); !wrong.empty()) return usage_error(wrong);
  OpenOptions open;
  open.cores = options.cores;
  open.sequences_max = options.batch;
  open.prefix_cache = false;  // every prompt is to be computed
  open.context_tokens =
      options.batch *
      (std::max(options.prompt_tokens, kDecodePromptTokens + options.tokens) + kSlackTokens);
  const OpenModel model = CHOIR_TRY(open_model(options.model, open));
  const std::vector<Row> rows = CHOIR_TRY(measure_all(*model.node, options));
  options.json ? print_rows_json(rows, model, options) : print_rows(rows, model);
  return kExitOk;
}

}  // namespace

void add_bench(CLI::App& root, Run& chosen) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command =
      add_command(root, "bench", "Measure how fast a model reads and writes on this machine",
                  "  choir bench smollm2-135m\n"
                  "  choir bench smollm2-135m --batch 32 --tokens 128\n"
                  "  choir bench ./model.gguf --json");
  add_value(*command, "MODEL", options->model, "", "Name or GGUF file")->required();
  add_value(*command, "--prompt-tokens", options->prompt_tokens, "N",
            "Tokens of a prompt, for prefill");
  add_value(*command, "--tokens", options->tokens, "N", "Tokens to write, for decode");
  add_value(*command, "--batch", options->batch, "N", "Requests at once, beside 1");
  add_value(*command, "--repeat", options->repeat, "N",
            "Times each test; the table has the median");
  add_cores(*command, options->cores);
  add_json(*command, options->json);
  command->callback([options, &chosen] { chosen = [options] { return bench(*options); }; });
}

}  // namespace choir::app
