// A step in the steady state takes nothing from the heap: 64 sequences decode, tokens and text grow
// into what was reserved at their start.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "runtime/executor.h"
#include "runtime/schedule.h"
#include "sim/fake_engine.h"
#include "sim/null_engine.h"

namespace {
std::atomic<long> allocations{0};
}  // namespace

// Replaces the program's allocator; every form of new ends here. Not inlined: where only one of a
// pair is, g++ takes them for different allocators.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace choir {
namespace {

// Samples on the calling thread, as a lane of one thread does.
class OneThread final : public Pool {
 public:
  int threads() const override { return 1; }
  Pool& narrowed(int) override { return *this; }
  void for_each(int count, const std::function<void(int, int)>& work) override {
    for (int i = 0; i < count; ++i) work(i, 0);
  }
};

TEST(Allocation, AStepOfDecodesTakesNothingFromTheHeap) {
  const SteadyClock clock;
  const auto model = std::make_shared<const sim::FakeModel>();
  ExecutorConfig config;
  config.name = "steady";
  config.sequences_max = 64;
  Executor executor(ExecutorId{1}, config, model,
                    std::make_unique<sim::NullEngine>(EngineConfig{
                        .context_tokens = 1 << 20, .sequences_max = 64, .batch_tokens_max = 512}),
                    {}, clock, [](std::shared_ptr<RequestState>) {});
  Schedule schedule(2, {});
  schedule.add(executor.id(), 1.0);
  sim::NullHome home;
  for (std::uint64_t i = 1; i <= 64; ++i) {
    Sequence s;
    s.id = {i};
    s.request = {i};
    s.tokens = {1, 2, 3};
    s.prompt_tokens = 3;
    s.max_tokens = 2000;
    s.sampling.repeat_penalty = 1.1F;
    s.stop = {"never said"};
    ASSERT_TRUE(executor.post({s,
                               std::make_shared<RequestState>(s.request, home, executor.id(),
                                                              clock.now(), Instant{}, Callbacks{}),
                               {},
                               {}}));
  }
  schedule.ready(executor.id(), Priority::kNormal, clock.now());
  OneThread pool;
  const auto step = [&] {
    const auto turn = schedule.next(0, clock.now());
    const TurnResult result = executor.turn(pool, turn->contended);
    schedule.finished(0, result.elapsed, result.best, clock.now());
  };
  for (int i = 0; i < 50; ++i) step();
  const long before = allocations.load();
  for (int i = 0; i < 1000; ++i) step();
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

}  // namespace
}  // namespace choir
