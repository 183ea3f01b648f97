#include "serve/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <functional>
#include <map>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "base/guarded.h"

namespace choir::serve {
namespace {

using prometheus::ClientMetric;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = prometheus::Labels;

// From what a small model takes for a token to what a user waits for at most; vLLM has about these.
const Histogram::BucketBoundaries kSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                              0.5,   1,      2.5,   5,    10,    20,   40,  80};

// The histograms and counters of one model, so that a pass looks up one name.
struct Row {
  Histogram* first_token = nullptr;
  Histogram* inter_token = nullptr;
  Histogram* whole = nullptr;
  Histogram* queue = nullptr;
  Histogram* step = nullptr;
  std::array<Counter*, kPriorityNames.size()> compute = {};
};

// One figure that the node counts, of each executor.
struct Figure {
  const char* name;
  const char* help;
  MetricType type;
  double (*of)(const ExecutorInfo&);
};

const Figure kFigures[] = {
    {"choir_num_requests_running", "Sequences that hold KV cells", MetricType::Gauge,
     [](const ExecutorInfo& e) -> double { return e.running; }},
    {"choir_num_requests_waiting", "Sequences that wait for a place", MetricType::Gauge,
     [](const ExecutorInfo& e) -> double { return e.waiting; }},
    {"choir_kv_cells", "KV cells in use", MetricType::Gauge,
     [](const ExecutorInfo& e) -> double { return e.cells; }},
    {"choir_kv_cells_cached", "KV cells of ended requests, kept for reuse", MetricType::Gauge,
     [](const ExecutorInfo& e) -> double { return e.cached_cells; }},
    {"choir_prompt_tokens_total", "Prompt tokens that were computed", MetricType::Counter,
     [](const ExecutorInfo& e) { return static_cast<double>(e.prompt_tokens); }},
    {"choir_generation_tokens_total", "Tokens that were generated", MetricType::Counter,
     [](const ExecutorInfo& e) { return static_cast<double>(e.output_tokens); }},
    {"choir_reused_tokens_total", "Prompt tokens that were not computed again", MetricType::Counter,
     [](const ExecutorInfo& e) { return static_cast<double>(e.reused_tokens); }},
    {"choir_preemptions_total", "Times that a sequence lost its KV cells to another one",
     MetricType::Counter, [](const ExecutorInfo& e) { return static_cast<double>(e.preemptions); }},
};

ClientMetric metric_of(const Labels& labels, MetricType type, double value) {
  ClientMetric metric;
  for (const auto& [name, text] : labels) metric.label.push_back({name, text});
  if (type == MetricType::Counter)
    metric.counter.value = value;
  else
    metric.gauge.value = value;
  return metric;
}

MetricFamily family_of(const char* name, const char* help, MetricType type) {
  MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = type;
  return family;
}

std::vector<MetricFamily> of_node(const Node& node) {
  const std::vector<ExecutorInfo> executors = node.executors();
  std::vector<MetricFamily> families;
  for (const Figure& figure : kFigures) {
    MetricFamily family = family_of(figure.name, figure.help, figure.type);
    for (const ExecutorInfo& e : executors)
      family.metric.push_back(
          metric_of({{"model_name", e.config.name}}, figure.type, figure.of(e)));
    families.push_back(std::move(family));
  }
  MetricFamily states =
      family_of("choir_model_state", "1 for the state that the model is in", MetricType::Gauge);
  MetricFamily memory = family_of("choir_memory_bytes", "Memory of the model", MetricType::Gauge);
  for (const ExecutorInfo& e : executors) {
    const std::string_view now = !e.loaded ? "unloaded" : e.suspended ? "suspended" : "loaded";
    for (const std::string_view state : {"unloaded", "loaded", "suspended"})
      states.metric.push_back(
          metric_of({{"model_name", e.config.name}, {"state", std::string(state)}},
                    MetricType::Gauge, state == now ? 1 : 0));
    for (const auto& [kind, bytes] :
         {std::pair("weights", e.memory.weights), std::pair("kv", e.memory.kv),
          std::pair("compute", e.memory.compute)})
      memory.metric.push_back(metric_of({{"model_name", e.config.name}, {"kind", kind}},
                                        MetricType::Gauge, static_cast<double>(bytes)));
  }
  families.push_back(std::move(states));
  families.push_back(std::move(memory));
  return families;
}

}  // namespace

class Metrics::Inside {
 public:
  Row row_of(std::string_view model) {
    return rows_.with([&](auto& rows) {
      const auto found = rows.find(model);
      return found != rows.end() ? found->second
                                 : rows.emplace(std::string(model), new_row(model)).first->second;
    });
  }

