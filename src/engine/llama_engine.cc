#include "engine/llama_engine.h"

#include <algorithm>
#include <cstdlib>
#include <exception>

#include "base/check.h"
#include "engine/kv_blob.h"
#include "engine/llama_model_info.h"
#include "engine/llama_pool.h"
#include "engine/llama_runtime.h"
#include "llama-context.h"  // the engine's own: its scheduler, to take a pool away from it
#include "llama-ext.h"      // the engine's own: memory breakdown
#include "llama-model.h"    // the engine's own: which positions a model has

namespace choir {
namespace {

std::string reason() {
  const std::string complaint = engine_complaint();
  return complaint.empty() ? "no reason given" : complaint;
}

// How the model's embeddings are pooled, by its own metadata.
enum llama_pooling_type pooling_of(const llama_model& model) { return model.hparams.pooling_type; }

}  // namespace

llama_context_params context_params(const EngineConfig& config, const llama_model& handle,
                                    const ModelInfo& model) {
  llama_context_params params = llama_context_default_params();
  params.n_ctx = static_cast<std::uint32_t>(config.context_tokens);
  params.n_batch =
      static_cast<std::uint32_t>(std::min(config.batch_tokens_max, config.context_tokens));
  params.n_ubatch = params.n_batch;
  params.n_seq_max = static_cast<std::uint32_t>(config.sequences_max);
  params.n_outputs_max = params.n_seq_max;
  params.kv_unified = true;
  params.swa_full = false;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
  params.n_threads = 1;  // until a pool is attached
  params.n_threads_batch = 1;
  params.no_perf = true;
  params.type_k = params.type_v =
      model.generates && config.kv_type == KvType::kQ80 ? GGML_TYPE_Q8_0 : GGML_TYPE_F16;
  params.offload_kqv = false;
  params.op_offload = false;
  if (!model.generates) {
    params.embeddings = true;
    if (model.context_tokens_trained > 0)
      params.n_ctx =
          std::min(params.n_ctx, static_cast<std::uint32_t>(model.context_tokens_trained));
    params.n_batch = params.n_ubatch = params.n_ctx;
    params.n_outputs_max = 0;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_AUTO;
    if (pooling_of(handle) == LLAMA_POOLING_TYPE_MEAN)  // see LlamaEngine::pooled()
      params.pooling_type = LLAMA_POOLING_TYPE_NONE;
  }
  return params;
}

ExecutorBytes read_bytes(const llama_context& context, const EngineConfig& config,
                         const ModelInfo& model) {
  ExecutorBytes bytes;
  // With our kernels nothing is mapped. Else the file is, whole; what the engine repacks for speed
  // is a copy beside it.
  const bool mapped = model_params().load_mode == LLAMA_LOAD_MODE_MMAP;
  if (mapped) bytes.weights = model.file_bytes;
  for (const auto& [type, part] : llama_get_memory_breakdown(&context)) {
    const std::string_view name = ggml_backend_buft_name(type);
    if (!mapped || (name != "CPU" && name != "CPU_Mapped")) bytes.weights += part.model;
    bytes.kv += part.context;
    bytes.compute += part.compute;
  }
  bytes.logits = static_cast<std::uint64_t>(config.sequences_max) *
                 static_cast<std::uint64_t>(model.vocab_tokens) * sizeof(float);
  return bytes;
}

LlamaEngine::LlamaEngine(std::shared_ptr<const LlamaModel> model, LlamaContextHandle context,
                         const EngineConfig& config)
    : model_(std::move(model)),
      orders_(std::make_unique<kernels::KvOrders>(*context)),
      context_(std::move(context)),
      memory_(*context_),
      config_(config),
      sizes_(read_bytes(*context_, config, model_->info())),
      batch_(static_cast<std::int32_t>(llama_n_batch(context_.get()))),
      origins_(static_cast<std::size_t>(config.sequences_max)) {
  config_.batch_tokens_max = static_cast<std::int32_t>(llama_n_batch(context_.get()));
  for (llama_seq_id slot = config.sequences_max; --slot >= 0;) free_slots_.push_back(slot);
  slots_.reserve(free_slots_.size());
  output_rows_.reserve(free_slots_.size());
  logits_.reserve(free_slots_.size());
  const auto stop = [](void* engine) {
    const AbortSignal* abort = static_cast<LlamaEngine*>(engine)->abort_;
    return abort != nullptr && abort->stop();
  };
  llama_set_abort_callback(context_.get(), stop, this);
}

LlamaEngine::~LlamaEngine() = default;

Result<std::unique_ptr<LlamaEngine>> LlamaEngine::create(std::shared_ptr<const LlamaModel> model,
                                                         const EngineConfig& config) {
  CHOIR_CHECK_OK(check_kv_type(*model->handle(), model->info(), config.kv_type));
  clear_engine_complaint();
  const std::string name = model->info().name;
  try {
    LlamaContextHandle context(llama_init_from_model(
        model->handle(), context_params(config, *model->handle(), model->info())));
    if (!context)
      return fail(Code::kOutOfMemory, "no context of " + std::to_string(config.context_tokens) +
                                          " tokens for '" + name + "': " + reason());
    return std::unique_ptr<LlamaEngine>(
        new LlamaEngine(std::move(model), std::move(context), config));
  } catch (const std::exception& error) {
    return fail(Code::kEngineFailed, "no context for '" + name + "': " + error.what());
  }
}

Result<RunOutcome> LlamaEngine::run(const StepPlan& plan,
                                    std::span<const std::span<const TokenId>> tokens,
                                    const AbortSignal& abort) {
  CHOIR_CHECK(tokens.size() == plan.slices.size(), "one span of tokens for each slice");
  batch_.clear();
  output_rows_.assign(plan.slices.size(), -1);
  logits_.assign(plan.slices.size(), nullptr);
  for (std::size_t i = 0; i < plan.slices.size(); ++i) {
    const Slice& slice = plan.slices[i];
    llama_seq_id slot = slot_of(slice.seq);
    if (slot < 0) slot = take_slot(slice.seq);
    CHOIR_CHECK(slot >= 0, "plan_step keeps within the free slots");
    CHOIR_CHECK(batch_.size() + slice.count <= config_.batch_tokens_max,
                "plan_step keeps within the batch");
    for (std::int32_t t = 0; t < slice.count; ++t)
      batch_.add(tokens[i][static_cast<std::size_t>(t)], slice.begin + t, slot,
                 slice.sample && t + 1 == slice.count);
    if (slice.sample) output_rows_[i] = batch_.size() - 1;
  }
  if (batch_.size() == 0) return RunOutcome::kDone;

  clear_engine_complaint();
  abort_ = memory_.can_undo() ? &abort : nullptr;
  int status = 0;
  try {
    status = llama_decode(context_.get(), batch_.get());
  } catch (const std::exception& error) {
    abort_ = nullptr;
    undo(plan);
    return fail(Code::kEngineFailed, std::string("the engine failed in a pass: ") + error.what());
  }
  abort_ = nullptr;
  if (status == 0) {
    find_logits(plan);
    return RunOutcome::kDone;
  }
  if (status != 1 && !memory_.can_undo()) undo(plan);
  // A sequence that got its slot for this pass and no cell goes back to holding nothing.
  for (const Slice& slice : plan.slices)
    if (computed(slice.seq) == 0) free_slot(slice.seq);
  if (status == 1) return RunOutcome::kNoCells;
  if (status == 2) return RunOutcome::kAborted;
  return fail(Code::kEngineFailed, "the engine refused a pass: " + reason());
}

void LlamaEngine::undo(const StepPlan& plan) {
  if (memory_.can_undo()) {
    for (const Slice& slice : plan.slices) truncate(slice.seq, slice.begin);
    return;
  }
  // A state moves with its neighbours' in one operation, so none of them can be trusted.
  while (!slots_.empty()) forget(slots_.begin()->first, slots_.begin()->second);
}

// Here and not in logits(): the engine's own call writes to its context (counters, the order of the
// rows), and the threads of a pool ask for different rows at the same time.
void LlamaEngine::find_logits(const StepPlan& plan) {
  for (std::size_t i = 0; i < plan.slices.size(); ++i)
    if (plan.slices[i].sample) logits_[i] = llama_get_logits_ith(context_.get(), output_rows_[i]);
}

std::span<float> LlamaEngine::logits(std::size_t slice) {
  float* const values = logits_.at(slice);
  CHOIR_CHECK(values != nullptr,
              "only a slice with `sample` has logits, and only until the next pass");
  return {values, static_cast<std::size_t>(model_->info().vocab_tokens)};
}

Result<std::vector<std::vector<float>>> LlamaEngine::embed(
    std::span<const std::span<const TokenId>> texts, const AbortSignal& abort) {
  if (model_->info().generates)
    return fail(Code::kInvalidArgument,
                "'" + model_->info().name + "' generates text; embeddings need an encoder model");
  const auto tokens_max = static_cast<std::size_t>(config_.batch_tokens_max);
  CHOIR_CHECK(!texts.empty() && std::ssize(texts) <= config_.sequences_max,
              "one pass takes 1 to sequences_max texts");
  std::size_t tokens = 0;
  for (const auto text : texts) {
    tokens += text.size();
    if (text.empty() || tokens > tokens_max)
      return fail(Code::kInvalidArgument, "text has " + std::to_string(text.size()) + " tokens, '" +
                                              model_->info().name + "' embeds 1 to " +
                                              std::to_string(tokens_max) + " at once");
  }
  batch_.clear();
  for (std::size_t i = 0; i < texts.size(); ++i)
    for (std::size_t t = 0; t < texts[i].size(); ++t)
      batch_.add(texts[i][t], static_cast<llama_pos>(t), static_cast<llama_seq_id>(i), true);
  clear_engine_complaint();
  abort_ = &abort;
  int status = 0;
  try {
    status = llama_encode(context_.get(), batch_.get());
  } catch (const std::exception& error) {
    abort_ = nullptr;
    return fail(Code::kEngineFailed, std::string("the engine failed to embed: ") + error.what());
  }
  abort_ = nullptr;
  if (status == 0) return pooled(texts);
  if (abort.stop()) return fail(Code::kCancelled, "embedding was cancelled");
  return fail(Code::kEngineFailed, "the engine refused to embed: " + reason());
}

// A mean is taken here, over the rows of one text in their order: the engine takes those of a pass
// by a product over all of its rows, whose sums are other bits beside other texts.
Result<std::vector<std::vector<float>>> LlamaEngine::pooled(
    std::span<const std::span<const TokenId>> texts) {
  const bool rank = llama_pooling_type(context_.get()) == LLAMA_POOLING_TYPE_RANK;
  const auto size = rank ? static_cast<std::size_t>(llama_model_n_cls_out(model_->handle()))
                         : static_cast<std::size_t>(llama_model_n_embd_out(model_->handle()));
  const bool by_token = llama_pooling_type(context_.get()) == LLAMA_POOLING_TYPE_NONE;
  const bool mean = pooling_of(*model_->handle()) == LLAMA_POOLING_TYPE_MEAN;
  std::vector<std::vector<float>> vectors;
  vectors.reserve(texts.size());
  std::int32_t row = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto rows = static_cast<std::int32_t>(texts[i].size());
    std::vector<float>& vector = vectors.emplace_back(size, 0.0F);
    const std::int32_t first = mean ? 0 : rows - 1;  // of a model without pooling: its last token
    for (std::int32_t t = by_token ? first : rows - 1; t < rows; ++t) {
      const float* values =
          by_token ? llama_get_embeddings_ith(context_.get(), row + t)
                   : llama_get_embeddings_seq(context_.get(), static_cast<llama_seq_id>(i));
      if (values == nullptr) return fail(Code::kEngineFailed, "the engine gave no embedding");
      for (std::size_t d = 0; d < size; ++d) vector[d] += values[d];
    }
    if (by_token && mean)
      for (float& value : vector) value /= static_cast<float>(rows);
    row += rows;
  }
  return vectors;
}

