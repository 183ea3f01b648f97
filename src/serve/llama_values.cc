#include "serve/llama_values.h"
#include "serve/model_state.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>

#include "base/utf8.h"

namespace choir::serve {
namespace {

// As the engine has it for a random one.
constexpr std::uint64_t kRandomSeed = std::numeric_limits<std::uint32_t>::max();

// What the messages of a model without a template go through.
constexpr std::string_view kChatMl =
    "{%- for message in messages -%}{{- '<|im_start|>' + message.role + '\\n' + message.content + "
    "'<|im_end|>\\n' -}}{%- endfor -%}{%- if add_generation_prompt -%}{{- "
    "'<|im_start|>assistant\\n' -}}{%- endif -%}";

Json piece_json(const std::string& bytes) {
  if (!first_invalid_utf8(bytes)) return bytes;
  Json numbers = Json::array();
  for (const char byte : bytes) numbers.push_back(static_cast<unsigned char>(byte));
  return numbers;
}

bool computes(const RequestInfo& request) {
  switch (request.phase) {
    case RequestPhase::kPrefill:
    case RequestPhase::kDecode:
    case RequestPhase::kReaderBehind:
    case RequestPhase::kEnding:
      return true;
    case RequestPhase::kSuspended:
      return request.prompt_tokens_done > 0;
    case RequestPhase::kLoading:
    case RequestPhase::kWaiting:
    case RequestPhase::kParked:
      return false;
  }
  return false;
}

}  // namespace

Json pieces_json(const std::vector<TokenId>& tokens, const std::vector<std::string>& texts) {
  Json rows = Json::array();
  for (std::size_t i = 0; i < tokens.size(); ++i)
    rows.push_back({{"id", tokens[i]}, {"piece", piece_json(texts.at(i))}});
  return rows;
}

Json props_json(const ExecutorInfo& executor, const Asked& defaults, const TextMarks& marks,
                std::string_view build) {
  const Sampling& sampling = defaults.request.sampling;
  const std::int32_t most =
      defaults.max_tokens_otherwise == std::numeric_limits<std::int32_t>::max()
          ? -1
          : defaults.max_tokens_otherwise;
  const bool templated = !executor.model.chat_template.empty();
  Json params = {{"seed", defaults.seed_given ? sampling.seed : kRandomSeed},
                 {"temperature", sampling.temperature},
                 {"top_k", sampling.top_k},
                 {"top_p", sampling.top_p},
                 {"min_p", sampling.min_p},
                 {"repeat_last_n", sampling.repeat_last_n},
                 {"repeat_penalty", sampling.repeat_penalty},
                 {"presence_penalty", sampling.presence_penalty},
                 {"frequency_penalty", sampling.frequency_penalty},
                 {"max_tokens", most},
                 {"n_predict", most},
                 {"ignore_eos", false},
                 {"stream", false}};
  return {{"default_generation_settings",
           {{"params", std::move(params)}, {"n_ctx", longest_sequence(executor.config)}}},
          {"total_slots", executor.config.sequences_max},
          {"model_alias", executor.config.name},
          {"model_ftype", executor.model.quantization},
          {"model_path", executor.config.path},
          {"modalities", {{"vision", false}, {"video", false}, {"audio", false}}},
          {"endpoint_slots", true},
          {"endpoint_props", false},
          {"endpoint_metrics", true},
          {"chat_template", !executor.loaded ? Json(nullptr)
                            : templated      ? Json(executor.model.chat_template)
                                             : Json(kChatMl)},
          {"bos_token", marks.begin},
          {"eos_token", marks.end},
          {"build_info", build},
          {"is_sleeping", !executor.loaded}};
}

namespace {

void add_slots(const ExecutorInfo& executor, const std::vector<RequestInfo>& requests,
               Json& slots) {
  const std::size_t most = slots.size() + static_cast<std::size_t>(executor.config.sequences_max);
  const auto add = [&](bool processing) -> Json& {
    slots.push_back({{"id", slots.size()},
                     {"n_ctx", longest_sequence(executor.config)},
                     {"speculative", false},
                     {"is_processing", processing}});
    return slots.back();
  };
  for (const RequestInfo& request : requests) {
    if (slots.size() == most) break;
    if (request.executor != executor.config.name || !computes(request)) continue;
    add(true).update(
        {{"id_task", request.id.value},
         {"n_prompt_tokens", request.prompt_tokens},
         {"n_prompt_tokens_processed", request.prompt_tokens_done},
         {"next_token", Json::array({{{"has_next_token", true},
                                      {"n_remain", request.max_tokens - request.output_tokens},
                                      {"n_decoded", request.output_tokens}}})}});
  }
  while (slots.size() < most) add(false);
}

}  // namespace

Json slots_json(const std::vector<ExecutorInfo>& executors,
                const std::vector<RequestInfo>& requests) {
  Json slots = Json::array();
  for (const ExecutorInfo& executor : executors) add_slots(executor, requests, slots);
  return slots;
}

}  // namespace choir::serve
