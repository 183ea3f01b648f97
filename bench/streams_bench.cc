// Ten thousand text streams of one executor, of which ten are read: what one that nobody reads
// takes of the memory, and whether the ten are as fast as alone. Over an engine that computes
// nothing; turns and dispatching on one thread, so that nothing but their own cost is measured.
//
//   ./dev bench streams
#include <malloc.h>

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "bench/engine/callers_thread.h"
#include "bench/report/report.h"
#include "choir/node.h"
#include "runtime/dispatcher.h"
#include "runtime/executor.h"
#include "sim/fake_engine.h"
#include "sim/null_engine.h"

namespace choir::bench {
namespace {

constexpr int kStreams = 10'000;
constexpr int kRead = 10;
constexpr std::size_t kPieceBytes = 16;  // of each token, so that parking needs some 3,840 tokens
constexpr std::size_t kUnreadMax = 60U << 10U;  // NodeConfig::stream_bytes_max

// The fake model with longer tokens.
class LongPieces final : public sim::FakeModel {
 public:
  std::string_view piece(TokenId) const override { return piece_; }

 private:
  const std::string piece_ = std::string(kPieceBytes, 'a');
};

class Rig {
 public:
  Rig()
      : executor_(ExecutorId{1}, config(), std::make_shared<const LongPieces>(),
                  std::make_unique<sim::NullEngine>(EngineConfig{
                      .context_tokens = 1 << 30, .sequences_max = 256, .batch_tokens_max = 4096}),
                  {.age_step = std::chrono::hours(24),
                   .stalled = std::chrono::hours(24),
                   .stream_bytes_max = kUnreadMax,
                   .mailbox_max = kStreams},
                  clock_,
                  [this](std::shared_ptr<RequestState> r) { dispatcher_.notify(std::move(r)); }) {}

  std::shared_ptr<RequestState> post(std::int32_t max_tokens) {
    Sequence s;
    s.id = {++last_};
    s.request = {last_};
    s.tokens = {1, 2, 3};
    s.prompt_tokens = 3;
    s.max_tokens = max_tokens;
    s.sampling.temperature = 0;
    Callbacks callbacks;
    callbacks.on_news = [this](RequestId id) {
      if (id.value <= kRead) told_.push_back(id);
    };
    auto state = std::make_shared<RequestState>(s.request, home_, executor_.id(), clock_.now(),
                                                Instant{}, std::move(callbacks));
    CHOIR_CHECK(executor_.post({std::move(s), state, {}, {}}), "the mailbox has room");
    return state;
  }
  // The ten that are read; they generate for as long as the benchmark runs.
  void begin() {
    for (int i = 0; i < kRead; ++i) read_.push_back(post(1 << 19));
    step();
  }
  void step() {
    (void)executor_.turn(pool_, false);
    dispatcher_.run_here();
    while (!told_.empty()) {
      read_.at(told_.front().value - 1)->take(piece_);
      told_.pop_front();
    }
  }
  double microseconds_per_step(int count) {
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < count; ++i) step();
    return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - began)
               .count() /
           count;
  }
  // Those that nobody reads. They rest at first because they wait for room, then because they are
  // not read.
  std::vector<std::shared_ptr<RequestState>> leave_unread() {
    std::vector<std::shared_ptr<RequestState>> unread;
    last_ = kRead;
    for (int i = kRead; i < kStreams; ++i) unread.push_back(post(8192));
    do step();
    while (executor_.live().waiting().queued() > 0 ||
           executor_.live().waiting().size() < kStreams - kRead);
    return unread;
  }

 private:
  static ExecutorConfig config() {
    ExecutorConfig config;
    config.name = "bench";
    config.sequences_max = 256;
    config.park_bytes_max = 0;  // the engine has no state to park
    config.prefix_cache = false;
    return config;
  }

  const SteadyClock clock_;
  sim::NullHome home_;
  Dispatcher dispatcher_;
  CallersThread pool_;
  Executor executor_;
  std::vector<std::shared_ptr<RequestState>> read_;
  std::deque<RequestId> told_;
  StreamPiece piece_;
  std::uint64_t last_ = 0;
};

double bytes_in_use() {
  const struct mallinfo2 memory = mallinfo2();
  return static_cast<double>(memory.uordblks + memory.hblkhd);
}

double bytes_of_an_unread_one() {
  Rig rig;
  const double before = bytes_in_use();
  const auto unread = rig.leave_unread();
  return (bytes_in_use() - before) / static_cast<double>(unread.size());
}

}  // namespace
}  // namespace choir::bench

int main(int argc, char** argv) {
  using namespace choir;
  using namespace choir::bench;
  const Arguments arguments = parse(argc, argv, "Ten thousand text streams, of which ten are read");
  const double bytes = bytes_of_an_unread_one();
  Rig alone;
  alone.begin();
  Rig crowded;
  crowded.begin();
  const auto unread = crowded.leave_unread();
  const auto tokens = static_cast<double>(kUnreadMax / kPieceBytes + 1);
  // The executor has a sequence's tokens, and the stream those that are unread.
  const double ids = tokens * 2 * sizeof(TokenId);

  std::vector<double> alone_us;
  std::vector<double> crowded_us;
  std::vector<double> speeds;
  for (int pair = 0; pair < 200; ++pair) {
    if (pair % 2 == 0) alone_us.push_back(alone.microseconds_per_step(500));
    crowded_us.push_back(crowded.microseconds_per_step(500));
    if (pair % 2 != 0) alone_us.push_back(alone.microseconds_per_step(500));
    speeds.push_back(alone_us.back() / crowded_us.back());
  }
  return finish(
      "streams",
      {row("an unread stream, all of it", "KiB", bytes / 1024, {}, Better::kLower),
       row("its text", "KiB", tokens * kPieceBytes / 1024, {}, Better::kLower),
       row("its tokens", "KiB", ids / 1024, {}, Better::kLower),
       row("all of it beside its tokens", "KiB", (bytes - ids) / 1024, 64, Better::kLower),
       row("a step of ten streams alone", "us", median(alone_us), {}, Better::kLower),
       row("a step of the ten beside 9,990 unread", "us", median(crowded_us), {}, Better::kLower),
       row("their speed beside the unread ones", "x", median(speeds), 0.98, Better::kHigher)},
      arguments);
}
