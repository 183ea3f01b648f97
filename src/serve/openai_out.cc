#include "serve/openai_out.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

namespace choir::serve {
namespace {

constexpr double kMsPerSecond = 1000;

std::string_view object_of(const AnswerId& answer, bool chunk) {
  if (!answer.chat) return "text_completion";
  return chunk ? "chat.completion.chunk" : "chat.completion";
}

Json frame(const AnswerId& answer, bool chunk) {
  return {{"id", answer.id},
          {"object", object_of(answer, chunk)},
          {"created", answer.created},
          {"model", answer.model},
          {"system_fingerprint", nullptr}};
}

std::string event_of(const Json& json) { return "data: " + to_text(json) + "\n\n"; }

double rate(double count, double seconds) { return seconds > 0 ? count / seconds : 0; }

std::vector<float> of_length_one(const std::vector<float>& vector) {
  double sum = 0;
  for (const float x : vector) sum += static_cast<double>(x) * x;
  const double length = std::sqrt(sum);
  std::vector<float> out(vector);
  if (length > 0)
    for (float& x : out) x = static_cast<float>(x / length);
  return out;
}

// Little-endian floats, as OpenAI's clients read them.
std::string base64_of(const std::vector<float>& vector) {
  static_assert(std::endian::native == std::endian::little);
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<unsigned char> bytes(vector.size() * sizeof(float));
  std::memcpy(bytes.data(), vector.data(), bytes.size());
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = static_cast<std::uint32_t>(bytes[i]) << 16U;
    if (left > 1) group |= static_cast<std::uint32_t>(bytes[i + 1]) << 8U;
    if (left > 2) group |= bytes[i + 2];
    for (std::size_t digit = 0; digit < 4; ++digit)
      out += digit <= left ? kDigits[(group >> (18U - 6U * digit)) & 63U] : '=';
  }
  return out;
}

}  // namespace

bool ended_well(Finish finish) { return finish == Finish::kStop || finish == Finish::kLength; }

Json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.output_tokens},
          {"total_tokens", usage.prompt_tokens + usage.output_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.reused_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", 0}}}};
}

Json timings_json(const Usage& usage) {
  const double prompt_n = usage.prompt_tokens - usage.reused_tokens;
  const double prompt_s = std::max(0.0, usage.first_token_seconds - usage.queue_seconds);
  const double output_s = std::max(0.0, usage.total_seconds - usage.first_token_seconds);
  return {{"cache_n", usage.reused_tokens},
          {"prompt_n", usage.prompt_tokens - usage.reused_tokens},
          {"prompt_ms", prompt_s * kMsPerSecond},
          {"prompt_per_token_ms", rate(prompt_s * kMsPerSecond, prompt_n)},
          {"prompt_per_second", rate(prompt_n, prompt_s)},
          {"predicted_n", usage.output_tokens},
          {"predicted_ms", output_s * kMsPerSecond},
          {"predicted_per_token_ms", rate(output_s * kMsPerSecond, usage.output_tokens)},
          {"predicted_per_second", rate(usage.output_tokens, output_s)},
          {"queue_ms", usage.queue_seconds * kMsPerSecond}};
}

Json whole_answer(const AnswerId& answer, const Completion& completion) {
  Json choice = {
      {"index", 0}, {"logprobs", nullptr}, {"finish_reason", to_string(completion.finish)}};
  if (answer.chat)
    choice["message"] = {{"role", "assistant"}, {"content", completion.text}, {"refusal", nullptr}};
  else
    choice["text"] = completion.text;
  Json json = frame(answer, false);
  json["choices"] = Json::array({std::move(choice)});
  json["usage"] = usage_json(completion.usage);
  json["timings"] = timings_json(completion.usage);
  return json;
}

Json whole_embeddings(const std::string& model, const EmbedCompletion& completion, bool base64) {
  Json data = Json::array();
  for (const Embedding& embedding : completion.embeddings) {
    const std::vector<float> vector = of_length_one(embedding.vector);
    data.push_back({{"object", "embedding"},
                    {"index", data.size()},
                    {"embedding", base64 ? Json(base64_of(vector)) : Json(vector)}});
  }
  return {{"object", "list"},
          {"model", model},
          {"data", std::move(data)},
          {"usage",
           {{"prompt_tokens", completion.usage.prompt_tokens},
            {"total_tokens", completion.usage.prompt_tokens}}}};
}

Chunks::Chunks(AnswerId answer) : answer_(std::move(answer)) {
  // The text goes between the two parts of an event that was made with a mark as its text.
  static constexpr std::string_view kMark = "\"<text>\"";
  const Json mark = "<text>";
  const std::string whole =
      event(answer_.chat ? Json{{"delta", {{"content", mark}}}} : Json{{"text", mark}});
  const std::size_t at = whole.rfind(kMark);
  front_ = whole.substr(0, at);
  back_ = whole.substr(at + kMark.size());
}

std::string Chunks::event(const Json& choice) const {
  Json filled = {{"index", 0}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
  filled.update(choice);
  Json json = frame(answer_, true);
  json["choices"] = Json::array({std::move(filled)});
  return event_of(json);
}

std::string Chunks::begin() const {
  if (!answer_.chat) return {};
  return event({{"delta", {{"role", "assistant"}, {"content", ""}}}});
}

std::string Chunks::text(std::string_view text) const {
  return front_ + to_text(Json(text)) + back_;
}

std::string Chunks::end(const Completion& completion, bool include_usage) const {
  Json choice = {
      {"index", 0}, {"logprobs", nullptr}, {"finish_reason", to_string(completion.finish)}};
  if (answer_.chat)
    choice["delta"] = Json::object();
  else
    choice["text"] = "";
  Json last = frame(answer_, true);
  last["choices"] = Json::array({std::move(choice)});
  last["timings"] = timings_json(completion.usage);
  std::string out = event_of(last);
  if (include_usage) {
    Json counts = frame(answer_, true);
    counts["choices"] = Json::array();
    counts["usage"] = usage_json(completion.usage);
    out += event_of(counts);
  }
  return out + "data: [DONE]\n\n";
}

std::string Chunks::error(const Json& error) { return event_of(error); }

}  // namespace choir::serve