  prometheus::Registry registry;
  Family<Counter>& requests = counter("choir_requests_total", "Requests that have ended");
  Family<Counter>& evictions =
      counter("choir_evictions_total", "Times that a model has left memory");
  Family<Counter>& failed_loads = counter("choir_load_failures_total", "Loads that have failed");
  Family<Counter>& replies = counter("choir_request_total", "Replies over HTTP by their status");
  Family<Counter>& ignored =
      counter("choir_ignored_fields_total", "Fields of requests that are not known");
  Family<Histogram>& loads = histogram("choir_load_seconds", "Duration of loads");

 private:
  Family<Counter>& counter(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  Family<Histogram>& histogram(const char* name, const char* help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
  }
  Row new_row(std::string_view model) {
    const Labels labels = {{"model_name", std::string(model)}};
    Row row{.first_token = &first_token_.Add(labels, kSeconds),
            .inter_token = &inter_token_.Add(labels, kSeconds),
            .whole = &whole_.Add(labels, kSeconds),
            .queue = &queue_.Add(labels, kSeconds),
            .step = &steps_.Add(labels, kSeconds)};
    for (std::size_t i = 0; i < row.compute.size(); ++i)
      row.compute.at(i) = &compute_.Add(
          {{"model_name", std::string(model)}, {"priority", std::string(kPriorityNames.at(i))}});
    return row;
  }

  Family<Histogram>& first_token_ =
      histogram("choir_time_to_first_token_seconds", "Submission to the first token");
  Family<Histogram>& inter_token_ =
      histogram("choir_inter_token_latency_seconds", "Mean time between the tokens of a request");
  Family<Histogram>& whole_ =
      histogram("choir_e2e_request_latency_seconds", "Submission to the end");
  Family<Histogram>& queue_ = histogram("choir_queue_seconds", "Submission to the first pass");
  Family<Histogram>& steps_ = histogram("choir_step_seconds", "Duration of forward passes");
  Family<Counter>& compute_ = counter(
      "choir_compute_seconds_total", "Time of forward passes, divided among the sequences in them");
  Guarded<std::map<std::string, Row, std::less<>>> rows_;
};

Metrics::Metrics() : inside_(std::make_unique<Inside>()) {}
Metrics::~Metrics() = default;

void Metrics::on_request_ended(const RequestEnded& request) {
  const Row row = inside_->row_of(request.executor);
  const Usage& usage = request.usage;
  inside_->requests
      .Add({{"model_name", std::string(request.executor)},
            {"finished_reason", std::string(to_string(request.finish))}})
      .Increment();
  row.whole->Observe(usage.total_seconds);
  row.queue->Observe(usage.queue_seconds);
  if (usage.output_tokens > 0) row.first_token->Observe(usage.first_token_seconds);
  if (usage.output_tokens > 1)
    row.inter_token->Observe((usage.total_seconds - usage.first_token_seconds) /
                             (usage.output_tokens - 1));
}

void Metrics::on_step(const StepDone& step) {
  const Row row = inside_->row_of(step.executor);
  row.step->Observe(step.seconds);
  int all = 0;
  for (const std::int32_t rows : step.rows) all += rows;
  for (std::size_t i = 0; all > 0 && i < step.rows.size(); ++i)
    if (step.rows.at(i) > 0) row.compute.at(i)->Increment(step.seconds * step.rows.at(i) / all);
}

void Metrics::on_load(const LoadDone& load) {
  const Labels labels = {{"model_name", std::string(load.executor)}};
  if (load.error == nullptr)
    inside_->loads.Add(labels, kSeconds).Observe(load.seconds);
  else
    inside_->failed_loads.Add(labels).Increment();
}

void Metrics::on_left(const ExecutorLeft& left) {
  if (left.why != ExecutorLeft::Why::kEvicted) return;
  inside_->evictions.Add({{"model_name", std::string(left.executor)}}).Increment();
}

void Metrics::on_reply(int status) {
  inside_->replies.Add({{"code", std::to_string(status)}}).Increment();
}

void Metrics::on_ignored_fields(std::size_t count) {
  if (count > 0) inside_->ignored.Add({}).Increment(static_cast<double>(count));
}

std::string Metrics::text(const Node& node) const {
  std::vector<MetricFamily> families = of_node(node);
  for (MetricFamily& family : inside_->registry.Collect()) families.push_back(std::move(family));
  std::erase_if(families, [](const MetricFamily& family) { return family.metric.empty(); });
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return out.str();
}

}  // namespace choir::serve
