#include "serve/llama_out.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "serve/field_values.h"

namespace choir::serve {
namespace {

Json bias_json(const std::vector<LogitBias>& biases) {
  Json rows = Json::array();
  for (const LogitBias& one : biases) rows.push_back({{"token", one.token}, {"bias", one.bias}});
  return rows;
}

// What the request was computed with. Samplers that Choir does not have are there at their off
// values.
Json settings_json(const Request& request, const AnswerInfo& answer) {
  const Sampling& s = request.sampling;
  const std::int32_t most =
      request.max_tokens == std::numeric_limits<std::int32_t>::max() ? -1 : request.max_tokens;
  return {{"seed", s.seed},
          {"temperature", s.temperature},
          {"top_k", s.top_k},
          {"top_p", s.top_p},
          {"min_p", s.min_p},
          {"repeat_last_n", s.repeat_last_n},
          {"repeat_penalty", s.repeat_penalty},
          {"presence_penalty", s.presence_penalty},
          {"frequency_penalty", s.frequency_penalty},
          {"logit_bias", bias_json(s.bias)},
          {"dynatemp_range", 0},
          {"top_n_sigma", -1},
          {"xtc_probability", 0},
          {"typical_p", 1},
          {"dry_multiplier", 0},
          {"mirostat", 0},
          {"adaptive_target", -1},
          {"adaptive_decay", 0},
          {"samplers", own_samplers()},
          {"stop", request.stop},
          {"max_tokens", most},
          {"n_predict", most},
          {"n_keep", 0},
          {"n_discard", 0},
          {"n_probs", 0},
          {"min_keep", 0},
          {"ignore_eos", request.ignore_eos},
          {"stream", answer.stream},
          {"grammar", ""},
          {"timings_per_token", false},
          {"post_sampling_probs", false},
          {"lora", Json::array()}};
}

// The fields that were asked for. "a/b" is the member b of a, and its name stays "a/b".
Json only(const Json& whole, const std::vector<std::string>& fields) {
  if (fields.empty()) return whole;
  Json out = Json::object();
  for (const std::string& field : fields) {
    const Json* value = &whole;
    for (std::size_t at = 0; value != nullptr && at <= field.size();) {
      const std::size_t end = std::min(field.find('/', at), field.size());
      const auto found = value->find(field.substr(at, end - at));
      value = value->is_object() && found != value->end() ? &*found : nullptr;
      at = end + 1;
    }
    if (value != nullptr) out[field] = *value;
  }
  return out;
}

Json llama_error(const ApiError& error) {
  Json inside = {{"code", error.status}, {"message", error.message}, {"type", error.type}};
  if (!error.param.empty()) inside["param"] = error.param;
  if (!error.pointer.empty()) inside["pointer"] = error.pointer;
  add_facts(inside, error);
  return {{"error", std::move(inside)}};
}

class LlamaWriter final : public Writer {
 public:
  explicit LlamaWriter(AnswerInfo answer)
      : answer_(std::move(answer)), tokens_(answer_.prompts * answer_.choices) {}

  // One object, or a list where there are several choices.
  std::string whole(std::span<const ChoiceEnd> ends) override {
    Json all = Json::array();
    for (const ChoiceEnd& end : ends) {
      Json json = end_json(all.size(), end);
      json["content"] = end.completion.text;
      if (answer_.return_tokens) json["tokens"] = end.completion.tokens;
      all.push_back(only(json, answer_.response_fields));
    }
    return to_text(all.size() == 1 ? all[0] : all);
  }

  std::string begin() override { return {}; }

  std::string text(std::size_t choice, const StreamPiece& piece) override {
    if (piece.text.empty() && piece.tokens.empty()) return {};
    tokens_[choice] += piece.tokens.size();
    Json json = {{"index", choice}, {"content", piece.text}, {"tokens", piece.tokens},
                 {"stop", false},   {"id_slot", kNoSlot},    {"tokens_predicted", tokens_[choice]}};
    if (const std::int32_t prompt = answer_.prompt_tokens[choice / answer_.choices]; prompt > 0)
      json["tokens_evaluated"] = prompt;
    return event_of(json);
  }

  std::string end(std::size_t choice, const ChoiceEnd& end) override {
    return event_of(only(end_json(choice, end), answer_.response_fields));
  }

  std::string finish(std::span<const ChoiceEnd> /*ends*/) override { return {}; }
  std::string error(const ApiError& error) override { return event_of(llama_error(error)); }

 private:
  static constexpr int kNoSlot = -1;  // requests are not bound to slots

  // Without the text and its tokens, which a stream has sent before.
  Json end_json(std::size_t choice, const ChoiceEnd& end) const {
    const Completion& completion = end.completion;
    const Usage& usage = completion.usage;
    const Request& request = answer_.requests[choice / answer_.choices];
    const bool full =
        completion.finish == Finish::kLength && usage.output_tokens < request.max_tokens;
    return {{"index", choice},
            {"content", ""},
            {"tokens", Json::array()},
            {"id_slot", kNoSlot},
            {"stop", true},
            {"model", answer_.model},
            {"tokens_predicted", usage.output_tokens},
            {"tokens_evaluated", usage.prompt_tokens},
            {"generation_settings", settings_json(request, answer_)},
            {"prompt", request.tokens.empty() ? Json(request.text) : Json(request.tokens)},
            {"has_new_line", completion.text.find('\n') != std::string::npos},
            {"truncated", full},
            {"stop_type", completion.finish == Finish::kLength ? "limit"
                          : end.stop.empty()                   ? "eos"
                                                               : "word"},
            {"stopping_word", end.stop},
            {"tokens_cached", usage.reused_tokens},
            {"timings", timings_json(usage)}};
  }

  const AnswerInfo answer_;
  std::vector<std::size_t> tokens_;  // of each choice, so far
};

std::unique_ptr<Writer> writer_of(AnswerInfo answer) {
  return std::make_unique<LlamaWriter>(std::move(answer));
}

}  // namespace

const Dialect& llama_completion() {
  static constexpr Dialect kDialect{.route = kLlamaCompletion,
                                    .id_prefix = {},
                                    .writer = writer_of,
                                    .error = llama_error,
                                    .detailed = true};
  return kDialect;
}

}  // namespace choir::serve