std::int32_t LlamaEngine::truncate(SeqId seq, std::int32_t tokens) {
  const llama_seq_id slot = slot_of(seq);
  if (slot < 0) return 0;
  tokens = std::min(tokens, computed(seq));
  if (tokens > 0 && memory_.keep(slot, tokens)) {
    origins_.cut(static_cast<std::size_t>(slot), tokens);
    return tokens;
  }
  return forget(seq, slot);
}

std::int32_t LlamaEngine::forget(SeqId seq, llama_seq_id slot) {
  memory_.keep(slot, 0);
  free_slot(seq);
  return 0;
}

Result<std::int32_t> LlamaEngine::fork(SeqId from, SeqId to, std::int32_t tokens) {
  const llama_seq_id source = slot_of(from);
  if (source < 0) return 0;
  CHOIR_CHECK(slot_of(to) < 0, "a fork goes into a sequence that holds nothing");
  const llama_seq_id target = take_slot(to);
  if (target < 0)
    return fail(Code::kOverloaded, "all " + std::to_string(config_.sequences_max) +
                                       " sequences of the executor are in use");
  tokens = std::min(tokens, computed(from));
  if (memory_.copy(source, target, tokens)) {
    origins_.fork(static_cast<std::size_t>(source), static_cast<std::size_t>(target), tokens);
    return tokens;
  }
  return forget(to, target);
}

