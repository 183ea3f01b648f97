// One executor's KV cells and scratch: a llama_context on shared weights.
//
// The settings that bind everything else: one unified KV cache for all sequences; n_batch equals
// n_ubatch, so that a pass is one micro-batch; as many outputs as sequences, which plan_step holds
// (more aborts the process; the default would make Gemma's scratch 514 MiB instead of 26).
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/cell_origins.h"
#include "engine/engine.h"
#include "engine/llama_handles.h"
#include "engine/llama_memory.h"
#include "engine/llama_model.h"
#include "kernels/kv_order.h"

namespace choir {

// The context parameters of a configuration, for running and for measuring alike. An encoder
// computes its whole input in one pass and needs embeddings instead of logits; it has no positions
// past those it was trained for.
llama_context_params context_params(const EngineConfig& config, const llama_model& handle,
                                    const ModelInfo& model);

// Adds up what llama.cpp says it takes (or would take, for a model opened without allocation).
ExecutorBytes read_bytes(const llama_context& context, const EngineConfig& config,
                         const ModelInfo& model);

class LlamaEngine final : public Engine {
 public:
  // kOutOfMemory or kEngineFailed with the engine's reason.
  static Result<std::unique_ptr<LlamaEngine>> create(std::shared_ptr<const LlamaModel> model,
                                                     const EngineConfig& config);
  ~LlamaEngine() override;

  Result<RunOutcome> run(const StepPlan& plan, std::span<const std::span<const TokenId>> tokens,
                         const AbortSignal& abort) override;
  std::span<float> logits(std::size_t slice) override;
  Result<std::vector<std::vector<float>>> embed(std::span<const std::span<const TokenId>> texts,
                                                const AbortSignal& abort) override;
  Fronts fronts() const override { return memory_.fronts(); }
  std::int32_t truncate(SeqId seq, std::int32_t tokens) override;
  Result<std::int32_t> fork(SeqId from, SeqId to, std::int32_t tokens) override;
  void rename(SeqId from, SeqId to) override;
  Result<std::string> save(SeqId seq) override;
  Status restore(SeqId seq, std::string_view blob) override;
  std::int32_t computed(SeqId seq) const override;
  std::vector<CellRun> cell_runs(SeqId seq) const override;
  ExecutorBytes sizes() const override { return sizes_; }
  const EngineConfig& config() const override { return config_; }
  void attach(Pool& pool) override;
  void detach() override;

 private:
  LlamaEngine(std::shared_ptr<const LlamaModel> model, LlamaContextHandle context,
              const EngineConfig& config);

  // Of states, which nothing else restores.
  std::string kv_type() const;
  // The engine's number for a sequence; -1 when it has none or none is free.
  llama_seq_id slot_of(SeqId seq) const;
  llama_seq_id take_slot(SeqId seq);
  void free_slot(SeqId seq);
  // Frees the slot and what it has; 0.
  std::int32_t forget(SeqId seq, llama_seq_id slot);
  void find_logits(const StepPlan& plan);
  // After the encoder's pass over them.
  Result<std::vector<std::vector<float>>> pooled(std::span<const std::span<const TokenId>> texts);
  // After a pass that did not end well, and that the engine has not undone itself.
  void undo(const StepPlan& plan);

  std::shared_ptr<const LlamaModel> model_;    // declared before the context: dies after it
  std::unique_ptr<kernels::KvOrders> orders_;  // outlives the context that computes with them
  LlamaContextHandle context_;
  LlamaMemory memory_;
  EngineConfig config_;
  ExecutorBytes sizes_;
  LlamaBatch batch_;
  std::unordered_map<SeqId, llama_seq_id> slots_;
  std::vector<llama_seq_id> free_slots_;
  CellOrigins origins_;                    // of the slots
  std::vector<float*> logits_;             // of slice i after a pass, null without
  std::vector<std::int32_t> output_rows_;  // batch row of slice i's logits, -1 without
  const AbortSignal* abort_ = nullptr;     // during a pass
};

}  // namespace choir
