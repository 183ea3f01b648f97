// How long the second half of a submission takes: on an idle node, and while all cores compute, a
// model is loaded again and again, and another executor is resized again and again. Then: how many
// loads 200 requests for a cold model take, and how many threads.
//
//   ./dev bench enqueue         needs smollm2-135m in the models folder
#include <atomic>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "bench/report/report.h"
#include "choir/catalog.h"
#include "choir/node.h"
#include "choir/observer.h"

namespace choir::bench {
namespace {

using std::chrono::steady_clock;
constexpr int kCalls = 4000;
constexpr auto kPause = std::chrono::microseconds(500);

class LoadCounter final : public Observer {
 public:
  void on_load(const LoadDone&) override { ++loads; }
  std::atomic<int> loads{0};
};

ExecutorConfig executor(const std::string& name, const std::string& path) {
  ExecutorConfig config;
  config.name = name;
  config.path = path;
  config.context_tokens = 4096;
  config.sequences_max = 8;
  config.sequence_tokens_max = 512;
  return config;
}

Request request(const std::string& name, std::int32_t max_tokens) {
  Request r;
  r.executor = name;
  r.text = "Once upon a time there was a little dog";
  r.max_tokens = max_tokens;
  r.ignore_eos = true;
  return r;
}

// Of each call, in microseconds. The requests end while others are made.
std::vector<double> microseconds(Node& node) {
  const Prepared prepared = node.prepare(request("asked", 1)).value();
  std::vector<double> all;
  all.reserve(kCalls);
  std::vector<Submission> submissions;
  submissions.reserve(kCalls);
  for (int i = 0; i < kCalls; ++i) {
    std::this_thread::sleep_for(kPause);
    const auto began = steady_clock::now();
    auto submission = node.enqueue(prepared);
    all.push_back(std::chrono::duration<double, std::micro>(steady_clock::now() - began).count());
    // A full queue is an answer as well; the next calls find room again.
    if (!submission)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    else
      submissions.push_back(std::move(*submission));
  }
  for (Submission& submission : submissions) (void)submission.result.get();
  return all;
}

// Until it is destroyed: two executors that always have work, a load and a resize, all at once.
class Trouble {
 public:
  explicit Trouble(Node& node) : node_(node) {
    for (const char* name : {"busy1", "busy2"})
      threads_.emplace_back([this, name] { repeat([&] { (void)node_.run(request(name, 200)); }); });
    threads_.emplace_back([this] {
      repeat([&] {
        (void)node_.load("loaded");
        ++loads;
        (void)node_.unload("loaded");
      });
    });
    threads_.emplace_back([this] {
      repeat([&] {
        (void)node_.resize("busy1", resizes % 2 == 0 ? 6 : 8, 512);
        ++resizes;
      });
    });
  }
  ~Trouble() {
    over_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  Trouble(const Trouble&) = delete;
  Trouble& operator=(const Trouble&) = delete;

  std::atomic<int> loads{0};
  std::atomic<int> resizes{0};

 private:
  template <class F>
  void repeat(F what) {
    while (!over_) what();
  }
  Node& node_;
  std::atomic<bool> over_{false};
  std::vector<std::thread> threads_;
};

int threads_of_process() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<int>(std::distance(begin(tasks), end(tasks)));
}

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  using namespace choir;
  using namespace choir::bench;
  const Arguments arguments = parse(argc, argv, "How long the second half of a submission takes");
  const auto path = resolve_model("smollm2-135m");
  if (!path) {
    std::cerr << "bench enqueue: " << path.error().message << "\n";
    return 1;
  }
  const auto counter = std::make_shared<LoadCounter>();
  NodeConfig config;
  config.observer = counter;
  const auto node = Node::create(config).value();
  for (const char* name : {"asked", "busy1", "busy2", "loaded"})
    CHOIR_CHECK(node->add(executor(name, *path)), "it fits");
  const std::vector<double> idle = microseconds(*node);
  int loads = 0;
  int resizes = 0;
  std::vector<double> busy;
  {
    Trouble trouble(*node);
    busy = microseconds(*node);
    loads = trouble.loads;
    resizes = trouble.resizes;
  }
  CHOIR_CHECK(node->unload("loaded"), "it is idle");
  counter->loads = 0;
  const int threads = threads_of_process();
  std::vector<Submission> cold;
  const Prepared prepared = node->prepare(request("loaded", 1)).value();
  for (int i = 0; i < 200; ++i) cold.push_back(node->enqueue(prepared).value());
  const int more_threads = threads_of_process() - threads;
  for (Submission& submission : cold)
    CHOIR_CHECK(!submission.result.get().error, "it is loaded and answers");
  return finish(
      "enqueue",
      {row("idle, median", "us", median(idle), {}, Better::kLower),
       row("idle, p99.9", "us", quantile(idle, 0.999), {}, Better::kLower),
       row("busy, median", "us", median(busy), {}, Better::kLower),
       row("busy, p99.9", "us", quantile(busy, 0.999), {}, Better::kLower),
       row("busy p99.9 / idle median", "x", quantile(busy, 0.999) / median(idle), 10,
           Better::kLower),
       row("loads meanwhile", "", loads, {}, Better::kHigher),
       row("resizes meanwhile", "", resizes, {}, Better::kHigher),
       row("loads for 200 requests of a cold model", "", counter->loads, 1, Better::kLower),
       row("threads that they hold", "", more_threads, 0, Better::kLower)},
      arguments);
}