void LlamaEngine::rename(SeqId from, SeqId to) {
  CHOIR_CHECK(slot_of(to) < 0, "a sequence is renamed to one that holds nothing");
  auto row = slots_.extract(from);
  if (row.empty()) return;
  row.key() = to;
  slots_.insert(std::move(row));
}

// The engine rotates what it quantizes, unless this variable says not to; and the frequencies of
// some models' positions (Phi 3, MiniCPM 3) depend on the size of the context.
std::string LlamaEngine::kv_type() const {
  std::string type(to_string(config_.kv_type));
  const char* off = std::getenv("LLAMA_ATTN_ROT_DISABLE");
  const bool rotated = off == nullptr || std::atoi(off) == 0;
  if (config_.kv_type != KvType::kF16 && !rotated) type += ", not rotated";
  const llama_model& model = *model_->handle();
  if (!model.layers.empty() && model.layers[0].rope_long != nullptr &&
      llama_n_ctx_seq(context_.get()) > model.hparams.n_ctx_orig_yarn)
    type += ", long positions";
  return type;
}

Result<std::string> LlamaEngine::save(SeqId seq) {
  const llama_seq_id slot = slot_of(seq);
  if (slot < 0) return fail(Code::kNotFound, "the sequence holds no cells");
  std::string state(llama_state_seq_get_size(context_.get(), slot), '\0');
  const std::size_t written = llama_state_seq_get_data(
      context_.get(), reinterpret_cast<std::uint8_t*>(state.data()), state.size(), slot);
  if (written == 0) return fail(Code::kEngineFailed, "the engine gave no state: " + reason());
  state.resize(written);
  return wrap_kv({model_->fingerprint(), kv_type(), computed(seq)}, state);
}

