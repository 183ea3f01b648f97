#include "serve/metric_names.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <utility>

#include "choir/text.h"
#include "serve/model_state.h"

namespace choir::serve {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr std::array<std::pair<std::string_view, MetricNames>, 3> kWords = {
    {{"choir", kChoirNames}, {"vllm", kVllmNames}, {"llamacpp", kLlamaNames}}};

// One figure that the node counts, of each executor.
struct Figure {
  MetricNames names;
  const char* name;
  const char* help;
  MetricType type;
  double (*of)(const ExecutorInfo&);
};

double prompt_tokens(const ExecutorInfo& e) { return static_cast<double>(e.prompt_tokens); }
double output_tokens(const ExecutorInfo& e) { return static_cast<double>(e.output_tokens); }
double reused_tokens(const ExecutorInfo& e) { return static_cast<double>(e.reused_tokens); }
double preemptions(const ExecutorInfo& e) { return static_cast<double>(e.preemptions); }
double steps(const ExecutorInfo& e) { return static_cast<double>(e.steps); }
double running(const ExecutorInfo& e) { return e.running; }
double waiting(const ExecutorInfo& e) { return e.waiting; }

// vLLM counts tokens that it finds in its cache, too.
double all_prompt_tokens(const ExecutorInfo& e) { return prompt_tokens(e) + reused_tokens(e); }

double cells_used(const ExecutorInfo& e) {
  const double all = static_cast<double>(e.config.sequences_max) * e.config.sequence_tokens_max;
  return all > 0 ? e.cells / all : 0;
}
double per_second(double seconds) { return seconds > 0 ? 1 / seconds : 0; }

const Figure kFigures[] = {
    {kChoirNames, "choir_num_requests_running", "Sequences that hold KV cells", MetricType::Gauge,
     running},
    {kChoirNames, "choir_num_requests_waiting", "Sequences that wait for a place",
     MetricType::Gauge, waiting},
    {kChoirNames, "choir_kv_cells", "KV cells in use", MetricType::Gauge,
     [](const ExecutorInfo& e) -> double { return e.cells; }},
    {kChoirNames, "choir_kv_cells_cached", "KV cells of ended requests, kept for reuse",
     MetricType::Gauge, [](const ExecutorInfo& e) -> double { return e.cached_cells; }},
    {kChoirNames, "choir_prompt_tokens_total", "Prompt tokens that were computed",
     MetricType::Counter, prompt_tokens},
    {kChoirNames, "choir_generation_tokens_total", "Tokens that were generated",
     MetricType::Counter, output_tokens},
    {kChoirNames, "choir_reused_tokens_total", "Prompt tokens that were not computed again",
     MetricType::Counter, reused_tokens},
    {kChoirNames, "choir_preemptions_total",
     "Times that a sequence lost its KV cells to another one", MetricType::Counter, preemptions},

    {kVllmNames, "vllm:num_requests_running", "Number of requests that run", MetricType::Gauge,
     running},
    {kVllmNames, "vllm:num_requests_waiting", "Number of requests that wait", MetricType::Gauge,
     waiting},
    {kVllmNames, "vllm:kv_cache_usage_perc", "KV cells in use, from 0 to 1", MetricType::Gauge,
     cells_used},
    {kVllmNames, "vllm:num_preemptions_total", "Number of preemptions", MetricType::Counter,
     preemptions},
    {kVllmNames, "vllm:prompt_tokens_total", "Prompt tokens, computed or found in the cache",
     MetricType::Counter, all_prompt_tokens},
    {kVllmNames, "vllm:generation_tokens_total", "Tokens that were generated", MetricType::Counter,
     output_tokens},
    {kVllmNames, "vllm:prefix_cache_queries_total", "Prompt tokens looked for in the prefix cache",
     MetricType::Counter, all_prompt_tokens},
    {kVllmNames, "vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache",
     MetricType::Counter, reused_tokens},

    {kLlamaNames, "llamacpp:prompt_tokens_total", "Number of prompt tokens processed",
     MetricType::Counter, prompt_tokens},
    {kLlamaNames, "llamacpp:tokens_predicted_total", "Number of generation tokens processed",
     MetricType::Counter, output_tokens},
    {kLlamaNames, "llamacpp:n_decode_total", "Number of forward passes", MetricType::Counter,
     steps},
    {kLlamaNames, "llamacpp:prompt_tokens_seconds", "Prompt throughput in tokens/s",
     MetricType::Gauge,
     [](const ExecutorInfo& e) { return per_second(e.seconds_per_prompt_token); }},
    {kLlamaNames, "llamacpp:predicted_tokens_seconds", "Generation throughput in tokens/s",
     MetricType::Gauge,
     [](const ExecutorInfo& e) { return per_second(e.seconds_per_output_token); }},
    {kLlamaNames, "llamacpp:requests_processing", "Number of requests processing",
     MetricType::Gauge, running},
    {kLlamaNames, "llamacpp:requests_deferred", "Number of requests deferred", MetricType::Gauge,
     waiting},
};

// What the daemon counts, under other names.
struct Renamed {
  std::string_view from;
  const char* to;
};
// vllm:time_per_output_token_seconds has an observation for each token there; ours has the mean of
// each request.
constexpr Renamed kVllmRenamed[] = {
    {"choir_time_to_first_token_seconds", "vllm:time_to_first_token_seconds"},
    {"choir_inter_token_latency_seconds", "vllm:time_per_output_token_seconds"},
    {"choir_inter_token_latency_seconds", "vllm:request_time_per_output_token_seconds"},
    {"choir_e2e_request_latency_seconds", "vllm:e2e_request_latency_seconds"},
    {"choir_queue_seconds", "vllm:request_queue_time_seconds"},
    {"choir_prefill_seconds", "vllm:request_prefill_time_seconds"},
    {"choir_decode_seconds", "vllm:request_decode_time_seconds"},
    {"choir_requests_total", "vllm:request_success_total"},
};
// llama-server has no histograms: it adds up what these observe.
constexpr Renamed kLlamaSums[] = {
    {"choir_prefill_seconds", "llamacpp:prompt_seconds_total"},
    {"choir_decode_seconds", "llamacpp:tokens_predicted_seconds_total"},
};

MetricFamily family_of(const char* name, const char* help, MetricType type) {
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  return family;
}

ClientMetric metric_of(std::vector<ClientMetric::Label> labels, MetricType type, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  if (type == MetricType::Counter)
    metric.counter.value = value;
  else
    metric.gauge.value = value;
  return metric;
}

MetricFamily states_of(const std::vector<ExecutorInfo>& executors) {
  MetricFamily states =
      family_of("choir_model_state", "1 for the state that the model is in", MetricType::Gauge);
  for (const ExecutorInfo& e : executors) {
    const std::string_view now = state_of(e);
    for (const std::string_view state : kModelStates)
      states.metric.push_back(
          metric_of({{"model_name", e.config.name}, {"state", std::string(state)}},
                    MetricType::Gauge, state == now ? 1 : 0));
  }
  return states;
}

MetricFamily memory_of(const std::vector<ExecutorInfo>& executors) {
  MetricFamily memory = family_of("choir_memory_bytes", "Memory of the model", MetricType::Gauge);
  for (const ExecutorInfo& e : executors)
    for (const auto& [kind, bytes] :
         {std::pair("weights", e.memory.weights), std::pair("kv", e.memory.kv),
          std::pair("compute", e.memory.compute)})
      memory.metric.push_back(metric_of({{"model_name", e.config.name}, {"kind", kind}},
                                        MetricType::Gauge, static_cast<double>(bytes)));
  return memory;
}

MetricFamily sums_of(const MetricFamily& histograms, const char* name) {
  MetricFamily sums = family_of(name, histograms.help.c_str(), MetricType::Counter);
  for (const ClientMetric& metric : histograms.metric)
    sums.metric.push_back(
        metric_of(metric.label, MetricType::Counter, metric.histogram.sample_sum));
  return sums;
}

// vLLM counts those that have ended by themselves.
void keep_successes(MetricFamily& family) {
  std::erase_if(family.metric, [](const ClientMetric& metric) {
    return std::ranges::none_of(metric.label, [](const ClientMetric::Label& label) {
      return label.name == "finished_reason" && (label.value == "stop" || label.value == "length");
    });
  });
}

}  // namespace

