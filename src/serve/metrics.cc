#include "serve/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "choir/machine.h"

namespace choir::serve {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Histogram;
using prometheus::MetricFamily;
using Labels = prometheus::Labels;

// From what a small model takes for a token to what a user waits for at most; vLLM has about these.
const Histogram::BucketBoundaries kSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                              0.5,   1,      2.5,   5,    10,    20,   40,  80};

// Names of tenants come from keys. More of them than this are told together, as kOtherTenants: each
// one is a row for each model and class.
constexpr std::size_t kTenantsMax = 100;
constexpr std::string_view kOtherTenants = "other";

constexpr std::size_t kStatuses = 600;  // of HTTP, below 600

constexpr std::size_t kFirstTokensMax = 4096;  // of a second, and of an idle daemon

using ByClass = std::array<Counter*, kPriorityNames.size()>;

// The histograms and counters of one model, so that a pass looks up one name.
struct Row {
  Histogram* first_token = nullptr;
  Histogram* inter_token = nullptr;
  Histogram* whole = nullptr;
  Histogram* queue = nullptr;
  Histogram* prefill = nullptr;
  Histogram* decode = nullptr;
  Histogram* step = nullptr;
  std::map<std::string, ByClass, std::less<>> compute = {};  // by tenant
};

}  // namespace

class Metrics::Inside {
 public:
  explicit Inside(MetricNames metric_names) : names(metric_names) {
    const Version version = choir::version();
    prometheus::BuildGauge()
        .Name("choir_build_info")
        .Help("1; its labels say which program this is")
        .Register(registry)
        .Add({{"version", version.choir}, {"engine", version.engine}})
        .Set(1);
  }

  template <class Use>
  void with_row(std::string_view model, Use use) {
    books_.with([&](Books& books) { use(row_of(books, model)); });
  }
  void count_step(const StepDone& step) {
    int all = 0;
    for (const StepDone::Part& part : step.parts) all += part.rows;
    books_.with([&](Books& books) {
      Row& row = row_of(books, step.executor);
      row.step->Observe(step.seconds);
      for (const StepDone::Part& part : step.parts)
        compute_of(books, row, step.executor, part).Increment(step.seconds * part.rows / all);
    });
  }

  // Looked up by its label once for each status.
  Counter& reply_of(int status) {
    const auto add = [&]() -> Counter& { return replies.Add({{"code", std::to_string(status)}}); };
    const auto place = static_cast<std::size_t>(status);
    if (place >= replies_.size()) return add();
    Counter* known = replies_[place].load();
    if (known == nullptr) replies_[place].store(known = &add());
    return *known;
  }

  void keep_first_token(const FirstToken& token) {
    first_tokens_.with([&](std::vector<FirstToken>& kept) {
      if (kept.size() < kFirstTokensMax) kept.push_back(token);
    });
  }
  std::vector<FirstToken> take_first_tokens() {
    return first_tokens_.with(
        [](std::vector<FirstToken>& kept) { return std::exchange(kept, {}); });
  }

  const MetricNames names;

  prometheus::Registry registry;
  Family<Counter>& requests = counter("choir_requests_total", "Requests that have ended");
  Family<Counter>& evictions =
      counter("choir_evictions_total", "Times that a model has left memory");
  Family<Counter>& failed_loads = counter("choir_load_failures_total", "Loads that have failed");
  Family<Counter>& replies = counter("choir_request_total", "Replies over HTTP by their status");
  Family<Counter>& ignored =
      counter("choir_ignored_fields_total", "Fields of requests that are not known");
  Family<Counter>& lost_lines =
      counter("choir_access_log_dropped_total", "Lines of the access log that were not written");
  Family<Histogram>& loads = histogram("choir_load_seconds", "Duration of loads");

 private:
  struct Books {
    std::map<std::string, Row, std::less<>> rows;  // by model
    std::set<std::string, std::less<>> tenants;    // that have a name of their own
  };
  Family<Counter>& counter(const char* name, const char* help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
  }
  Family<Histogram>& histogram(const char* name, const char* help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
  }
  Row new_row(std::string_view model) {
    const Labels labels = {{"model_name", std::string(model)}};
    return {.first_token = &first_token_.Add(labels, kSeconds),
            .inter_token = &inter_token_.Add(labels, kSeconds),
            .whole = &whole_.Add(labels, kSeconds),
            .queue = &queue_.Add(labels, kSeconds),
            .prefill = &prefill_.Add(labels, kSeconds),
            .decode = &decode_.Add(labels, kSeconds),
            .step = &steps_.Add(labels, kSeconds)};
  }
  Row& row_of(Books& books, std::string_view model) {
    const auto found = books.rows.find(model);
    return found != books.rows.end()
               ? found->second
               : books.rows.emplace(std::string(model), new_row(model)).first->second;
  }
  Counter& compute_of(Books& books, Row& row, std::string_view model, const StepDone::Part& part) {
    auto found = row.compute.find(part.tenant);
    if (found == row.compute.end()) {
      const bool known = books.tenants.contains(part.tenant);
      if (!known && books.tenants.size() < kTenantsMax) books.tenants.emplace(part.tenant);
      const bool named = known || books.tenants.contains(part.tenant);
      found = row.compute.try_emplace(std::string(named ? part.tenant : kOtherTenants)).first;
    }
    Counter*& counter = found->second.at(static_cast<std::size_t>(part.priority));
    if (counter == nullptr)
      counter = &compute_.Add({{"model_name", std::string(model)},
                               {"tenant", found->first},
                               {"priority", std::string(to_string(part.priority))}});
    return *counter;
  }

