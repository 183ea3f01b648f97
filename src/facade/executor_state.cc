// What an executor says of itself: metrics, resources, and what optimize() measured.
#include <algorithm>
#include <atomic>
#include <filesystem>

#include "base/caught.h"
#include "base/scope_end.h"
#include "choir/machine.h"
#include "choir/text.h"
#include "facade/executor_handle.h"

namespace choir::parallel {
namespace {

// utilization() looks back at least this far, so that one busy moment does not read as overload.
constexpr double kWindowSeconds = 2;

// What optimize() tries as tokens of one pass, and its probe: a longer one does not help to tell
// them apart.
constexpr std::int32_t kPassTokens[] = {128, 256, 512, 1024};
constexpr std::int32_t kProbeTokens = 1024;
// A probe that is suspended in the middle ends with this.
constexpr std::chrono::seconds kProbeMost{60};

}  // namespace

double ExecutorHandle::utilization() const {
  const auto here = place();
  const auto now = info();
  if (!here || !now) return 0;
  const double seconds = to_seconds(here->world->clock().now().since_start);
  const int cores = std::max(1, here->node->info().cores);
  return window_.with([&](Window& w) {
    if (seconds - w.seconds[1] >= kWindowSeconds) {
      w.seconds[0] = w.seconds[1];
      w.compute[0] = w.compute[1];
      w.seconds[1] = seconds;
      w.compute[1] = now->compute_seconds;
    }
    const double wall = (seconds - w.seconds[0]) * cores;
    const double busy = now->compute_seconds - w.compute[0];
    return wall > 0 ? std::clamp(busy / wall, 0.0, 1.0) : 0.0;
  });
}

Metrics ExecutorHandle::metrics() const {
  const Counts counts = counts_.with([](const Counts& c) { return c; });
  const auto ended = static_cast<double>(counts.completed + counts.errors);
  Metrics m = {
      {"utilization", utilization()},
      {"latency", ended > 0 ? counts.latency_seconds / ended : 0},
      {"throughput",
       counts.latency_seconds > 0 ? counts.output_tokens / counts.latency_seconds : 0},
      {"request_count", static_cast<double>(counts.requests)},
      {"completed_count", static_cast<double>(counts.completed)},
      {"error_count", static_cast<double>(counts.errors)},
      {"cancelled_count", static_cast<double>(counts.cancelled)},
      {"output_tokens", counts.output_tokens},
      {"reused_tokens", counts.reused_tokens},
      {"active_requests", static_cast<double>(active().size())},
      {"context_count", static_cast<double>(contexts().size())},
  };
  if (const auto now = info()) {
    m["steps"] = static_cast<double>(now->steps);
    m["prompt_tokens_computed"] = static_cast<double>(now->prompt_tokens);
    m["compute_seconds"] = now->compute_seconds;
    m["preemptions"] = static_cast<double>(now->preemptions);
    m["running"] = now->running;
    m["waiting"] = now->waiting;
    m["idle_seconds"] = now->idle_seconds;
    m["load_seconds"] = now->load_seconds;
    m["kv_cells_used"] = now->cells;
    m["kv_cells_cached"] = now->cached_cells;
    m["threads"] = now->threads;
    m["contexts_in_memory"] = now->kept;
  }
  for (const auto& [key, value] : state_.with([](const State& s) { return s.optimized; }))
    m[key] = value;
  return m;
}

void ExecutorHandle::set_profiling(bool on) {
  state_.with([&](State& s) { s.profiling = on; });
}

Metrics ExecutorHandle::profiling_data() const {
  const Counts counts = counts_.with([](const Counts& c) { return c; });
  Metrics m = metrics();
  m["profiling"] = state_.with([](const State& s) { return s.profiling; }) ? 1 : 0;
  m["profiled_requests"] = static_cast<double>(counts.profiled);
  m["queue_seconds"] = counts.queue_seconds;
  m["prefill_seconds"] = counts.prefill_seconds;
  m["decode_seconds"] = counts.decode_seconds;
  m["device_memory_size"] = 0;
  if (const auto now = info()) {
    m["device_memory_size"] =
        static_cast<double>(now->memory.weights + now->memory.kv + now->memory.compute);
    m["seconds_per_prompt_token"] = now->seconds_per_prompt_token;
    m["seconds_per_output_token"] = now->seconds_per_output_token;
  }
  return m;
}

std::map<std::string, std::string> ExecutorHandle::resource_info() const {
  const LLMExecutionConfig config = this->config();
  std::map<std::string, std::string> r = {
      {"llm_id", config.llmId},
      {"model_type", config.modelType},
      {"model_path", config.modelPath},
      {"mode", std::string(to_string(config.mode))},
      {"priority", std::string(to_string(config.priority))},
      {"learning_rate", std::to_string(config.learningRate)},
      {"last_error", last_error()},
      {"initialized", initialized() ? "true" : "false"},
  };
  const auto here = place();
  const auto now = info();
  if (!here || !now) return r;
  const NodeInfo node = here->node->info();
  r["node"] = here->node_name;
  r["cores"] = std::to_string(node.cores);
  r["model_name"] = now->model.name;
  r["architecture"] = now->model.architecture;
  r["quantization"] = now->model.quantization;
  r["layers"] = std::to_string(now->model.layers);
  r["hidden_size"] = std::to_string(now->model.embedding_size);
  r["heads"] = std::to_string(now->model.heads);
  r["loaded"] = now->loaded ? "true" : "false";
  r["suspended"] = now->suspended ? "true" : "false";
  r["weight_bytes"] = std::to_string(now->memory.weights);
  r["kv_bytes"] = std::to_string(now->memory.kv);
  r["compute_bytes"] = std::to_string(now->memory.compute);
  r["batch_size"] = std::to_string(now->config.sequences_max);
  r["max_sequence_length"] = std::to_string(now->config.sequence_tokens_max);
  r["batch_tokens_max"] = std::to_string(now->config.batch_tokens_max);
  r["kv_type"] = std::string(to_string(now->config.kv_type));
  r["kv_cells"] = std::to_string(now->config.context_tokens);
  r["memory_bytes_max"] = std::to_string(node.memory_bytes_max);
  r["memory_bytes_promised"] = std::to_string(node.memory_bytes_promised);
  r["results_depend_on_neighbours"] = now->model.not_covered.empty() ? "false" : "true";
  return r;
}

Status ExecutorHandle::validate_resources() const {
  const Place here = CHOIR_TRY(place());
  const ExecutorInfo now = CHOIR_TRY(here.node->executor(here.name));
  std::error_code ignored;
  if (here.node == here.world->home() && !now.model.path.empty() && now.model.path[0] == '/' &&
      !std::filesystem::exists(now.model.path, ignored))
    return fail(Code::kNotFound,
                "its file " + now.model.path + " is gone; it could not be loaded again");
  const NodeInfo node = here.node->info();
  if (node.memory_bytes_promised > node.memory_bytes_max)
    return fail(Code::kOutOfMemory,
                "the node has promised " + bytes_text(node.memory_bytes_promised) + " of " +
                    bytes_text(node.memory_bytes_max) + "; unload an executor",
                {Fact::of("need_bytes", node.memory_bytes_promised - node.memory_bytes_max),
                 Fact::of("free_bytes", 0)});
  const std::uint64_t free = read_machine().memory_free();
  if (now.loaded && free < now.memory.compute)
    return fail(Code::kOutOfMemory,
                "the machine has " + bytes_text(free) + " left, less than the " +
                    bytes_text(now.memory.compute) + " that it computes in; end other programs",
                {Fact::of("need_bytes", now.memory.compute), Fact::of("free_bytes", free)});
  return {};
}

// Prompt tokens a second, of one request alone.
Result<double> ExecutorHandle::prompt_speed(const Place& here) {
  const auto executor = CHOIR_TRY(here.node->find(here.name));
  const auto tokens = std::min(kProbeTokens, executor->sequence_tokens_max() / 2);
  Request request;
  request.executor = here.name;
  request.max_tokens = 1;
  request.ignore_eos = true;
  request.deadline = kProbeMost;
  const auto vocabulary = static_cast<std::uint32_t>(executor->model().info().vocab_tokens);
  // Any tokens will do, but not those of an earlier probe: their KV state may still be there.
  static std::atomic<std::uint32_t> probes{0};
  std::uint32_t random = ++probes;
  for (std::int32_t i = 0; i < std::max(1, tokens); ++i) {
    random = random * 1664525 + 1013904223;
    request.tokens.push_back(static_cast<TokenId>((random >> 8U) % vocabulary));
  }
  const Completion done = CHOIR_TRY(here.node->run(request));
  if (done.error) return tl::unexpected(*done.error);
  const double seconds = done.usage.total_seconds - done.usage.queue_seconds;
  return tokens / std::max(seconds, 1e-9);
}

Status ExecutorHandle::optimize(Nanos time_max) {
  return change([&]() -> Status {
    const Place here = CHOIR_TRY(place());
    if (here.encoder)
      return fail(Code::kInvalidArgument,
                  "an encoder computes a text in one pass: there is nothing to choose");
    const ExecutorInfo before = CHOIR_TRY(here.node->executor(here.name));
    if (before.active > 0 || before.suspended)
      return fail(
          Code::kOverloaded,
          (before.suspended ? "it is suspended"
                            : "it has " + std::to_string(before.active) + " active requests") +
              std::string(": nothing could be measured; call again when it is idle"));
    const Clock& clock = here.world->clock();
    const Instant end = clock.now() + time_max;
    CHOIR_TRY(prompt_speed(here));  // loads it, warms it up
    const std::int32_t old = before.config.batch_tokens_max;
    const double speed_before = CHOIR_TRY(prompt_speed(here));
    const auto resize = [&](std::int32_t tokens) {
      return here.node->resize(here.name, before.config.sequences_max,
                               before.config.sequence_tokens_max, tokens);
    };
    double best = speed_before;
    std::int32_t chosen = old;
    std::int32_t current = old;
    int tried = 1;
    Nanos took{0};
    ScopeEnd as_it_was([&] {  // where a probe fails in the middle
      if (current != old) (void)caught([&] { return resize(old); });
    });
    // Another size of a pass changes no result only where ours are all the kernels that compute.
    if (before.model.not_covered.empty()) {
      for (const std::int32_t tokens : kPassTokens) {
        // As long as the last one took, this one will take.
        if (tokens == old || tokens > before.config.context_tokens ||
            tokens < before.config.sequences_max || clock.now() + took >= end)
          continue;
        const Instant began = clock.now();
        if (!resize(tokens)) continue;  // does not fit beside the old one
        current = tokens;
        CHOIR_TRY(prompt_speed(here));
        const double speed = CHOIR_TRY(prompt_speed(here));
        ++tried;
        took = clock.now() - began;
        if (speed > best * 1.03) {  // less is noise
          best = speed;
          chosen = tokens;
        }
      }
    }
    as_it_was.release();
    if (current != chosen) CHOIR_CHECK_OK(resize(chosen));
    state_.with([&](State& s) {
      s.optimized = {{"optimize_tried", tried},
                     {"optimize_prompt_tokens_per_second_before", speed_before},
                     {"optimize_prompt_tokens_per_second_after", best},
                     {"optimize_batch_tokens_before", old},
                     {"optimize_batch_tokens_after", chosen}};
      return 0;
    });
    return {};
  });
}

}  // namespace choir::parallel
