// What a person notices besides throughput: the first token of an urgent request while others keep
// all cores busy, how fast a cancelled prompt frees its core, what a second executor on the same
// model costs.
//
//   ./dev bench latency         needs smollm2-135m in the models folder
#include <unistd.h>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>
#include <vector>

#include "base/check.h"
#include "bench/report/report.h"
#include "choir/catalog.h"
#include "choir/node.h"

namespace choir::bench {
namespace {

constexpr int kSamples = 40;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Resident bytes without file pages: weights are mapped and shared, and would hide the rest.
double resident_anonymous_bytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  double kilobytes = 0;
  while (status >> word)
    if (word == "RssAnon:") {
      status >> kilobytes;
      break;
    }
  return kilobytes * 1024;
}

ExecutorConfig executor(const std::string& name, const std::string& path, Priority priority) {
  ExecutorConfig config;
  config.name = name;
  config.path = path;
  config.context_tokens = 8192;
  config.sequences_max = 8;
  config.priority = priority;
  config.prefix_cache = false;  // every prompt is to be computed
  return config;
}

Request request(const std::string& name, std::int32_t max_tokens) {
  Request r;
  r.executor = name;
  r.messages = {
      {"user", "Give three reasons why people keep bees, and say what the bees think of it."}};
  r.max_tokens = max_tokens;
  r.ignore_eos = true;
  return r;
}

std::vector<double> first_tokens(Node& node) {
  std::vector<double> seconds;
  for (int i = 0; i < kSamples; ++i) {
    Request r = request("urgent", 1);
    r.sampling.seed = static_cast<std::uint64_t>(i);
    seconds.push_back(node.run(r).value().usage.first_token_seconds);
  }
  return seconds;
}

// LOW work that never ends: every request is followed by the next one.
void keep_busy(Node& node, const std::string& name, const std::atomic<bool>& stop) {
  Request r = request(name, 128);
  (void)node.submit(r, {.on_event = {}, .on_done = [&node, name, &stop](const Completion&) {
                          if (!stop.load()) keep_busy(node, name, stop);
                        }});
}

Row urgent_beside_low(Node& node) {
  const double alone = quantile(first_tokens(node), 0.99);
  std::atomic<bool> stop{false};
  for (int i = 0; i < 4; ++i) {
    keep_busy(node, "low a", stop);
    keep_busy(node, "low b", stop);
  }
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const double loaded = quantile(first_tokens(node), 0.99);
  stop.store(true);
  (void)node.wait_idle();
  return {.name = "p99 first token of CRITICAL beside 8 LOW requests",
          .unit = "ms",
          .choir = 1e3 * loaded,
          .peer = 1e3 * alone,
          .peer_name = "the same without them",
          .goal = 2.0,
          .better = Better::kLower};
}

Row cancelled_prompt(Node& node) {
  std::vector<double> seconds;
  for (int i = 0; i < 5; ++i) {
    Request r;
    r.executor = "urgent";
    r.tokens.assign(4000, 100 + i);
    r.max_tokens = 10;
    auto submission = node.submit(r).value();
    std::this_thread::sleep_for(std::chrono::milliseconds(400 + 130 * i));
    const double began = now();
    CHOIR_CHECK(node.cancel(submission.id).has_value(), "4000 tokens take longer than that");
    const Completion c = submission.result.get();
    CHOIR_CHECK(c.finish == Finish::kCancelled, "it was cancelled in its prompt");
    seconds.push_back(now() - began);
  }
  return {.name = "cancel of a 4000-token prompt, slowest of 5",
          .unit = "ms",
          .choir = 1e3 * quantile(seconds, 1),
          .peer = {},
          .peer_name = "",
          .goal = 200,
          .better = Better::kLower};
}

Row second_instance(Node& node, const std::string& path) {
  const double before = resident_anonymous_bytes();
  const std::uint64_t promised_before = node.info().memory_bytes_promised;
  CHOIR_CHECK(node.add(executor("second", path, Priority::kNormal)).has_value(),
              "a second executor fits");
  const double grown = resident_anonymous_bytes() - before;
  const auto promised = static_cast<double>(node.info().memory_bytes_promised - promised_before);
  return {.name = "memory of a second executor on one model",
          .unit = "MiB",
          .choir = grown / (1 << 20),
          .peer = promised / (1 << 20),
          .peer_name = "its KV and compute bytes",
          .goal = 1.1,
          .better = Better::kLower};
}

int run(const Arguments& arguments) {
  const auto path = resolve_model("smollm2-135m");
  if (!path) {
    std::fprintf(stderr, "bench latency: %s\n", path.error().message.c_str());
    return 1;
  }
  auto node = Node::create({}).value();
  for (const auto& [name, priority] :
       {std::pair("urgent", Priority::kCritical), std::pair("low a", Priority::kLow),
        std::pair("low b", Priority::kLow)})
    CHOIR_CHECK(node->add(executor(name, *path, priority)).has_value(),
                "three executors of one small model fit");
  std::vector<Row> rows;
  if (arguments.wants("memory")) rows.push_back(second_instance(*node, *path));
  if (arguments.wants("cancel")) rows.push_back(cancelled_prompt(*node));
  if (arguments.wants("first token")) rows.push_back(urgent_beside_low(*node));
  return finish("latency", rows, arguments);
}

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  return choir::bench::run(
      choir::bench::parse(argc, argv, "Loads: first token, cancel, memory (a second instance's)",
                          choir::bench::Loads::kNamed));
}
