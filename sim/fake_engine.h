// An engine that computes nothing, for tests and the simulator: the next token depends only on the
// tokens a sequence was given, so a scheduler that mixes two sequences up, skips a token or forgets
// one changes the output.
//
// Time: where it has a ManualClock, a pass moves it by a cost model and asks the abort signal on
// the way; without one a pass takes no time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "core/sequence.h"
#include "engine/control_texts.h"
#include "engine/engine.h"

namespace choir::sim {

// Bytes in, bytes out: token t < 90 is the printable byte 32 + t; 90 and 91 are the halves of a
// two-byte character; 96 ends a generation.
class FakeModel : public Model {
 public:
  static constexpr TokenId kVocabTokens = 97;
  static constexpr TokenId kEnd = 96;
  static constexpr std::string_view kEndText = "<|end|>";  // where control tokens are parsed

  explicit FakeModel(std::int32_t context_tokens_trained = 1 << 20, bool generates = true);
  const ModelInfo& info() const override { return info_; }
  const std::string& fingerprint() const override { return fingerprint_; }
  Result<std::vector<TokenId>> tokenize(std::string_view text, Special special) const override;
  std::string_view piece(TokenId token) const override;
  std::span<const TokenId> end_tokens() const override;
  std::vector<std::size_t> control_cuts(std::string_view text) const override {
    return control_texts_.cuts(text);
  }
  Result<Rendered> render(std::span<const Message> messages, Contents contents) const override;

 private:
  ModelInfo info_;
  std::string fingerprint_ = "fake";
  ControlTexts control_texts_;
};

// What a pass costs in virtual time, and what goes wrong in it.
struct FakeRules {
  Nanos pass{100'000};               // whatever is in it
  Nanos token{10'000};               // each, divided by the threads
  Nanos barrier{0};                  // for each thread but one
  std::uint32_t no_cells_every = 0;  // every n-th pass says kNoCells though there is room; 0 never
  std::uint32_t fail_every = 0;      // every n-th pass is an error; 0 never
  bool fail_takes_all = false;       // and all cells with it
  TokenId refused_token = -1;        // a pass that embeds it is an error; -1: none
  TokenId nan_token = -1;   // a sequence with it in its cells computes NaN from there on; -1: none
  std::int32_t window = 0;  // a sliding window: truncating into it loses the sequence
  Fronts fronts = Fronts::kAny;  // other cuts and forks lose the sequence, or give nothing
};

class FakeEngine final : public Engine {
 public:
  FakeEngine(std::shared_ptr<const Model> model, const EngineConfig& config, const FakeRules& rules,
             ManualClock* clock);
  ~FakeEngine() override;

  Result<RunOutcome> run(const StepPlan& plan, std::span<const std::span<const TokenId>> tokens,
                         const AbortSignal& abort) override;
  std::span<float> logits(std::size_t slice) override;
  Result<std::vector<std::vector<float>>> embed(std::span<const std::span<const TokenId>> texts,
                                                const AbortSignal& abort) override;
  Fronts fronts() const override { return rules_.fronts; }
  std::int32_t truncate(SeqId seq, std::int32_t tokens) override;
  Result<std::int32_t> fork(SeqId from, SeqId to, std::int32_t tokens) override;
  void rename(SeqId from, SeqId to) override;
  Result<std::string> save(SeqId seq) override;
  Status restore(SeqId seq, std::string_view blob) override;
  std::int32_t computed(SeqId seq) const override;
  std::vector<CellRun> cell_runs(SeqId seq) const override;
  ExecutorBytes sizes() const override;
  const EngineConfig& config() const override { return config_; }
  void attach(Pool& pool) override {
    tell("attach");
    threads_ = pool.threads();
  }
  void detach() override { threads_ = 0; }

  std::int32_t cells_held() const;  // shared ones count once
  // Called while a pass moves the clock: the simulator lets the rest of the world happen.
  std::function<void()> on_tick;
  std::function<void()> on_end;  // it is destroyed
  // One of its calls begins, by its name; may throw, as a call of an engine may.
  std::function<void(std::string_view call)> on_call;
  // Cells of `from` are `to`'s as well, or instead.
  std::function<void(SeqId from, SeqId to)> on_share;

 private:
  struct Memory {
    std::vector<std::uint64_t> hashes;  // after each token
    std::vector<std::uint64_t> cells;   // where; a fork has the same ones
  };
  void tell(std::string_view call) const {
    if (on_call) on_call(call);
  }
  bool tick(Nanos by, const AbortSignal& abort);
  bool no_slot() const { return std::ssize(memory_) >= config_.sequences_max; }

  std::shared_ptr<const Model> model_;
  EngineConfig config_;
  FakeRules rules_;
  ManualClock* clock_;
  int threads_ = 0;
  std::uint32_t passes_ = 0;
  std::uint64_t next_cell_ = 0;
  std::map<SeqId, Memory> memory_;
  std::vector<std::vector<float>> logits_;
};

class FakePool final : public Pool {
 public:
  explicit FakePool(int threads) : threads_(threads) {}
  int threads() const override { return threads_; }
  Pool& narrowed(int threads) override {
    if (threads == threads_) return *this;
    std::unique_ptr<FakePool>& pool = narrower_[threads];
    if (!pool) pool = std::make_unique<FakePool>(threads);
    return *pool;
  }
  void for_each(int count, const std::function<void(int, int)>& work) override {
    for (int i = 0; i < count; ++i) work(i, i % threads_);
  }

 private:
  int threads_;
  std::map<int, std::unique_ptr<FakePool>> narrower_;
};

// A file whose name begins with "encoder" is one.
class FakeBackend final : public Backend {
 public:
  explicit FakeBackend(FakeRules rules = {}, ManualClock* clock = nullptr)
      : rules_(rules), clock_(clock) {}
  Result<ExecutorBytes> measure(const std::string& path, const EngineConfig& config) override;
  Result<std::shared_ptr<const Model>> load(const std::string& path,
                                            const LoadProgress& progress) override;
  Result<std::unique_ptr<Engine>> create_engine(std::shared_ptr<const Model> model,
                                                const EngineConfig& config) override;
  std::unique_ptr<Pool> create_pool(std::span<const int> cpus) override;

  std::function<void(FakeEngine&)> on_engine;  // one was made
  // What happens while a model is loaded; an error is the load's. Empty: it takes no time.
  std::function<Status(const std::string& path, const LoadProgress& progress)> while_loading;

 private:
  FakeRules rules_;
  ManualClock* clock_;
};

// The tokens that `sequence` generates on an engine of its own, with all cells it wants.
std::vector<TokenId> generate_alone(const Sequence& sequence, std::int32_t sequence_tokens_max);

}  // namespace choir::sim
