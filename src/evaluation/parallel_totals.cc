// The rows and totals of a parallel evaluation, its comparison, and both as JSON. All pure.
#include <nlohmann/json.hpp>
#include <utility>

#include "choir/parallel_evaluation.h"

namespace choir {
namespace {

using OrderedJson = nlohmann::ordered_json;  // members in the order in which they are written

OrderedJson json_of(const std::optional<Error>& error) {
  if (!error) return nullptr;
  OrderedJson json = {{"code", to_string(error->code)}, {"message", error->message}};
  for (const Fact& fact : error->facts) json["facts"][fact.name] = fact.value;
  return json;
}

OrderedJson json_of(const EvaluationResult& session) {
  return {{"session_id", session.session_id},
          {"model", session.model},
          {"prompt", session.prompt},
          {"text", session.text},
          {"prompt_tokens", session.prompt_tokens},
          {"tokens", session.tokens},
          {"seconds", session.seconds},
          {"first_token_seconds", session.first_token_seconds},
          {"tokens_per_second", session.tokens_per_second},
          {"finish", to_string(session.finish)},
          {"error", json_of(session.error)}};
}

OrderedJson json_of(const EvaluationReport& report) {
  OrderedJson sessions = OrderedJson::array();
  for (const EvaluationResult& session : report.results) sessions.push_back(json_of(session));
  return {{"load_seconds", report.load_seconds},
          {"total_seconds", report.total_seconds},
          {"total_tokens", report.total_tokens},
          {"average_tokens_per_second", report.average_tokens_per_second},
          {"throughput", report.throughput},
          {"sessions", std::move(sessions)}};
}

std::string text_of(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

double throughput_of(std::int32_t tokens, double seconds) {
  return seconds > 0 ? tokens / seconds : 0;
}

}  // namespace

EvaluationResult result_of(const Completion& completion) {
  const Usage& usage = completion.usage;
  EvaluationResult r;
  r.model = completion.executor;
  r.text = completion.text;
  r.prompt_tokens = usage.prompt_tokens;
  r.tokens = usage.output_tokens;
  r.seconds = usage.total_seconds - usage.queue_seconds;
  r.first_token_seconds = usage.first_token_seconds;
  r.tokens_per_second = r.seconds > 0 ? r.tokens / r.seconds : 0;
  r.finish = completion.finish;
  r.error = completion.error;
  return r;
}

EvaluationReport report_of(std::vector<EvaluationResult> results, double load_seconds,
                           double total_seconds) {
  EvaluationReport report;
  report.results = std::move(results);
  report.load_seconds = load_seconds;
  report.total_seconds = total_seconds;
  std::int32_t generated = 0;
  for (const EvaluationResult& row : report.results) {
    report.total_tokens += row.tokens;
    if (row.tokens == 0) continue;
    report.average_tokens_per_second += row.tokens_per_second;
    ++generated;
  }
  if (generated > 0) report.average_tokens_per_second /= generated;
  report.throughput = throughput_of(report.total_tokens, total_seconds);
  return report;
}

EvaluationReport report_of(std::int32_t total_tokens, double total_seconds) {
  EvaluationReport report;
  report.total_tokens = total_tokens;
  report.total_seconds = total_seconds;
  report.throughput = throughput_of(total_tokens, total_seconds);
  return report;
}

Comparison compare(EvaluationReport together, EvaluationReport one_at_a_time) {
  const double alone = one_at_a_time.throughput;
  const double speedup = alone > 0 ? together.throughput / alone : 0;
  return {std::move(together), std::move(one_at_a_time), speedup};
}

std::string json_text(const EvaluationReport& report) { return text_of(json_of(report)); }

std::string json_text(const Comparison& comparison) {
  OrderedJson json = json_of(comparison.together);
  json["one_at_a_time"] = json_of(comparison.one_at_a_time);
  json["speedup"] = comparison.speedup;
  return text_of(json);
}

}  // namespace choir
