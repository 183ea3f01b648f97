// The Engine seam: all that Choir asks of whatever computes tokens. llama.cpp implements it in
// engine/llama_*, the simulator in sim/fake_engine.h; nothing above knows which one it has.
//
//   Backend  makes the other three; one per node
//   Model    weights and vocabulary of one file, shared by its executors; immutable, thread-safe
//   Engine   KV cells and scratch of one executor; one thread at a time
//   Pool     the compute threads of one lane; used by the lane's thread only
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "choir/ids.h"
#include "choir/model_info.h"
#include "choir/request.h"
#include "choir/result.h"
#include "choir/units.h"
#include "core/cell_run.h"
#include "core/executor_bytes.h"
#include "core/kv_state.h"
#include "core/step_plan.h"

namespace choir {

// The compute threads of a lane. Created and destroyed on the lane's own thread, which is one of
// them; outlives every engine that ran on it.
class Pool {
 public:
  virtual ~Pool() = default;
  virtual int threads() const = 0;
  // The same, with only so many of its threads, 1 .. threads(); this one's, made when first asked
  // for. On the lane's thread.
  virtual Pool& narrowed(int threads) = 0;
  // Calls work(index, thread) for every index in [0, count), spread over the threads; returns when
  // all are done. `work` must not throw.
  virtual void for_each(int count, const std::function<void(int index, int thread)>& work) = 0;
};

// A prompt as a template has rendered it.
struct Rendered {
  std::string text;
  // Ascending byte offsets inside control tokens that a message's content has as text: no token
  // may span one (engine/control_texts.h). Mostly none.
  std::vector<std::size_t> cuts;
  bool operator==(const Rendered&) const = default;
};

// Whether control tokens in the contents of messages count, or are text.
enum class Contents : std::uint8_t { kText, kParse };
inline Contents contents_of(const Request& request) {
  return request.parse_special ? Contents::kParse : Contents::kText;
}

class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelInfo& info() const = 0;
  // Identifies weights and vocabulary: equal for equal files, whatever their path. Hex.
  virtual const std::string& fingerprint() const = 0;

  // Tokens of `text`. `special`: markers such as <|im_start|> become their token, and the beginning
  // mark of the vocabulary is put in front; without it they are plain text and nothing is added.
  // kContinue: markers count and nothing is put in front, for text that goes on after other tokens.
  // kInvalidArgument, with the numbers, for more text without a break than the engine can take.
  // kInside: the same, and the text begins in the middle of a word. A text that begins with the
  // beginning mark gets no second one.
  enum class Special : std::uint8_t { kParse, kPlain, kContinue, kInside };
  virtual Result<std::vector<TokenId>> tokenize(std::string_view text, Special special) const = 0;
  // The bytes of one token; may be part of a UTF-8 character; empty for control tokens. Lives as
  // long as the model.
  virtual std::string_view piece(TokenId token) const = 0;
  // Tokens with which the model ends its turn, ascending.
  virtual std::span<const TokenId> end_tokens() const = 0;
  // Where to cut a text that is to be parsed, for its control tokens to be text.
  virtual std::vector<std::size_t> control_cuts(std::string_view text) const = 0;
  // `messages` as the model's own chat template renders them, with the assistant's turn opened;
  // without a template (info().chat_template empty) the contents, one after the other.
  // kInvalidArgument: the template refuses them, or changes control tokens that are to be text.
  virtual Result<Rendered> render(std::span<const Message> messages, Contents contents) const = 0;
};

struct EngineConfig {
  std::int32_t context_tokens = 4096;   // KV cells, shared by all sequences
  std::int32_t sequences_max = 8;       // at once; also the outputs of one pass
  std::int32_t batch_tokens_max = 512;  // tokens of one pass, which is one micro-batch
  KvType kv_type = KvType::kF16;        // of an encoder, which keeps none, it means nothing
  bool operator==(const EngineConfig&) const = default;
};

// Why a pass should stop before its end: raised by another thread, or the time is up. Owned by the
// executor; the engine asks it between two operations, on any of its threads.
class AbortSignal {
 public:
  explicit AbortSignal(const Clock& clock) : clock_(clock) {}
  void raise() { raised_.store(true, std::memory_order_relaxed); }
  // Before a pass, by the executor: lowered, and no deadline.
  void reset() {
    deadline_ = {};
    raised_.store(false);
  }
  void set_deadline(Instant deadline) { deadline_ = deadline; }
  bool stop() const {
    return raised_.load(std::memory_order_relaxed) ||
           (deadline_ != Instant{} && clock_.now() >= deadline_);
  }