Result<MetricNames> metric_names(std::string_view list) {
  MetricNames names = 0;
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    const std::string_view word = list.substr(0, comma);
    const auto* known = std::ranges::find(kWords, word, &decltype(kWords)::value_type::first);
    if (known == kWords.end())
      return fail(Code::kInvalidArgument,
                  "'" + printable_line(word, 60) +
                      "' names no metrics: it takes choir, vllm and llamacpp, with commas between");
    names = static_cast<MetricNames>(names | known->second);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  if (names == 0)
    return fail(Code::kInvalidArgument, "no names of metrics are given; choir are the usual ones");
  return names;
}

std::vector<MetricFamily> node_families(const std::vector<ExecutorInfo>& executors,
                                        MetricNames names) {
  std::vector<MetricFamily> families;
  for (const Figure& figure : kFigures) {
    if ((figure.names & names) == 0) continue;
    MetricFamily family = family_of(figure.name, figure.help, figure.type);
    for (const ExecutorInfo& e : executors)
      family.metric.push_back(
          metric_of({{"model_name", e.config.name}}, figure.type, figure.of(e)));
    families.push_back(std::move(family));
  }
  if ((names & kChoirNames) == 0) return families;
  families.push_back(states_of(executors));
  families.push_back(memory_of(executors));
  return families;
}

std::vector<MetricFamily> renamed(std::vector<MetricFamily> families, MetricNames names) {
  std::vector<MetricFamily> all;
  if ((names & kLlamaNames) != 0)
    for (const Renamed& row : kLlamaSums)
      for (const MetricFamily& family : families)
        if (family.name == row.from) all.push_back(sums_of(family, row.to));
  if ((names & kVllmNames) != 0)
    for (const Renamed& row : kVllmRenamed)
      for (const MetricFamily& family : families) {
        if (family.name != row.from) continue;
        all.push_back(family);
        all.back().name = row.to;
        if (row.from == "choir_requests_total") keep_successes(all.back());
      }
  if ((names & kChoirNames) != 0) std::ranges::move(families, std::back_inserter(all));
  return all;
}

}  // namespace choir::serve
