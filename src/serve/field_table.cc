// The rows of serve/fields.h.
#include <algorithm>
#include <array>
#include <cstdint>

#include "serve/field_values.h"
#include "serve/fields.h"

namespace choir::serve {
namespace {

constexpr double kInt32 = 2147483647;
constexpr double kNameBytes = 256;

template <auto kMember>
std::optional<ApiError> set_sampling(Asked& asked, const Json& value) {
  value.get_to(asked.request.sampling.*kMember);
  return std::nullopt;
}

// -1 stands for "no limit" in llama.cpp, and clients send it.
std::optional<ApiError> read_max_tokens(std::string_view field, Asked& asked, const Json& value) {
  if (value == 0) return field_error(field, "is 0; it takes a whole number from 1");
  asked.max_tokens_given = value > 0;
  if (asked.max_tokens_given) value.get_to(asked.request.max_tokens);
  return std::nullopt;
}

std::optional<ApiError> set_max_tokens(Asked& asked, const Json& value) {
  return read_max_tokens("max_tokens", asked, value);
}
std::optional<ApiError> set_n_predict(Asked& asked, const Json& value) {
  return read_max_tokens("n_predict", asked, value);
}

// llama.cpp's number for "another one each time", which clients send back as they got it.
constexpr std::int64_t kLlamaNoSeed = 4294967295;
std::optional<ApiError> set_seed(Asked& asked, const Json& value) {
  asked.seed_given = value >= 0 && value != kLlamaNoSeed;
  if (asked.seed_given) value.get_to(asked.request.sampling.seed);
  return std::nullopt;
}

// Two of the values that others have for "off" and "the likeliest token".
std::optional<ApiError> set_top_k(Asked& asked, const Json& value) {
  asked.request.sampling.top_k = std::max(value.get<std::int32_t>(), 0);
  return std::nullopt;
}
std::optional<ApiError> set_top_p(Asked& asked, const Json& value) {
  constexpr float kLeast = 1e-6F;
  asked.request.sampling.top_p = std::max(value.get<float>(), kLeast);
  return std::nullopt;
}

template <auto kMember>
std::optional<ApiError> set_member(Asked& asked, const Json& value) {
  value.get_to(asked.*kMember);
  return std::nullopt;
}
std::optional<ApiError> set_ignore_eos(Asked& asked, const Json& value) {
  value.get_to(asked.request.ignore_eos);
  return std::nullopt;
}

// clang-format off
constexpr auto kFields = std::to_array<Field>({
    // ---- acts
    {"model", "", kAllRoutes, Effect::kActs, Kind::kText, 0, kNameBytes, "Name of the model; may be left out where only one is served", set_member<&Asked::model>},
    {"messages", "", kChat, Effect::kActs, Kind::kList, 0, 0, "The conversation: roles system, developer, user and assistant; text, or parts of text", set_messages, "", "Messages"},
    {"prompt", "", kCompletion, Effect::kActs, Kind::kAny, 0, 0, "The text to continue, or its tokens", set_prompt, "", "Prompt"},
    {"prompt", "", kLlamaCompletion, Effect::kActs, Kind::kAny, 0, 0, "The text to continue, or its tokens", set_llama_prompt, "", "LlamaPrompt"},
    {"input", "", kEmbeddings, Effect::kActs, Kind::kAny, 0, 0, "A text, a list of texts, or lists of tokens", set_input, "", "Input"},
    {"encoding_format", "", kEmbeddings, Effect::kActs, Kind::kText, 0, 16, "float or base64", set_encoding_format, "", "EncodingFormat"},
    {"dimensions", "", kEmbeddings, Effect::kActs, Kind::kInteger, 1, kInt32, "Must be the size of the model's vectors", set_member<&Asked::dimensions>},
    {"stream", "", kGenerating, Effect::kActs, Kind::kBoolean, 0, 0, "Send the text as it comes, as server-sent events", set_member<&Asked::stream>},
    {"stream_options", "", kChat | kCompletion, Effect::kActs, Kind::kObject, 0, 0, "include_usage: a last event with the counts", set_stream_options, "", "StreamOptions"},
    {"max_tokens", "max_completion_tokens", kGenerating, Effect::kActs, Kind::kInteger, -1, kInt32, "Most tokens to generate; left out or -1: to the end of the context", set_max_tokens, "", "MaxTokens"},
    {"n_predict", "", kGenerating, Effect::kActs, Kind::kInteger, -1, kInt32, "llama.cpp's name of max_tokens", set_n_predict, "", "MaxTokens"},
    {"n", "n_cmpl", kGenerating, Effect::kActs, Kind::kInteger, 1, kChoicesMax, "Answers to each prompt; each draws other tokens", set_member<&Asked::choices>},
    {"best_of", "", kChat | kCompletion, Effect::kActs, Kind::kInteger, 1, kChoicesMax, "As many as n asks for: all answers that are computed are given", set_best_of},
    {"temperature", "", kGenerating, Effect::kActs, Kind::kNumber, 0, 10, "0 takes the likeliest token, more is freer", set_sampling<&Sampling::temperature>},
    {"top_p", "", kGenerating, Effect::kActs, Kind::kNumber, 0, 1, "Draw from the likeliest tokens that add up to this; 0 takes the likeliest one, 1 is off", set_top_p},
    {"top_k", "", kGenerating, Effect::kActs, Kind::kInteger, -1, kInt32, "Draw from so many likeliest tokens; 0 and -1 are off", set_top_k},
    {"min_p", "", kGenerating, Effect::kActs, Kind::kNumber, 0, 1, "Only tokens that are so many times as likely as the best; 0 is off", set_sampling<&Sampling::min_p>},
    {"repeat_penalty", "repetition_penalty", kGenerating, Effect::kActs, Kind::kNumber, 1e-6, 10, "Above 1 avoids repetition", set_sampling<&Sampling::repeat_penalty>},
    {"repeat_last_n", "", kGenerating, Effect::kActs, Kind::kInteger, 0, 4096, "Tokens that the penalties look back at", set_sampling<&Sampling::repeat_last_n>},
    {"presence_penalty", "", kGenerating, Effect::kActs, Kind::kNumber, -2, 2, "Above 0 avoids tokens that were there", set_sampling<&Sampling::presence_penalty>},
    {"frequency_penalty", "", kGenerating, Effect::kActs, Kind::kNumber, -2, 2, "Above 0 avoids tokens, the more often they were there", set_sampling<&Sampling::frequency_penalty>},
    {"logit_bias", "", kGenerating, Effect::kActs, Kind::kAny, 0, 0, "Added to the logits of tokens: {\"token\": bias}, bias from -100 to 100", set_logit_bias, "", "LogitBias"},
    {"seed", "", kGenerating, Effect::kActs, Kind::kInteger, -1, 9007199254740992, "The same seed gives the same answer; left out, -1 or 4294967295 (llama.cpp's default): another one each time", set_seed},
    {"stop", "", kGenerating, Effect::kActs, Kind::kAny, 0, 0, "Stop before this text, or one of at most 16 texts", set_stop, "", "Stop"},
    {"ignore_eos", "", kGenerating, Effect::kActs, Kind::kBoolean, 0, 0, "Go on to max_tokens", set_ignore_eos},
    {"return_tokens", "", kLlamaCompletion, Effect::kActs, Kind::kBoolean, 0, 0, "Give the tokens of the answer, too; a stream always does", set_member<&Asked::return_tokens>},
    {"response_fields", "", kLlamaCompletion, Effect::kActs, Kind::kTexts, 0, 0, "Only these fields of the answer; a/b is the field b of a", set_response_fields},
    {"priority", "", kAllRoutes, Effect::kActs, Kind::kText, 0, 16, "critical, high, normal or low", set_priority, "", "PriorityName"},
    {"service_tier", "", kAllRoutes, Effect::kActs, Kind::kText, 0, 32, "flex is the class low, priority and fast are the class high", set_service_tier},
    {"cache_salt", "", kGenerating, Effect::kActs, Kind::kText, 0, 100, "KV state is reused only between requests of the same salt", set_member<&Asked::cache_salt>},
    {"prompt_cache_key", "", kGenerating, Effect::kActs, Kind::kText, 0, 100, "The same under OpenAI's name", set_member<&Asked::prompt_cache_key>},
    {"keep_alive", "", kAllRoutes, Effect::kActs, Kind::kAny, 0, 0, "How long the model stays in memory for this tenant after the request: seconds, or a text such as 10m; below 0 for ever, 0 not at all", set_keep_alive, "", "KeepAlive"},
    {"strict_fields", "", kAllRoutes, Effect::kActs, Kind::kBoolean, 0, 0, "An unknown field is an error", set_member<&Asked::strict_fields>},
    // ---- accepted without effect
    {"user", "", kAllRoutes, Effect::kNone, Kind::kAny, 0, 0, "The end user, for the client's own records"},
    {"metadata", "", kAllRoutes, Effect::kNone, Kind::kAny, 0, 0, "For the client's own records"},
    {"safety_identifier", "", kAllRoutes, Effect::kNone, Kind::kAny, 0, 0, "For the client's own records"},
    {"verbosity", "", kChat, Effect::kNone, Kind::kAny, 0, 0, "A hint for models of another maker"},
    {"prompt_cache_retention", "", kGenerating, Effect::kNone, Kind::kAny, 0, 0, "KV state is kept while there is room"},
    {"prompt_cache_options", "", kGenerating, Effect::kNone, Kind::kAny, 0, 0, "KV state is kept while there is room"},
    {"cache_prompt", "", kGenerating, Effect::kNone, Kind::kAny, 0, 0, "Prompts are always reused"},
    {"stream_options", "", kLlamaCompletion, Effect::kNone, Kind::kAny, 0, 0, "The last event always has the counts"},
    {"sse_ping_interval", "", kLlamaCompletion, Effect::kNone, Kind::kAny, 0, 0, "A silent stream has a comment every 15 s"},
    {"n_cache_reuse", "", kLlamaCompletion, Effect::kNone, Kind::kAny, 0, 0, "KV state is reused where it is the same"},
    {"dynatemp_exponent", "", kLlamaCompletion, Effect::kNone, Kind::kAny, 0, 0, "Of a sampler that is off"},
    {"xtc_threshold", "", kLlamaCompletion, Effect::kNone, Kind::kAny, 0, 0, "Of a sampler that is off"},
    {"dry_base", "", kLlamaCompletion, Effect::kNone, Kind::kAny, 0, 0, "Of a sampler that is off"},
    {"dry_allowed_length", "", kLlamaCompletion, Effect::kNone, Kind::kAny, 0, 0, "Of a sampler that is off"},
    {"dry_penalty_last_n", "", kLlamaCompletion, Effect::kNone, Kind::kAny, 0, 0, "Of a sampler that is off"},
    {"dry_sequence_breakers", "", kLlamaCompletion, Effect::kNone, Kind::kAny, 0, 0, "Of a sampler that is off"},
    {"mirostat_tau", "", kLlamaCompletion, Effect::kNone, Kind::kAny, 0, 0, "Of a sampler that is off"},
    {"mirostat_eta", "", kLlamaCompletion, Effect::kNone, Kind::kAny, 0, 0, "Of a sampler that is off"},
    {"adaptive_decay", "", kLlamaCompletion, Effect::kNone, Kind::kAny, 0, 0, "Of a sampler that is off"},
    {"parallel_tool_calls", "", kChat, Effect::kNone, Kind::kAny, 0, 0, "There are no tools to call"},
    {"moderation", "", kChat, Effect::kNone, Kind::kAny, 0, 0, "Nothing is moderated"},
    // ---- refused unless off
    {"store", "", kChat, Effect::kRefused, Kind::kAny, 0, 0, "answers are not stored; false is accepted", nullptr, "[false]"},
    {"logprobs", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "probabilities are not given yet; false is accepted", nullptr, "[false]"},
    {"top_logprobs", "n_probs", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "probabilities are not given yet; 0 is accepted", nullptr, "[0]"},
    {"response_format", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "only {\"type\": \"text\"} is possible yet", nullptr, R"([{"type": "text"}])"},
    {"grammar", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "grammars are not understood yet", nullptr, R"([""])"},
    {"json_schema", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "schemas are not understood yet", nullptr, "[{}]"},
    {"guided_json", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "schemas are not understood yet", nullptr},
    {"guided_regex", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "grammars are not understood yet", nullptr, R"([""])"},
    {"guided_choice", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "grammars are not understood yet", nullptr, "[[]]"},
    {"guided_grammar", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "grammars are not understood yet", nullptr, R"([""])"},
    {"structured_outputs", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "schemas and grammars are not understood yet", nullptr, "[{}]"},
    {"stop_token_ids", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "an answer stops at texts (stop), not at tokens; an empty list is accepted", nullptr, "[[]]"},
    {"min_tokens", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "an answer has no least length; 0 is accepted", nullptr, "[0]"},
    {"use_beam_search", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "there is no beam search; false is accepted", nullptr, "[false]"},
    {"length_penalty", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "there is no beam search; 1 is accepted", nullptr, "[1]"},
    {"include_stop_str_in_output", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "an answer ends before its stop text; false is accepted", nullptr, "[false]"},
    {"skip_special_tokens", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "control tokens are no text; true is accepted", nullptr, "[true]"},
    {"chat_template", "", kChat, Effect::kRefused, Kind::kAny, 0, 0, "a chat has the model's own template", nullptr, R"([""])"},
    {"prompt_logprobs", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "probabilities are not given yet; 0 and false are accepted", nullptr, "[0, false]"},
    {"image_data", "", kLlamaCompletion, Effect::kRefused, Kind::kAny, 0, 0, "there are no images; an empty list is accepted", nullptr, "[[]]"},
    {"tools", "", kChat, Effect::kRefused, Kind::kAny, 0, 0, "tools are not understood yet; an empty list is accepted", nullptr, "[[]]"},
    {"tool_choice", "", kChat, Effect::kRefused, Kind::kAny, 0, 0, "there are no tools; none and auto are accepted", nullptr, R"(["none", "auto"])"},
    {"functions", "", kChat, Effect::kRefused, Kind::kAny, 0, 0, "tools are not understood yet; an empty list is accepted", nullptr, "[[]]"},
    {"function_call", "", kChat, Effect::kRefused, Kind::kAny, 0, 0, "there are no tools; none and auto are accepted", nullptr, R"(["none", "auto"])"},
    {"modalities", "", kChat, Effect::kRefused, Kind::kAny, 0, 0, "answers are text; [\"text\"] is accepted", nullptr, R"([["text"]])"},
    {"audio", "", kChat, Effect::kRefused, Kind::kAny, 0, 0, "answers are text", nullptr, "[{}]"},
    {"continue_final_message", "", kChat, Effect::kRefused, Kind::kAny, 0, 0, "an answer is not continued yet; false is accepted", nullptr, "[false]"},
    {"add_generation_prompt", "", kChat, Effect::kRefused, Kind::kAny, 0, 0, "a chat ends with the beginning of an answer; true is accepted", nullptr, "[true]"},
    {"prediction", "", kChat, Effect::kRefused, Kind::kAny, 0, 0, "predictions are not used", nullptr, "[{}]"},
    {"reasoning_effort", "", kChat, Effect::kRefused, Kind::kAny, 0, 0, "reasoning is not steered yet; none is accepted", nullptr, R"(["none"])"},
    {"web_search_options", "", kChat, Effect::kRefused, Kind::kAny, 0, 0, "there is no web search", nullptr},
    {"suffix", "", kChat | kCompletion, Effect::kRefused, Kind::kAny, 0, 0, "text is only continued at its end", nullptr, R"([""])"},
    {"echo", "", kCompletion | kLlamaCompletion, Effect::kRefused, Kind::kAny, 0, 0, "the prompt is not repeated; false is accepted", nullptr, "[false]"},
    {"typical_p", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "this sampler is not there; 1 is accepted", nullptr, "[1]"},
    {"tfs_z", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "this sampler is not there; 1 is accepted", nullptr, "[1]"},
    {"mirostat", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "this sampler is not there; 0 is accepted", nullptr, "[0]"},
    {"xtc_probability", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "this sampler is not there; 0 is accepted", nullptr, "[0]"},
    {"dry_multiplier", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "this sampler is not there; 0 is accepted", nullptr, "[0]"},
    {"top_n_sigma", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "this sampler is not there; 0 and -1 are accepted", nullptr, "[0, -1]"},
    {"adaptive_target", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "this sampler is not there; -1 is accepted", nullptr, "[-1]"},
    {"samplers", "", kLlamaCompletion, Effect::kRefused, Kind::kAny, 0, 0, "the samplers have one order: penalties, temperature, top_k, top_p, min_p; a list of these is accepted", nullptr, R"([["penalties", "temperature", "top_k", "top_p", "min_p"]])"},
    {"min_keep", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "samplers keep one token at least; 0 is accepted", nullptr, "[0]"},
    {"backend_sampling", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "there is one kind of sampling; false is accepted", nullptr, "[false]"},
    {"post_sampling_probs", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "probabilities are not given yet; false is accepted", nullptr, "[false]"},
    {"lora", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "adapters are not there yet; an empty list is accepted", nullptr, "[[]]"},
    {"timings_per_token", "", kLlamaCompletion, Effect::kRefused, Kind::kAny, 0, 0, "timings come with the end; false is accepted", nullptr, "[false]"},
    {"return_progress", "", kLlamaCompletion, Effect::kRefused, Kind::kAny, 0, 0, "the progress of a prompt is not told yet; false is accepted", nullptr, "[false]"},
    {"id_slot", "", kLlamaCompletion, Effect::kRefused, Kind::kAny, 0, 0, "requests are not bound to slots; -1 is accepted", nullptr, "[-1]"},
    {"n_keep", "", kLlamaCompletion, Effect::kRefused, Kind::kAny, 0, 0, "a context that is full ends the answer; 0 is accepted", nullptr, "[0]"},
    {"n_discard", "", kLlamaCompletion, Effect::kRefused, Kind::kAny, 0, 0, "a context that is full ends the answer; 0 is accepted", nullptr, "[0]"},
    {"n_indent", "", kLlamaCompletion, Effect::kRefused, Kind::kAny, 0, 0, "lines are not indented; 0 is accepted", nullptr, "[0]"},
    {"t_max_predict_ms", "", kLlamaCompletion, Effect::kRefused, Kind::kAny, 0, 0, "there is no limit of time yet; 0 and -1 are accepted", nullptr, "[0, -1]"},
    {"grammar_lazy", "", kLlamaCompletion, Effect::kRefused, Kind::kAny, 0, 0, "grammars are not understood yet; false is accepted", nullptr, "[false]"},
    {"grammar_triggers", "", kLlamaCompletion, Effect::kRefused, Kind::kAny, 0, 0, "grammars are not understood yet; an empty list is accepted", nullptr, "[[]]"},
    {"preserved_tokens", "", kLlamaCompletion, Effect::kRefused, Kind::kAny, 0, 0, "grammars are not understood yet; an empty list is accepted", nullptr, "[[]]"},
    {"verbose", "", kLlamaCompletion, Effect::kRefused, Kind::kAny, 0, 0, "the engine's own state is not shown; false is accepted", nullptr, "[false]"},
    {"dynatemp_range", "", kGenerating, Effect::kRefused, Kind::kAny, 0, 0, "this sampler is not there; 0 is accepted", nullptr, "[0]"},
});
// clang-format on

}  // namespace

std::span<const Field> fields() { return kFields; }

}  // namespace choir::serve
