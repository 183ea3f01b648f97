// The body of POST /choir/v1/parallel: which jobs it asks for.
//
// {"jobs": [{"model": "a", "prompt": "..."}, ...]}, or {"models": ["a", "b"], "prompts": ["...",
// ...]}, where each model answers each prompt. Of the call itself are stream, text_every_ms, order
// and against. What else stands beside the jobs is for all of them; a job's own fields win. A job
// has the fields of /v1/chat/completions (messages, max_tokens, temperature, ...) and these:
//   prompt         a text, as the message of a user; excludes messages
//   system         a system message before it
//   raw            true: the prompt as it stands, without the chat template
//   deadline_ms    from the submission to the last token
//   default_template   false: without a chat template, the messages' texts one after the other
// Left out, max_tokens, temperature and seed are those of the model's configuration, or else those
// of `choir parallel`: 100, 0.7, and 1000 times the number of the job. A field that is not known is
// an error.
//
// Pure: any thread, does not block.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "choir/parallel_evaluation.h"
#include "serve/api_error.h"
#include "serve/asked.h"
#include "serve/json_in.h"

namespace choir::serve {

inline constexpr std::size_t kJobsMax = 256;
// Of all jobs together, with what each has of the fields for all.
inline constexpr std::size_t kJobsBytesMax = 64U << 20U;

struct ParallelJob {
  Asked asked;
  std::string prompt;              // to show: the prompt, or the last message
  std::string model_pointer = {};  // where the body names its model, or would
};

struct ParallelAsked {
  std::vector<ParallelJob> jobs;  // at least one
  bool stream = false;
  std::chrono::milliseconds text_every{0};  // of a stream: from one text of a job to the next
  ParallelEvaluation::Order order = ParallelEvaluation::Order::kTogether;
  std::optional<EvaluationReport> against;  // figures of the same jobs in the other order
};

// Errors of a job of `jobs` have its place in `pointer`: "/jobs/3/temperature".
ApiResult<ParallelAsked> read_parallel(const Json& body);

}  // namespace choir::serve
