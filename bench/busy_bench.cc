// One model beside other programs that keep cores busy: as many threads as are measured to be best
// for a pass (policy/thread_choice), beside all threads always.
//
//   ./dev bench busy            needs smollm2-135m in the models folder
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "bench/report/report.h"
#include "choir/catalog.h"
#include "choir/node.h"

namespace choir::bench {
namespace {

constexpr int kRounds = 3;
constexpr std::int32_t kTokens = 200;  // of a request

// Processes that compute as long as this lives.
class Busy {
 public:
  explicit Busy(int count) {
    const pid_t parent = getpid();
    for (int i = 0; i < count; ++i) {
      const pid_t child = fork();
      CHOIR_CHECK(child >= 0, "a process");
      if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(0);
        volatile std::uint64_t number = 0;
        for (;;) number = number + 1;
      }
      children_.push_back(child);
    }
  }
  ~Busy() {
    for (const pid_t child : children_) {
      (void)kill(child, SIGKILL);
      (void)waitpid(child, nullptr, 0);
    }
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  std::vector<pid_t> children_;
};

std::unique_ptr<Node> node_with(const std::string& path, bool adapt) {
  NodeConfig config;
  config.adapt_threads = adapt;
  auto node = Node::create(config).value();
  ExecutorConfig executor;
  executor.name = "model";
  executor.path = path;
  executor.prefix_cache = false;
  CHOIR_CHECK(node->add(executor).has_value(), "the model fits");
  return node;
}

double tokens_per_second(Node& node, int requests) {
  std::vector<std::future<Completion>> results;
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < requests; ++i) {
    Request r;
    r.executor = "model";
    r.tokens.assign(16, 100 + i);
    r.max_tokens = kTokens;
    r.ignore_eos = true;
    results.push_back(node.submit(r).value().result);
  }
  double tokens = 0;
  for (auto& result : results) tokens += result.get().usage.output_tokens;
  return tokens / std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

Row measure(Node& adapting, Node& fixed, int busy, int requests) {
  std::vector<double> ours;
  std::vector<double> theirs;
  for (int round = 0; round < kRounds; ++round) {
    const Busy others(busy);
    ours.push_back(tokens_per_second(adapting, requests));
    theirs.push_back(tokens_per_second(fixed, requests));
  }
  return {.name = "decode of " + std::to_string(requests) + " beside " + std::to_string(busy) +
                  " busy programs",
          .unit = "tok/s",
          .choir = median(ours),
          .peer = median(theirs),
          .peer_name = "all threads always",
          .goal = {},
          .better = Better::kHigher};
}

int run(const Arguments& arguments) {
  const auto path = resolve_model("smollm2-135m");
  if (!path) {
    std::fprintf(stderr, "bench busy: %s\n", path.error().message.c_str());
    return 1;
  }
  const auto adapting = node_with(*path, true);
  const auto fixed = node_with(*path, false);
  std::vector<Row> rows;
  for (const int busy : {0, 1, 2})
    for (const int requests : {1, 8}) rows.push_back(measure(*adapting, *fixed, busy, requests));
  return finish("busy", rows, arguments);
}

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  return choir::bench::run(choir::bench::parse(argc, argv, "One model beside other programs"));
}
