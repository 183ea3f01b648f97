// The four ways of carrying out many requests, and what is counted of them.
//
// All four are one: every request is part of a chain (of one, mostly), chains run at the same time,
// and some chains' first requests of one executor wait for each other at a gate.
#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "choir/text.h"
#include "facade/manager_inside.h"
#include "runtime/dispatcher.h"

namespace choir::parallel {

// The responses of one call, as they come in.
class ManagerInside::Collector {
 public:
  Collector(Requests its_requests, std::vector<Plan> its_plan)
      : requests(std::move(its_requests)), plan(std::move(its_plan)), state_(requests.size()) {}

  const Requests requests;
  const std::vector<Plan> plan;

  void put(std::size_t index, LLMExecutionResponse response) {
    state_.change([&](State& s) {
      s.responses[index] = std::move(response);
      --s.missing;
    });
  }
  Responses wait() {
    return *state_.wait([](State& s) {
      return s.missing == 0 ? std::optional(std::move(s.responses)) : std::nullopt;
    });
  }

 private:
  struct State {
    explicit State(std::size_t count) : responses(count), missing(count) {}
    Responses responses;
    std::size_t missing;
  };
  Monitor<State> state_;
};

void ManagerInside::count(WayName way, const LLMExecutionResponse& response) {
  counts_.with([&](Counts& c) {
    ++c.requests[way];
    ++(response.success ? c.completed : c.failed);
    c.latency_seconds += response.latency;
    c.output_tokens += static_cast<double>(response.outputLength);
    return 0;
  });
}

ManagerInside::Responses ManagerInside::carry_out(const Requests& requests,
                                                  const std::vector<Plan>& plan, const char* call) {
  if (const Status status = refuse_inside_callback(call, "executeAsync()"); !status) {
    (void)report(call, status);
    Responses refused;
    for (const LLMExecutionRequest& request : requests)
      refused.push_back(refusal(request, request.llmId, status.error().message));
    return refused;
  }
  auto collector = std::make_shared<Collector>(requests, plan);
  // Those that begin together: their ids per node, until the gate opens.
  std::map<std::shared_ptr<Runtime>, std::vector<RequestId>> gates;
  std::set<std::string> batched;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (plan[i].chained) continue;
    if (plan[i].way != WayName::kBatch) {
      run_chain(collector, i, std::nullopt);
      continue;
    }
    batched.insert(requests[i].llmId);
    const auto done = [self = shared_from_this(), collector, i](LLMExecutionResponse response) {
      self->count(WayName::kBatch, response);
      collector->put(i, std::move(response));
    };
    start(
        requests[i],
        {.stream = {}, .gated = [&](const auto& node, RequestId id) { gates[node].push_back(id); }},
        done);
  }
  for (const auto& [node, ids] : gates) node->open_gate(ids);
  counts_.with([&](Counts& c) {
    c.batches += batched.size();
    for (const Plan& p : plan) c.chained += p.chained ? 1 : 0;
    return 0;
  });
  return collector->wait();
}

// `previous`: the answer that the request waits for; nullopt for the first of its chain.
void ManagerInside::run_chain(const std::shared_ptr<Collector>& collector, std::size_t index,
                              std::optional<std::string> previous) {
  LLMExecutionRequest request = collector->requests[index];
  if (previous) request = with_previous(std::move(request), *previous);
  start(request, {}, [self = shared_from_this(), collector, index](LLMExecutionResponse response) {
    const Plan& plan = collector->plan[index];
    self->count(plan.way, response);
    const std::size_t next = index + 1;
    if (next < collector->plan.size() && collector->plan[next].chained) {
      if (response.success)
        self->run_chain(collector, next, response.outputText);
      else
        self->fail_chain(collector, next, response.error);
    }
    collector->put(index, std::move(response));
  });
}

void ManagerInside::fail_chain(const std::shared_ptr<Collector>& collector, std::size_t index,
                               const std::string& why) {
  for (; index < collector->plan.size() && collector->plan[index].chained; ++index) {
    const LLMExecutionRequest& request = collector->requests[index];
    LLMExecutionResponse failed =
        refusal(request, request.llmId, "the request before it failed: " + why);
    count(collector->plan[index].way, failed);
    collector->put(index, std::move(failed));
  }
}

namespace {

// Where the request is not well formed it is chained to nothing, and refused when it starts.
bool chained(const LLMExecutionRequest& request) {
  const auto settings = read_request(request, LLMPriority::NORMAL);
  return settings && settings->chained;
}

}  // namespace

void ManagerInside::single(const LLMExecutionRequest& request, ExecutorHandle::Done done) {
  start(request, {},
        [self = shared_from_this(), done = std::move(done)](LLMExecutionResponse response) {
          self->count(WayName::kSingle, response);
          done(std::move(response));
        });
}

LLMExecutionResponse ManagerInside::run(const LLMExecutionRequest& request) {
  return carry_out({request}, {{.way = WayName::kSingle}}, "execute()").front();
}

ManagerInside::Responses ManagerInside::parallel(const Requests& requests) {
  return carry_out(requests, std::vector<Plan>(requests.size()), "executeParallel()");
}

ManagerInside::Responses ManagerInside::pipelined(const Requests& requests) {
  std::vector<Plan> plan(requests.size(), {.way = WayName::kPipelined});
  for (std::size_t i = 1; i < requests.size(); ++i) plan[i].chained = chained(requests[i]);
  return carry_out(requests, plan, "executePipelined()");
}

