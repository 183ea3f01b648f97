#include "runtime/caught_engine.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/caught.h"

namespace choir {
namespace {

class CaughtEngine final : public Engine {
 public:
  explicit CaughtEngine(std::unique_ptr<Engine> inside) : inside_(std::move(inside)) {
    // Each of them has a slot. Room now: where memory is short it would be missing.
    lost_.reserve(static_cast<std::size_t>(inside_->config().sequences_max) + kWithoutSlot);
  }

  Result<RunOutcome> run(const StepPlan& plan, std::span<const std::span<const TokenId>> tokens,
                         const AbortSignal& abort) override {
    CHOIR_CHECK_OK(ready());
    return caught([&] { return inside_->run(plan, tokens, abort); });
  }
  std::span<float> logits(std::size_t slice) override { return inside_->logits(slice); }
  Result<std::vector<std::vector<float>>> embed(std::span<const std::span<const TokenId>> texts,
                                                const AbortSignal& abort) override {
    CHOIR_CHECK_OK(ready());
    return caught([&] { return inside_->embed(texts, abort); });
  }

  Fronts fronts() const override { return inside_->fronts(); }
  std::int32_t truncate(SeqId seq, std::int32_t tokens) override {
    if (is_lost(seq)) return 0;
    const auto left =
        caught([&]() -> Result<std::int32_t> { return inside_->truncate(seq, tokens); });
    if (left) return *left;
    lose(seq);
    return 0;
  }
  Result<std::int32_t> fork(SeqId from, SeqId to, std::int32_t tokens) override {
    CHOIR_CHECK_OK(free_lost());
    auto forked = caught([&] { return inside_->fork(from, to, tokens); });
    if (!forked) lose(to);
    return forked;
  }
  void rename(SeqId from, SeqId to) override {
    const Status renamed = caught([&]() -> Status {
      CHOIR_CHECK_OK(free_lost());
      inside_->rename(from, to);
      return {};
    });
    if (renamed) return;
    lose(from);
    lose(to);
  }
  Result<std::string> save(SeqId seq) override {
    if (is_lost(seq)) return fail(Code::kNotFound, "the sequence holds no cells");
    return caught([&] { return inside_->save(seq); });
  }
  Status restore(SeqId seq, std::string_view blob) override {
    CHOIR_CHECK_OK(free_lost());
    Status restored = caught([&] { return inside_->restore(seq, blob); });
    if (!restored) lose(seq);
    return restored;
  }
  std::int32_t computed(SeqId seq) const override {
    return is_lost(seq) ? 0 : inside_->computed(seq);
  }
  std::vector<CellRun> cell_runs(SeqId seq) const override {
    return is_lost(seq) ? std::vector<CellRun>() : inside_->cell_runs(seq);
  }

  ExecutorBytes sizes() const override { return inside_->sizes(); }
  const EngineConfig& config() const override { return inside_->config(); }

  void attach(Pool& pool) override {
    attached_ = caught([&] { inside_->attach(pool); });
  }
  void detach() override {
    (void)caught([&] { inside_->detach(); });
  }

 private:
  static constexpr std::size_t kWithoutSlot = 64;

  bool is_lost(SeqId seq) const { return std::ranges::find(lost_, seq) != lost_.end(); }
  void lose(SeqId seq) {
    if (!is_lost(seq) && lost_.size() < lost_.capacity()) lost_.push_back(seq);
  }
  Status free_lost() {
    while (!lost_.empty()) {
      CHOIR_CHECK_OK(caught([&] { inside_->truncate(lost_.back(), 0); }));
      lost_.pop_back();
    }
    return {};
  }
  Status ready() {
    CHOIR_CHECK_OK(attached_);
    return free_lost();
  }

  const std::unique_ptr<Engine> inside_;
  Status attached_;          // of the last attach()
  std::vector<SeqId> lost_;  // to be freed; nobody's
};

}  // namespace

std::unique_ptr<Engine> caught_engine(std::unique_ptr<Engine> inside) {
  return std::make_unique<CaughtEngine>(std::move(inside));
}

}  // namespace choir
