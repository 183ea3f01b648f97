// An engine that does nothing at all: what is left is the scheduler's own cost.
#pragma once

#include <memory>
#include <vector>

#include "engine/engine.h"
#include "runtime/request_state.h"

namespace choir::sim {

class NullEngine final : public Engine {
 public:
  explicit NullEngine(const EngineConfig& config) : config_(config), row_(32, 0.0F) {}

  Result<RunOutcome> run(const StepPlan&, std::span<const std::span<const TokenId>>,
                         const AbortSignal&) override {
    return RunOutcome::kDone;
  }
  std::span<float> logits(std::size_t) override { return row_; }
  Result<std::vector<std::vector<float>>> embed(std::span<const std::span<const TokenId>> texts,
                                                const AbortSignal&) override {
    return std::vector<std::vector<float>>(texts.size(), row_);
  }
  Fronts fronts() const override { return Fronts::kAny; }
  std::int32_t truncate(SeqId, std::int32_t) override { return 0; }
  Result<std::int32_t> fork(SeqId, SeqId, std::int32_t) override { return 0; }
  void rename(SeqId, SeqId) override {}
  Result<std::string> save(SeqId) override { return std::string(); }
  Status restore(SeqId, std::string_view) override { return {}; }
  std::int32_t computed(SeqId) const override { return 0; }
  std::vector<CellRun> cell_runs(SeqId) const override { return {}; }
  ExecutorBytes sizes() const override { return {}; }
  const EngineConfig& config() const override { return config_; }
  void attach(Pool&) override {}
  void detach() override {}

 private:
  EngineConfig config_;
  std::vector<float> row_;
};

// Nobody waits for what becomes of a request.
class NullHome final : public RequestHome {
 public:
  void drained(const RequestState&) override {}
  void ended(const RequestState&, const Completion&) override {}
  void cancelled(const RequestState&) override {}
  bool post(const RequestState&, const RequestJob&) override { return false; }
  bool open(const RequestState&, const Opener&) override { return false; }
  bool refuse(const RequestState&, const Error&) override { return false; }
};

}  // namespace choir::sim
