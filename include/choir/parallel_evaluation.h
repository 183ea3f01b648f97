// N sessions of one or several models at once, each with a KV cache of its own and a seed of its
// own (session_id * 1000), weights resident before the first token; structured results.
//
// Source: the ParallelEvaluationExample of MLX Swift examples, whose report render() follows.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "choir/config.h"
#include "choir/export.h"
#include "choir/request.h"
#include "choir/result.h"

namespace choir {

struct ParallelModel {
  std::string path;  // GGUF file
  std::string name;  // shown; empty: from the file
  Priority priority = Priority::kNormal;
  double shares = 1.0;
};

struct ParallelConfig {
  std::vector<ParallelModel> models;  // at least one; the same file may come twice
  std::int32_t sessions = 3;          // of each model, 1 .. 256
  std::vector<std::string>
      prompts;         // session i takes prompt i modulo their number; empty: built in
  std::string system;  // system message; empty: none
  std::int32_t max_tokens = 100;
  float temperature = 0.7F;
  bool raw = false;  // prompts as they are, without a chat template
  bool ignore_eos = false;
  bool prefix_cache = true;  // sessions that begin the same compute that once
  KvType kv_type = KvType::kF16;
  NodeConfig node;
};

// One session at its end.
struct EvaluationResult {
  std::int32_t session_id = 0;  // 0 .. models x sessions - 1; seed = session_id * 1000
  std::string model;
  std::string prompt;
  std::string text;
  std::int32_t prompt_tokens = 0;
  std::int32_t tokens = 0;         // generated
  double seconds = 0;              // from the first token's computation to the end
  double first_token_seconds = 0;  // from the start of all sessions
  double tokens_per_second = 0;
  Finish finish = Finish::kFailed;
  std::optional<Error> error;
};

struct EvaluationReport {
  std::vector<EvaluationResult> results;  // by session_id
  double load_seconds = 0;                // models opened, weights resident
  double total_seconds = 0;               // first session started to last one ended
  std::int32_t total_tokens = 0;
  double average_tokens_per_second = 0;  // over sessions that generated something
  double throughput = 0;                 // total_tokens / total_seconds
};

// Progress of one session; on a dispatcher thread, one at a time per session.
struct SessionProgress {
  std::int32_t session_id = 0;
  enum class Phase : std::uint8_t { kStarted, kToken, kEnded } phase = Phase::kStarted;
  std::string_view model;
  std::string_view prompt;
  std::int32_t tokens = 0;
  double tokens_per_second = 0;
};

class CHOIR_API ParallelEvaluation {
 public:
  // Loads all models; every weight is in memory when it returns.
  static Result<std::unique_ptr<ParallelEvaluation>> create(ParallelConfig config);
  ~ParallelEvaluation();
  ParallelEvaluation(const ParallelEvaluation&) = delete;
  ParallelEvaluation& operator=(const ParallelEvaluation&) = delete;

  enum class Order : std::uint8_t { kTogether, kOneAtATime };
  // Runs every session and waits for all. A session that fails is a row with its error.
  // kOneAtATime is the same work with one request in the node at any time. What `progress` throws
  // is logged.
  Result<EvaluationReport> run(Order order = Order::kTogether,
                               const std::function<void(const SessionProgress&)>& progress = {});
  // Every running session ends as kCancelled; run() then returns. From any thread, also from a
  // signal-watching one.
  void cancel();

  const ParallelConfig& config() const;

 private:
  struct Inside;
  explicit ParallelEvaluation(std::unique_ptr<Inside> inside);
  static Result<std::unique_ptr<ParallelEvaluation>> load(ParallelConfig config);
  std::unique_ptr<Inside> inside_;
};

// The checks of create() that need no file. Pure.
CHOIR_API Status validate(const ParallelConfig& config);

// The report for a terminal, as text.
CHOIR_API std::string render(const EvaluationReport& report, const ParallelConfig& config);

}  // namespace choir
