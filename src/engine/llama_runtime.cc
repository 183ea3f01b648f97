#include "engine/llama_runtime.h"

#include <llama.h>
#include <log.h>  // of llama-common

#include <string_view>

#include "base/log.h"
#include "kernels/takeover.h"

namespace choir {
namespace {

thread_local std::string complaint;
thread_local LogLevel last_level = LogLevel::kDebug;

LogLevel from_ggml(ggml_log_level level) {
  switch (level) {
    case GGML_LOG_LEVEL_ERROR:
      return LogLevel::kError;
    case GGML_LOG_LEVEL_WARN:
      return LogLevel::kWarn;
    case GGML_LOG_LEVEL_CONT:
      return last_level;
    default:
      return LogLevel::kDebug;
  }
}

// "llama_model_load: error loading model: x\n" -> "error loading model: x".
std::string without_function(std::string_view line) {
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.remove_suffix(1);
  const std::size_t colon = line.find(": ");
  if (colon != std::string_view::npos && line.substr(0, colon).find(' ') == std::string_view::npos)
    line.remove_prefix(colon + 2);
  return std::string(line);
}

// What the engine calls an error is often part of an answer that we give as a value, so on our
// log it is a line of level debug.
void on_log(ggml_log_level level, const char* text, void*) {
  const LogLevel ours = from_ggml(level);
  last_level = ours;
  // The first error says why; the ones after it say that callers failed too.
  if (ours == LogLevel::kError && complaint.empty()) complaint = without_function(text);
  if (log_enabled(LogLevel::kDebug)) log(LogLevel::kDebug, text);
}

}  // namespace

void start_llama() {
  static const bool started = [] {
    llama_log_set(on_log, nullptr);
    common_log_set_verbosity_thold(-1);  // it would write to stderr on a thread of its own
    llama_backend_init();
    kernels::take_over();
    return true;
  }();
  (void)started;
}

std::string engine_complaint() { return complaint; }
void clear_engine_complaint() { complaint.clear(); }

}  // namespace choir
