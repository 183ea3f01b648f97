// Runs N sessions of one or several models at the same time and returns structured results. Each
// session has its own KV cache and its own seed (session_id * 1000). All weights are in memory
// before the first token.
//
// Source: the ParallelEvaluationExample of MLX Swift examples. render() writes a report like the
// one of that example.
//
// Threads: create() and run() block, and are refused inside a callback. One run() at a time
// for each object; cancel() and config() from any thread at any time.
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
  std::string name;  // name in the report; empty: the name in the file
  Priority priority = Priority::kNormal;
  double shares = 1.0;
};

struct ParallelConfig {
  std::vector<ParallelModel> models;  // at least one; the same file may be listed twice
  std::int32_t sessions = 3;          // sessions of each model, 1 .. 256
  // Session i uses prompt i modulo the number of prompts. Empty: built-in prompts.
  std::vector<std::string> prompts;
  std::string system;  // system message; empty: none
  std::int32_t max_tokens = 100;
  float temperature = 0.7F;
  bool raw = false;  // true: prompts go in as they are, without a chat template
  bool ignore_eos = false;
  bool prefix_cache = true;  // a common beginning of prompts is computed once
  KvType kv_type = KvType::kF16;
  NodeConfig node;
};

// The result of one session.
struct EvaluationResult {
  std::int32_t session_id = 0;  // 0 .. models x sessions - 1; seed = session_id * 1000
  std::string model;
  std::string prompt;
  std::string text;
  std::int32_t prompt_tokens = 0;
  std::int32_t tokens = 0;         // generated tokens
  double seconds = 0;              // from the session's first forward pass to its end
  double first_token_seconds = 0;  // from the start of all sessions to its first token
  double tokens_per_second = 0;
  Finish finish = Finish::kFailed;
  std::optional<Error> error;
};

struct EvaluationReport {
  std::vector<EvaluationResult> results;  // sorted by session_id
  double load_seconds = 0;                // loading all models, in create()
  double total_seconds = 0;               // from the start of run() to the last end
  std::int32_t total_tokens = 0;
  double average_tokens_per_second = 0;  // mean over the sessions that generated a token
  double throughput = 0;                 // total_tokens / total_seconds
};

// The same work twice: its requests together, and each when the one before had ended.
struct Comparison {
  EvaluationReport together;
  EvaluationReport one_at_a_time;
  // Of the throughputs and not of the times, because a model may end its answers at other tokens.
  // 0: the second report has a throughput of 0.
  double speedup = 0;
};

// Progress of one session. kToken and the usual kEnded are reported on a dispatcher thread,
// kStarted and the kEnded of a session that was refused on the thread that called run(). One call
// at a time for each session; calls for different sessions may overlap.
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
  // Loads all models; all weights are in memory when it returns. Blocks for the loads. Errors as
  // validate() and Node::add().
  static Result<std::unique_ptr<ParallelEvaluation>> create(ParallelConfig config);
  ~ParallelEvaluation();
  ParallelEvaluation(const ParallelEvaluation&) = delete;
  ParallelEvaluation& operator=(const ParallelEvaluation&) = delete;

  enum class Order : std::uint8_t { kTogether, kOneAtATime };
  // Runs every session and blocks until all have ended. A session that fails is a row with its
  // error. kOneAtATime does the same work with one request in the node at any time. What `progress`
  // throws is logged.
  Result<EvaluationReport> run(Order order = Order::kTogether,
                               const std::function<void(const SessionProgress&)>& progress = {});
  // Ends every running session as kCancelled; run() then returns. It is permanent: a later run()
  // ends its sessions as kCancelled too. Any thread; does not block; not for a signal handler,
  // because it takes locks.
  void cancel();

  // The config with the built-in prompts filled in. Valid as long as the object. Does not block.
  const ParallelConfig& config() const;

 private:
  struct Inside;
  explicit ParallelEvaluation(std::unique_ptr<Inside> inside);
  static Result<std::unique_ptr<ParallelEvaluation>> load(ParallelConfig config);
  std::unique_ptr<Inside> inside_;
};

// The checks of create() that need no file. Pure: any thread, does not block.
CHOIR_API Status validate(const ParallelConfig& config);

// The built-in prompts. Any thread, does not block.
CHOIR_API std::vector<std::string> usual_prompts();

// The row of a session that has ended; the caller adds session_id and prompt. Pure: any thread,
// does not block.
CHOIR_API EvaluationResult result_of(const Completion& completion);

// The report of these sessions, with totals and averages. Pure: any thread, does not block.
CHOIR_API EvaluationReport report_of(std::vector<EvaluationResult> results, double load_seconds,
                                     double total_seconds);

// A report of which only these figures are known; the throughput follows from them. Pure: any
// thread, does not block.
CHOIR_API EvaluationReport report_of(std::int32_t total_tokens, double total_seconds);

// Pure: any thread, does not block.
CHOIR_API Comparison compare(EvaluationReport together, EvaluationReport one_at_a_time);

// The report as a JSON object, on one line: load_seconds, total_seconds, total_tokens,
// average_tokens_per_second, throughput, and the results as `sessions`. Bytes that are not UTF-8
// become U+FFFD. Pure: any thread, does not block.
CHOIR_API std::string json_text(const EvaluationReport& report);

// The first report as above, and the second as its member `one_at_a_time`, and `speedup`. Pure: any
// thread, does not block.
CHOIR_API std::string json_text(const Comparison& comparison);

// The report as text for a terminal. Pure: any thread, does not block.
CHOIR_API std::string render(const EvaluationReport& report, const ParallelConfig& config);

// The figures of both reports and the speedup, as text for a terminal. Pure: any thread, does not
// block.
CHOIR_API std::string render(const Comparison& comparison);

}  // namespace choir
