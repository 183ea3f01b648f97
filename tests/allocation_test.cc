// What steps and requests take from the heap. A step in the steady state takes nothing: 64
// sequences decode, tokens and text grow into what was reserved at their first pass. A request that
// waits takes little, whatever it may generate.
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "runtime/executor.h"
#include "runtime/schedule.h"
#include "sim/fake_engine.h"
#include "sim/null_engine.h"

namespace {
std::atomic<long> allocations{0};
std::atomic<long> bytes_in_use{0};

void give_back(void* memory) {
  bytes_in_use.fetch_sub(static_cast<long>(malloc_usable_size(memory)), std::memory_order_relaxed);
  std::free(memory);
}
}  // namespace

// Replaces the program's allocator; every form of new ends here. Not inlined: where only one of a
// pair is, g++ takes them for different allocators.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes)) {
    bytes_in_use.fetch_add(static_cast<long>(malloc_usable_size(memory)),
                           std::memory_order_relaxed);
    return memory;
  }
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { give_back(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { give_back(memory); }

namespace choir {
namespace {

// An executor with 64 sequences that generate for long.
class Steady {
 public:
  Steady()
      : executor_(ExecutorId{1}, config(), std::make_shared<const sim::FakeModel>(),
                  std::make_unique<sim::NullEngine>(EngineConfig{
                      .context_tokens = 1 << 20, .sequences_max = 64, .batch_tokens_max = 512}),
                  {}, clock_, [](std::shared_ptr<RequestState>) {}) {
    schedule_.add(executor_.id(), 1.0);
    post(64, 2000);
    schedule_.ready(executor_.id(), Priority::kNormal, clock_.now());
    steps(50);
  }
  void post(int count, std::int32_t max_tokens) {
    for (int i = 0; i < count; ++i) {
      Sequence s;
      s.id = {++last_};
      s.request = {last_};
      s.tokens = {1, 2, 3};
      s.prompt_tokens = 3;
      s.max_tokens = max_tokens;
      s.sampling.repeat_penalty = 1.1F;
      s.stop = {"never said"};
      Callbacks callbacks;
      callbacks.on_news = [](RequestId) {};
      const bool reads = i % 2 != 0 && max_tokens > 2000;
      EXPECT_TRUE(executor_.post(
          {s,
           std::make_shared<RequestState>(s.request, home_, executor_.id(), clock_.now(), Instant{},
                                          reads ? callbacks : Callbacks{}),
           {},
           {}}));
    }
  }
  void steps(int count) {
    for (int i = 0; i < count; ++i) {
      const auto turn = schedule_.next(0, clock_.now());
      const TurnResult result = executor_.turn(pool_, turn->contended);
      schedule_.finished(0, result.elapsed, result.best, clock_.now());
    }
  }

 private:
  static ExecutorConfig config() {
    ExecutorConfig config;
    config.name = "steady";
    config.sequences_max = 64;
    return config;
  }
  const SteadyClock clock_;
  sim::NullHome home_;
  sim::FakePool pool_{1};  // samples on the calling thread
  Schedule schedule_{2, {}};
  Executor executor_;
  std::uint64_t last_ = 0;
};

TEST(Allocation, AStepOfDecodesTakesNothingFromTheHeap) {
  Steady steady;
  const long before = allocations.load();
  steady.steps(1000);
  EXPECT_EQ(allocations.load() - before, 0) << "in 1000 steps of 64 tokens";
}

TEST(Allocation, AnErrorWithoutNumbersTakesNothingForThem) {
  const long before = allocations.load();
  const Error error{Code::kTooLong, "short"};  // the text fits into the string
  Error copy = error;
  const Result<int> failed = tl::unexpected(std::move(copy).in("x"));
  EXPECT_EQ(failed.error().fact("n_ctx"), std::nullopt);
  EXPECT_EQ(allocations.load() - before, 0);
}

TEST(Allocation, AStepBesideRequestsThatWaitTakesNothingFromTheHeap) {
  Steady steady;
  steady.post(500, 10'000);
  steady.steps(2);
  const long before = allocations.load();
  steady.steps(200);
  EXPECT_EQ(allocations.load() - before, 0) << "in 200 steps of 64 tokens";
}

TEST(Allocation, ARequestThatWaitsTakesLittle) {
  Steady steady;
  const long before = bytes_in_use.load();
  steady.post(500, 100'000);
  steady.steps(2);
  EXPECT_LE((bytes_in_use.load() - before) / 500, 4096) << "bytes for each";
}

}  // namespace
}  // namespace choir
