#include "json.h"

#include <nlohmann/json.hpp>

#include "facts_json.h"
#include "terminal.h"

namespace choir::app {
namespace {

std::string_view word_of(Advice::Level level) {
  switch (level) {
    case Advice::Level::kOk:
      return "ok";
    case Advice::Level::kNote:
      return "note";
    case Advice::Level::kProblem:
      return "problem";
  }
  return "";
}

Json json_of(const std::optional<Error>& error) {
  if (!error) return nullptr;
  Json json = {{"code", to_string(error->code)}, {"message", error->message}};
  if (!error->facts.empty()) json["facts"] = facts_json<Json>(error->facts);
  return json;
}

}  // namespace

double decode_rate(const Usage& usage) {
  const double seconds = usage.total_seconds - usage.first_token_seconds;
  return usage.output_tokens > 1 && seconds > 0 ? (usage.output_tokens - 1) / seconds : 0.0;
}

Json json_of(const ModelInfo& model) {
  return {{"path", model.path},
          {"name", model.name},
          {"architecture", model.architecture},
          {"quantization", model.quantization},
          {"license", model.license},
          {"file_bytes", model.file_bytes},
          {"weight_bytes", model.weight_bytes},
          {"parameters", model.parameters},
          {"layers", model.layers},
          {"embedding_size", model.embedding_size},
          {"heads", model.heads},
          {"kv_heads", model.kv_heads},
          {"vocab_tokens", model.vocab_tokens},
          {"context_tokens_trained", model.context_tokens_trained},
          {"sliding_window_tokens", model.sliding_window_tokens},
          {"kv_bytes_per_token", model.kv_bytes_per_token},
          {"kv_bytes_per_token_q8_0", model.kv_bytes_per_token_q8_0},
          {"chat_template", model.chat_template},
          {"generates", model.generates},
          {"not_run", model.not_run},
          {"not_covered", model.not_covered}};
}

Json json_of(const Machine& machine) {
  return {{"cpu", machine.cpu},
          {"cpus_allowed", machine.cpus_allowed},
          {"cores_present", machine.cores_present},
          {"cgroup_cores", machine.cgroup_cores},
          {"cores", machine.cores},
          {"memory_bytes", machine.memory_bytes},
          {"memory_available", machine.memory_available},
          {"cgroup_memory_limit", machine.cgroup_memory_limit},
          {"cgroup_memory_used", machine.cgroup_memory_used},
          {"cpu_features", machine.cpu_features}};
}

Json json_of(const Version& version) {
  return {{"choir", version.choir},
          {"engine", version.engine},
          {"compiler", version.compiler},
          {"engine_features", version.engine_features},
          {"kernels", version.kernels}};
}

Json json_of(const Advice& advice) {
  return {{"level", word_of(advice.level)}, {"what", advice.what}, {"remedy", advice.remedy}};
}

Json json_of(const Completion& completion) {
  const Usage& usage = completion.usage;
  return {{"text", completion.text},
          {"finish", to_string(completion.finish)},
          {"error", json_of(completion.error)},
          {"prompt_tokens", usage.prompt_tokens},
          {"output_tokens", usage.output_tokens},
          {"queue_seconds", usage.queue_seconds},
          {"first_token_seconds", usage.first_token_seconds},
          {"total_seconds", usage.total_seconds},
          {"tokens_per_second", decode_rate(usage)}};
}

Json json_of(const EvaluationReport& report) { return Json::parse(json_text(report)); }

Json json_of(const Comparison& comparison) { return Json::parse(json_text(comparison)); }

Json json_of(const TokenPiece& piece) {
  Json text = piece.piece;
  try {
    static_cast<void>(text.dump());  // strict: refuses what is not UTF-8
  } catch (const Json::type_error&) {
    text = Json::array();
    for (const char c : piece.piece) text.push_back(static_cast<unsigned char>(c));
  }
  return {{"id", piece.token}, {"piece", std::move(text)}};
}

void print_json(const Json& value) {
  print(value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace choir::app
