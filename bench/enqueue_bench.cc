// How long the second half of a submission takes: on an idle node, where a call wakes a lane; while
// one model computes what came before; and while all cores compute, a model is loaded again and
// again, and another executor is resized again and again. Between any two calls the same thread
// writes to memory of its own: what that takes at worst is the machine's and not Choir's. Then: how
// many loads 200 requests for a cold model take, and how many threads.
//
//   ./dev bench enqueue         needs smollm2-135m in the models folder
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
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
constexpr std::size_t kCalls = 4000;
constexpr auto kPause = std::chrono::microseconds(500);
constexpr auto kFull = std::chrono::milliseconds(20);

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

// What a call took, and what the system says of the thread that made it.
struct Call {
  double microseconds = 0;
  bool waited = false;     // the thread slept: for a lock, or for memory
  bool preempted = false;  // it lost its core while it computed
};
using Calls = std::vector<Call>;

template <class F>
auto time(Calls& calls, F&& call) {
  rusage before{};
  rusage after{};
  (void)getrusage(RUSAGE_THREAD, &before);
  const auto began = steady_clock::now();
  auto result = call();
  const auto took = steady_clock::now() - began;
  (void)getrusage(RUSAGE_THREAD, &after);
  calls.push_back({.microseconds = std::chrono::duration<double, std::micro>(took).count(),
                   .waited = after.ru_nvcsw > before.ru_nvcsw,
                   .preempted = after.ru_nivcsw > before.ru_nivcsw});
  return result;
}

double quantile_of(const Calls& calls, double share) {
  std::vector<double> all;
  for (const Call& call : calls) all.push_back(call.microseconds);
  return quantile(std::move(all), share);
}

// A call that needs nobody: it writes to 100 lines of the cache in 100 pages that are in memory. A
// loop over a register would not do: on a virtual machine the first touch of a page may take 0.1 to
// 0.2 ms now and then, with no fault, interrupt or switch that the guest could see.
class Plain {
 public:
  int operator()() {
    for (int i = 0; i < kLines; ++i) {
      random_ = random_ * 1664525U + 1013904223U;  // Numerical Recipes
      volatile unsigned char& byte =
          bytes_[(random_ >> 8) % kPages * kPageBytes + (random_ & 63U) * 64];
      byte = static_cast<unsigned char>(byte + 1);
    }
    return 0;
  }

 private:
  static constexpr int kLines = 100;
  static constexpr std::uint32_t kPages = 100;
  static constexpr std::uint32_t kPageBytes = 4096;
  std::vector<unsigned char> bytes_ = std::vector<unsigned char>(kPages * kPageBytes, 1);
  std::uint32_t random_ = 1;
};

struct Measured {
  Calls enqueue;
  Calls plain;
};

enum class Pace : unsigned char {
  kAlone,  // a request has ended before the next one comes
  kQueue,  // they end while others come
};

Measured measure(Node& node, Pace pace) {
  const Prepared prepared = node.prepare(request("asked", 1)).value();
  Measured measured;
  Plain plain;
  std::vector<Submission> submissions;
  while (measured.enqueue.size() < kCalls) {
    std::this_thread::sleep_for(kPause);
    auto submission = time(measured.enqueue, [&] { return node.enqueue(prepared); });
    if (!submission) {
      // The queue is full: another call, which is not the one to measure.
      measured.enqueue.pop_back();
      std::this_thread::sleep_for(kFull);
      continue;
    }
    if (pace == Pace::kAlone)
      (void)submission->result.get();
    else
      submissions.push_back(std::move(*submission));
    std::this_thread::sleep_for(kPause);
    time(measured.plain, plain);
  }
  for (Submission& submission : submissions) (void)submission.result.get();
  return measured;
}

void add_rows(std::vector<Row>& rows, const std::string& when, const Measured& measured) {
  const auto beside = [&](double share, const char* name) {
    Row both =
        row(when + ", " + name, "us", quantile_of(measured.enqueue, share), {}, Better::kLower);
    both.peer = quantile_of(measured.plain, share);
    both.peer_name = "plain writes";
    rows.push_back(both);
  };
  beside(0.5, "median");
  beside(0.99, "p99");
  beside(0.999, "p99.9");
  const std::string of = " of " + std::to_string(kCalls) + " calls";
  rows.push_back(row(when + ", waited", of,
                     static_cast<double>(std::ranges::count(measured.enqueue, true, &Call::waited)),
                     kCalls / 1000, Better::kLower));
  rows.push_back(
      row(when + ", preempted", of,
          static_cast<double>(std::ranges::count(measured.enqueue, true, &Call::preempted)), {},
          Better::kLower));
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
  const Measured idle = measure(*node, Pace::kAlone);
  const Measured one = measure(*node, Pace::kQueue);
  int loads = 0;
  int resizes = 0;
  Measured busy;
  {
    Trouble trouble(*node);
    busy = measure(*node, Pace::kQueue);
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
  std::vector<Row> rows;
  add_rows(rows, "idle", idle);
  add_rows(rows, "one model", one);
  add_rows(rows, "busy", busy);
  // On an idle node a call also wakes a lane, which is three quarters of its time, so the median
  // beside one model is the stricter measure.
  const double usual = quantile_of(one.enqueue, 0.5);
  const double busy_tail = quantile_of(busy.enqueue, 0.999);
  rows.push_back(row("busy p99.9 / idle median", "x", busy_tail / quantile_of(idle.enqueue, 0.5),
                     10, Better::kLower));
  rows.push_back(
      row("busy p99.9 / one model's median", "x", busy_tail / usual, {}, Better::kLower));
  rows.push_back(row("plain writes' busy p99.9 / the same", "x",
                     quantile_of(busy.plain, 0.999) / usual, {}, Better::kLower));
  rows.push_back(row("loads meanwhile", "", loads, {}, Better::kHigher));
  rows.push_back(row("resizes meanwhile", "", resizes, {}, Better::kHigher));
  rows.push_back(
      row("loads for 200 requests of a cold model", "", counter->loads, 1, Better::kLower));
  rows.push_back(row("threads that they hold", "", more_threads, 0, Better::kLower));
  return finish("enqueue", rows, arguments);
}