Status LlamaEngine::restore(SeqId seq, std::string_view bytes) {
  CHOIR_CHECK(slot_of(seq) < 0, "a sequence is restored into nothing");
  const KvBlob blob = CHOIR_TRY(unwrap_kv(bytes));
  if (blob.header.model_fingerprint != model_->fingerprint() || blob.header.kv_type != kv_type())
    return fail(Code::kInvalidArgument, "KV state belongs to another model or KV type");
  const llama_seq_id slot = take_slot(seq);
  if (slot < 0)
    return fail(Code::kOverloaded, "all " + std::to_string(config_.sequences_max) +
                                       " sequences of the executor are in use");
  std::size_t read = 0;
  try {
    read = llama_state_seq_set_data(context_.get(),
                                    reinterpret_cast<const std::uint8_t*>(blob.state.data()),
                                    blob.state.size(), slot);
  } catch (const std::exception&) {
    read = 0;
  }
  if (read == 0 || computed(seq) != blob.header.tokens) {
    forget(seq, slot);
    return fail(Code::kOutOfMemory,
                "no room for a KV state of " + std::to_string(blob.header.tokens) + " tokens");
  }
  return {};
}

std::int32_t LlamaEngine::computed(SeqId seq) const {
  const llama_seq_id slot = slot_of(seq);
  return slot < 0 ? 0 : memory_.tokens(slot);
}

std::vector<CellRun> LlamaEngine::cell_runs(SeqId seq) const {
  const llama_seq_id slot = slot_of(seq);
  if (slot < 0) return {};
  return origins_.runs(static_cast<std::size_t>(slot), memory_.tokens(slot));
}

void LlamaEngine::attach(Pool& pool) {
  auto& ours = static_cast<LlamaPool&>(pool);
  ours.enter();
  llama_attach_threadpool(context_.get(), ours.handle(), ours.handle());
  llama_set_n_threads(context_.get(), ours.threads(), ours.threads());
}

// ggml pauses the old pool at the next pass on another one, at a moment when the old lane may be
// starting a graph on it, and both would hang. Taking it away here, while this lane's threads are
// idle, leaves nothing to pause later.
void LlamaEngine::detach() {
  llama_detach_threadpool(context_.get());
  ggml_backend_sched_t scheduler = context_->get_sched();
  for (int i = 0; i < ggml_backend_sched_get_n_backends(scheduler); ++i) {
    ggml_backend_t backend = ggml_backend_sched_get_backend(scheduler, i);
    if (ggml_backend_is_cpu(backend)) ggml_backend_cpu_set_threadpool(backend, nullptr);
  }
}

llama_seq_id LlamaEngine::slot_of(SeqId seq) const {
  const auto found = slots_.find(seq);
  return found == slots_.end() ? -1 : found->second;
}

llama_seq_id LlamaEngine::take_slot(SeqId seq) {
  if (free_slots_.empty()) return -1;
  const llama_seq_id slot = free_slots_.back();
  free_slots_.pop_back();
  slots_.emplace(seq, slot);
  origins_.begin(static_cast<std::size_t>(slot));
  return slot;
}

void LlamaEngine::free_slot(SeqId seq) {
  const auto found = slots_.find(seq);
  if (found == slots_.end()) return;
  free_slots_.push_back(found->second);
  slots_.erase(found);
}

}  // namespace choir