ManagerInside::Responses ManagerInside::batch(const Requests& requests) {
  return carry_out(requests, std::vector<Plan>(requests.size(), {.way = WayName::kBatch}),
                   "executeBatch()");
}

// Chains are pipelined, two or more for one executor begin together, the rest is parallel.
ManagerInside::Responses ManagerInside::hybrid(const Requests& requests) {
  std::vector<Plan> plan(requests.size());
  std::map<std::string, std::vector<std::size_t>> alone;  // by executor, those in no chain
  for (std::size_t i = 0; i < requests.size(); ++i) {
    plan[i].chained = i > 0 && chained(requests[i]);
    const bool heads = i + 1 < requests.size() && chained(requests[i + 1]);
    if (plan[i].chained || heads)
      plan[i].way = WayName::kPipelined;
    else if (!requests[i].llmId.empty())
      alone[requests[i].llmId].push_back(i);
  }
  for (const auto& [id, indices] : alone)
    if (indices.size() > 1)
      for (const std::size_t i : indices) plan[i].way = WayName::kBatch;
  return carry_out(requests, plan, "executeHybrid()");
}

Metrics ManagerInside::execution_metrics() const {
  const Counts c = counts_.with([](const Counts& counts) { return counts; });
  const auto of = [](const auto& map, WayName way) {
    const auto found = map.find(way);
    return found == map.end() ? 0.0 : static_cast<double>(found->second);
  };
  const auto ended = static_cast<double>(c.completed + c.failed);
  return {
      {"requests_completed", static_cast<double>(c.completed)},
      {"requests_failed", static_cast<double>(c.failed)},
      {"requests_single", of(c.requests, WayName::kSingle)},
      {"requests_parallel", of(c.requests, WayName::kParallel)},
      {"requests_pipelined", of(c.requests, WayName::kPipelined)},
      {"requests_batched", of(c.requests, WayName::kBatch)},
      {"requests_chained", static_cast<double>(c.chained)},
      {"batches", static_cast<double>(c.batches)},
      {"active_requests", static_cast<double>(names_->active(nullptr).size())},
      {"average_latency", ended > 0 ? c.latency_seconds / ended : 0},
      {"output_tokens", c.output_tokens},
      {"requests_moved", c.moved},
      {"llms_unloaded_idle", c.unloaded},
  };
}

std::map<std::string, std::size_t> ManagerInside::counts() const {
  std::map<std::string, std::size_t> counts = {
      {"total", 0},   {"ready", 0}, {"executing", 0}, {"suspended", 0},           {"idle", 0},
      {"loading", 0}, {"error", 0}, {"loaded", 0},    {"groups", groups().size()}};
  constexpr std::array kNames = {"idle",      "loading", "ready",    "executing",
                                 "completed", "error",   "suspended"};
  for (const Llm& llm : all()) {
    ++counts["total"];
    ++counts[kNames.at(static_cast<std::size_t>(llm->getStatus()))];
    if (llm->isModelLoaded()) ++counts["loaded"];
    ++counts["priority_" + std::string(to_string(llm->getPriority()))];
    ++counts["mode_" + std::string(to_string(llm->getExecutionMode()))];
  }
  return counts;
}

Metrics ManagerInside::system_metrics() const {
  const std::vector<Llm> llms = all();
  double utilization = 0;
  double loaded = 0;
  double contexts = 0;
  for (const Llm& llm : llms) {
    utilization += llm->getUtilization();
    loaded += llm->isModelLoaded() ? 1 : 0;
    contexts += static_cast<double>(llm->handle_->contexts().size());
  }
  const Counts c = counts_.with([](const Counts& counts) { return counts; });
  Metrics m = {
      {"total_llms", static_cast<double>(llms.size())},
      {"loaded_llms", loaded},
      {"active_requests", static_cast<double>(names_->active(nullptr).size())},
      {"average_utilization", llms.empty() ? 0 : utilization / static_cast<double>(llms.size())},
      {"total_utilization", utilization},
      {"context_count", contexts},
      {"system_initialized", initialized() ? 1 : 0},
      {"configuration_items", 4},  // max_llms, policy, strategy, idle_unload_s
      {"max_llms", static_cast<double>(llms_max())},
      {"requests_completed", static_cast<double>(c.completed)},
      {"requests_failed", static_cast<double>(c.failed)},
      {"validation_problems", c.problems},
      {"llms_optimized", c.optimized},
      {"profiling", profiling_.load() ? 1 : 0},
  };
  if (const auto shared = world()) {
    const NodeInfo node = shared->home()->info();
    m["cores"] = node.cores;
    m["lanes"] = static_cast<double>(node.lanes.size());
    m["memory_bytes_max"] = static_cast<double>(node.memory_bytes_max);
    m["memory_bytes_promised"] = static_cast<double>(node.memory_bytes_promised);
    m["nodes"] = static_cast<double>(shared->nodes().size());
  }
  return m;
}

Metrics ManagerInside::profiling_data() const {
  Metrics m = execution_metrics();
  m["profiling"] = profiling_.load() ? 1 : 0;
  for (const char* stage : {"queue_seconds", "prefill_seconds", "decode_seconds",
                            "profiled_requests", "device_memory_size", "compute_seconds"})
    m[stage] = 0;
  for (const Llm& llm : all())
    for (const auto& [key, value] : llm->handle_->profiling_data())
      if (m.contains(key) && !execution_metrics().contains(key) && key != "profiling")
        m[key] += value;
  return m;
}

}  // namespace choir::parallel