 private:
  const Clock& clock_;
  Instant deadline_;
  std::atomic<bool> raised_{false};
};

// What run() leaves behind.
enum class RunOutcome : std::uint8_t {
  kDone,     // every slice has its cells; logits are there
  kNoCells,  // nothing was computed: the caller parks a victim and plans again
  kAborted,  // nothing of this pass counts; ask computed() of every sequence in the plan
};

class Engine {
 public:
  virtual ~Engine() = default;

  // One forward pass. tokens[i] are the tokens of plan.slices[i]; a sequence's first slice gives
  // it a slot. Stops soon after `abort` says so, if its memory can undo what was computed; else it
  // goes on to its end. An error leaves the sequences of the plan as kAborted does, and may take
  // the cells of the others. Which Pool it computes on is fixed by attach().
  virtual Result<RunOutcome> run(const StepPlan& plan,
                                 std::span<const std::span<const TokenId>> tokens,
                                 const AbortSignal& abort) = 0;

  // Logits of plan.slices[i] of the last run(), which must have said `sample`. [vocab_tokens],
  // writable (the sampler works in place), gone at the next run().
  virtual std::span<float> logits(std::size_t slice) = 0;

  // Pooled embeddings of `texts`, [embedding_size] each and in their order, in one pass through the
  // same pool. At most sequences_max texts of together batch_tokens_max tokens, none without. Where
  // our kernels cover the model, a vector is the same bits alone and beside others. Stops soon
  // after `abort` says so, with kCancelled. kInvalidArgument for a model that does not embed.
  virtual Result<std::vector<std::vector<float>>> embed(
      std::span<const std::span<const TokenId>> texts, const AbortSignal& abort) = 0;

  // What truncate() and fork() can do.
  virtual Fronts fronts() const = 0;
  // Keeps the first `tokens` cells of `seq` and returns how many are kept: fewer (0) where the
  // memory cannot be cut there. 0 frees the slot too. Unknown sequences hold nothing.
  virtual std::int32_t truncate(SeqId seq, std::int32_t tokens) = 0;
  // `to` gets the first `tokens` cells of `from` without computing; returns how many (see
  // truncate). With 0 it holds nothing.
  virtual Result<std::int32_t> fork(SeqId from, SeqId to, std::int32_t tokens) = 0;
  // What `from` holds belongs to `to` from now on, which must hold nothing.
  virtual void rename(SeqId from, SeqId to) = 0;
  // The KV state of `seq` as bytes, for restore() on any engine of the same model and KV type.
  virtual Result<std::string> save(SeqId seq) = 0;
  // Gives `seq` the state in `blob`; it must hold nothing before. On error it holds nothing.
  virtual Status restore(SeqId seq, std::string_view blob) = 0;
  // Tokens with a cell.
  virtual std::int32_t computed(SeqId seq) const = 0;
  // Where the cells of `seq` come from, which says what it shares with others. All of computed();
  // none of an unknown sequence.
  virtual std::vector<CellRun> cell_runs(SeqId seq) const = 0;

  virtual ExecutorBytes sizes() const = 0;
  virtual const EngineConfig& config() const = 0;

  // Before a turn, and after it, on the lane's thread: an engine may change its pool only while
  // the old one is idle (llama.cpp pauses it at the switch, and two lanes would hang).
  virtual void attach(Pool& pool) = 0;
  virtual void detach() = 0;
};

// How much of a file's weights has been read, 0 .. 1. False: the load is to be given up, which ends
// it with kCancelled. Called on the thread that loads; empty: progress is not reported.
using LoadProgress = std::function<bool(float fraction)>;

class Backend {
 public:
  virtual ~Backend() = default;
  // Whether measure() answers without trying the file first, which takes seconds. The error: what
  // is wrong with the file at a first look.
  virtual Result<bool> was_tried(const std::string& /*path*/, const EngineConfig& /*config*/) {
    return true;
  }
  // Bytes that an executor of this file and configuration takes, without loading weights.
  virtual Result<ExecutorBytes> measure(const std::string& path, const EngineConfig& config) = 0;
  // Opens the file; the same file that is still open elsewhere is shared.
  virtual Result<std::shared_ptr<const Model>> load(const std::string& path,
                                                    const LoadProgress& progress) = 0;
  virtual Result<std::unique_ptr<Engine>> create_engine(std::shared_ptr<const Model> model,
                                                        const EngineConfig& config) = 0;
  // A pool of cpus.size() threads pinned to them; called on the lane's thread, which is the first.
  virtual std::unique_ptr<Pool> create_pool(std::span<const int> cpus) = 0;
};

}  // namespace choir