  Family<Histogram>& first_token_ =
      histogram("choir_time_to_first_token_seconds", "Submission to the first token");
  Family<Histogram>& inter_token_ =
      histogram("choir_inter_token_latency_seconds", "Mean time between the tokens of a request");
  Family<Histogram>& whole_ =
      histogram("choir_e2e_request_latency_seconds", "Submission to the end");
  Family<Histogram>& queue_ = histogram("choir_queue_seconds", "Submission to the first pass");
  Family<Histogram>& prefill_ = histogram("choir_prefill_seconds", "First pass to the first token");
  Family<Histogram>& decode_ = histogram("choir_decode_seconds", "First token to the end");
  Family<Histogram>& steps_ = histogram("choir_step_seconds", "Duration of forward passes");
  Family<Counter>& compute_ = counter(
      "choir_compute_seconds_total", "Time of forward passes, divided among the sequences in them");
  Guarded<Books> books_;
  Guarded<std::vector<FirstToken>> first_tokens_;
  std::array<std::atomic<Counter*>, kStatuses> replies_{};  // null: none had it
};

Metrics::Metrics(MetricNames names) : inside_(std::make_unique<Inside>(names)) {}
Metrics::~Metrics() = default;

void Metrics::on_request_ended(const RequestEnded& request) {
  const Usage& usage = request.usage;
  inside_->requests
      .Add({{"model_name", std::string(request.executor)},
            {"finished_reason", std::string(to_string(request.finish))}})
      .Increment();
  if (usage.output_tokens > 0) inside_->keep_first_token({request.id, usage.first_token_seconds});
  inside_->with_row(request.executor, [&](const Row& row) {
    row.whole->Observe(usage.total_seconds);
    row.queue->Observe(usage.queue_seconds);
    if (usage.output_tokens > 0) {
      row.first_token->Observe(usage.first_token_seconds);
      // A sum of these is a counter, which must not go down.
      row.prefill->Observe(std::max(usage.first_token_seconds - usage.queue_seconds, 0.0));
      row.decode->Observe(std::max(usage.total_seconds - usage.first_token_seconds, 0.0));
    }
    if (usage.output_tokens > 1)
      row.inter_token->Observe((usage.total_seconds - usage.first_token_seconds) /
                               (usage.output_tokens - 1));
  });
}

void Metrics::on_step(const StepDone& step) { inside_->count_step(step); }

void Metrics::on_load(const LoadDone& load) {
  const Labels labels = {{"model_name", std::string(load.executor)}};
  if (load.error == nullptr) {
    inside_->loads.Add(labels, kSeconds).Observe(load.seconds);
    inside_->evictions.Add(labels);  // 0 is told, too: a rate needs it
  } else {
    inside_->failed_loads.Add(labels).Increment();
  }
}

void Metrics::on_left(const ExecutorLeft& left) {
  if (left.why != ExecutorLeft::Why::kEvicted) return;
  inside_->evictions.Add({{"model_name", std::string(left.executor)}}).Increment();
}

std::vector<FirstToken> Metrics::take_first_tokens() { return inside_->take_first_tokens(); }

void Metrics::on_reply(int status) { inside_->reply_of(status).Increment(); }

void Metrics::on_ignored_fields(std::size_t count) {
  if (count > 0) inside_->ignored.Add({}).Increment(static_cast<double>(count));
}

void Metrics::on_lost_lines(std::uint64_t count) {
  inside_->lost_lines.Add({}).Increment(static_cast<double>(count));
}

std::string Metrics::text(const Node& node) const {
  std::vector<MetricFamily> families = node_families(node.executors(), inside_->names);
  for (MetricFamily& family : renamed(inside_->registry.Collect(), inside_->names))
    families.push_back(std::move(family));
  std::erase_if(families, [](const MetricFamily& family) { return family.metric.empty(); });
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return out.str();
}

}  // namespace choir::serve
