// The report of a parallel evaluation for a terminal, its comparison, and the checks of its config.
// Both pure.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>
#include <string_view>
#include <system_error>

#include "choir/parallel_evaluation.h"
#include "choir/text.h"

namespace choir {
namespace {

constexpr std::size_t kShownCharacters = 60;     // of prompt and text: a line fits 80 columns
constexpr std::int32_t kSessionsMax = 256;       // sequences one executor can hold
constexpr std::int32_t kMaxTokensMax = 1 << 20;  // no model offers a longer context
constexpr std::size_t kModelsMax = 256;
constexpr std::string_view kRuler = "============================================================";

std::string fixed2(double value) {
  std::array<char, 64> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::fixed, 2);
  if (end.ec != std::errc()) return "?";  // wider than the buffer: not a speed or a time
  return {buffer.data(), end.ptr};
}

std::string shown(std::string_view text) {
  const auto begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return "(nothing)";
  return printable_line(text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1),
                        kShownCharacters);
}

std::string count_of(std::size_t n, std::string_view noun) {
  return std::to_string(n) + " " + std::string(noun) + (n == 1 ? "" : "s");
}

std::string session_block(const EvaluationResult& session, bool several_models) {
  std::string out = "🎯 Session " + std::to_string(session.session_id) + ":\n";
  const auto line = [&](std::string_view label, const std::string& value) {
    out.append("   ").append(label).append(value).append("\n");
  };
  if (several_models) line("📋 Model: ", printable_line(session.model, kShownCharacters));
  line("📝 Prompt: ", shown(session.prompt));
  if (session.tokens > 0) {
    line("📊 Performance: ", fixed2(session.tokens_per_second) + " tokens/sec");
    line("🔢 Tokens: ", std::to_string(session.tokens));
    line("⏱️  Duration: ", fixed2(session.seconds) + "s");
    line("💬 Generated: ", shown(session.text));
  }
  if (session.error) {
    const bool failed =
        session.finish == Finish::kFailed && session.error->code != Code::kCancelled;
    const auto label = failed ? "❌ Failed: " : "⛔ Stopped early: ";
    line(label, printable_line(session.error->message, 4 * kShownCharacters));
  }
  return out;
}

std::string totals(const EvaluationReport& report) {
  std::size_t generated = 0;
  for (const EvaluationResult& session : report.results) generated += session.tokens > 0 ? 1 : 0;
  const std::string across =
      generated == report.results.size()
          ? count_of(generated, "session")
          : std::to_string(generated) + " of " + count_of(report.results.size(), "session");
  return "📈 Average performance: " + fixed2(report.average_tokens_per_second) +
         " tokens/sec across " + across + "\n" + "⚡ Throughput: " + fixed2(report.throughput) +
         " tokens/sec over all sessions, " +
         count_of(static_cast<std::size_t>(report.total_tokens), "token") + "\n" +
         "⏱️  Total time: " + fixed2(report.total_seconds) + "s (models loaded in " +
         fixed2(report.load_seconds) + "s before)\n";
}

std::string isolation(const ParallelConfig& config) {
  const std::int32_t cores = config.node.cores;
  return "🔒 Isolation maintained through:\n"
         "   • Weights resident before the first token\n"
         "   • Own KV cache and own seed per session\n"
         "   • One CPU budget over " +
         (cores > 0 ? count_of(static_cast<std::size_t>(cores), "core") : "all allowed cores") +
         (config.models.size() > 1 ? ", shared by " + count_of(config.models.size(), "model")
                                   : "") +
         "\n";
}

// Rows of as many cells; the first column stands to the left, the others to the right.
std::string aligned(const std::array<std::array<std::string, 4>, 2>& rows) {
  std::string out;
  for (const auto& row : rows) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      const std::size_t width = std::max(rows[0][column].size(), rows[1][column].size());
      const std::string pad(width - row[column].size(), ' ');
      out.append(column == 0 ? row[column] + pad : "  " + pad + row[column]);
    }
    out.append("\n");
  }
  return out;
}

std::array<std::string, 4> compared(const std::string& label, const EvaluationReport& report) {
  return {"   " + label, fixed2(report.throughput) + " tokens/sec",
          std::to_string(report.total_tokens) + " tokens", fixed2(report.total_seconds) + "s"};
}

auto refused(const std::string& message) { return fail(Code::kInvalidArgument, message); }

Status in_range(std::string_view name, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value >= low && value <= high) return {};
  return refused(std::string(name) + " is " + std::to_string(value) + ", it takes " +
                 std::to_string(low) + " to " + std::to_string(high));
}

Status validate_models(const std::vector<ParallelModel>& models) {
  if (models.empty()) return refused("there is no model; name at least one");
  CHOIR_CHECK_OK(
      in_range("the number of models", static_cast<std::int64_t>(models.size()), 1, kModelsMax));
  for (std::size_t i = 0; i < models.size(); ++i) {
    const std::string where = "models[" + std::to_string(i) + "]";
    if (models[i].path.empty()) return refused(where + " has no path; name a GGUF file");
    if (!std::isfinite(models[i].shares) || models[i].shares <= 0)
      return refused(where + " has " + fixed2(models[i].shares) + " shares, it takes more than 0");
  }
  return {};
}

// The bounds of every request: bytes, UTF-8.
Status validate_text(const std::string& where, const std::string& text) {
  Request request;
  request.text = text;
  if (Status status = validate(request); !status)
    return tl::unexpected(std::move(status).error().in(where));
  return {};
}

Status validate_prompts(const std::vector<std::string>& prompts) {
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const std::string where = "prompts[" + std::to_string(i) + "]";
    if (prompts[i].empty()) return refused(where + " is empty; write a prompt or leave it out");
    CHOIR_CHECK_OK(validate_text(where, prompts[i]));
  }
  return {};
}

}  // namespace

Status validate(const ParallelConfig& config) {
  CHOIR_CHECK_OK(validate_models(config.models));
  CHOIR_CHECK_OK(in_range("sessions", config.sessions, 1, kSessionsMax));
  CHOIR_CHECK_OK(in_range("max_tokens", config.max_tokens, 1, kMaxTokensMax));
  Sampling sampling;
  sampling.temperature = config.temperature;
  CHOIR_CHECK_OK(validate(sampling));
  CHOIR_CHECK_OK(validate_prompts(config.prompts));
  if (!config.system.empty()) CHOIR_CHECK_OK(validate_text("system", config.system));
  return validate(config.node);
}

std::string render(const EvaluationReport& report, const ParallelConfig& config) {
  std::string out = std::string(kRuler) + "\n📊 PARALLEL EVALUATION RESULTS\n";
  out += std::string(kRuler) + "\n";
  for (const EvaluationResult& session : report.results)
    out += session_block(session, config.models.size() > 1) + "\n";
  return out + totals(report) + "\n" + isolation(config);
}

std::string render(const Comparison& comparison) {
  return "\n⚖️  The same work, together and one request at a time:\n" +
         aligned({compared("Together:", comparison.together),
                  compared("One at a time:", comparison.one_at_a_time)}) +
         "   Speedup: " + fixed2(comparison.speedup) + "x\n";
}

}  // namespace choir
