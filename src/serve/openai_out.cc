#include "serve/openai_out.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

namespace choir::serve {
namespace {

Json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.output_tokens},
          {"total_tokens", usage.prompt_tokens + usage.output_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.reused_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", 0}}}};
}

enum class Form : std::uint8_t { kChat, kText };

class OpenAiWriter final : public Writer {
 public:
  OpenAiWriter(AnswerInfo answer, Form form) : answer_(std::move(answer)), form_(form) {
    if (!answer_.stream) return;
    // The text goes between the two parts of an event that was made with a mark as its text.
    static constexpr std::string_view kMark = "\"<text>\"";
    for (std::size_t i = 0; i < answer_.prompts * answer_.choices; ++i) {
      const std::string whole = event_of(chunk(i, said(Json("<text>"))));
      const std::size_t at = whole.find(kMark);
      around_.push_back({whole.substr(0, at), whole.substr(at + kMark.size())});
    }
  }

  std::string whole(std::span<const ChoiceEnd> ends) override {
    Json choices = Json::array();
    for (const ChoiceEnd& end : ends) {
      Json choice = choice_of(choices.size(), end.completion.finish);
      if (form_ == Form::kChat)
        choice["message"] = {
            {"role", "assistant"}, {"content", end.completion.text}, {"refusal", nullptr}};
      else
        choice["text"] = end.completion.text;
      choices.push_back(std::move(choice));
    }
    Json json = frame("chat.completion");
    json["choices"] = std::move(choices);
    json["usage"] = usage_json(usage_of(ends, answer_.choices));
    if (ends.size() == 1) json["timings"] = timings_json(ends[0].completion.usage);
    return to_text(json);
  }

  // A chat has a first event for each choice; a completion has none.
  std::string begin() override {
    std::string events;
    if (form_ == Form::kChat)
      for (std::size_t i = 0; i < around_.size(); ++i)
        events += event_of(chunk(i, {{"delta", {{"role", "assistant"}, {"content", nullptr}}}}));
    return events;
  }

  std::string text(std::size_t choice, const StreamPiece& piece) override {
    if (piece.text.empty()) return {};
    const auto& [front, back] = around_[choice];
    return front + to_text(Json(piece.text)) + back;
  }

  std::string end(std::size_t choice, const ChoiceEnd& end) override {
    Json last = frame("chat.completion.chunk");
    Json filled = choice_of(choice, end.completion.finish);
    filled.update(form_ == Form::kChat ? Json{{"delta", Json::object()}} : Json{{"text", ""}});
    last["choices"] = Json::array({std::move(filled)});
    last["timings"] = timings_json(end.completion.usage);
    return event_of(last);
  }

  std::string finish(std::span<const ChoiceEnd> ends) override {
    std::string events;
    if (answer_.include_usage) {
      Json counts = frame("chat.completion.chunk");
      counts["choices"] = Json::array();
      counts["usage"] = usage_json(usage_of(ends, answer_.choices));
      if (ends.size() == 1) counts["timings"] = timings_json(ends[0].completion.usage);
      events += event_of(counts);
    }
    return events + "data: [DONE]\n\n";
  }

  std::string error(const ApiError& error) override { return event_of(openai_error(error)); }

 private:
  // `object` of a chat; that of a completion is always the same.
  Json frame(std::string_view object) const {
    return {{"id", answer_.id},
            {"object", form_ == Form::kChat ? object : "text_completion"},
            {"created", answer_.created},
            {"model", answer_.model},
            {"system_fingerprint", nullptr}};
  }
  static Json choice_of(std::size_t index, Finish finish) {
    return {{"index", index}, {"logprobs", nullptr}, {"finish_reason", to_string(finish)}};
  }
  Json said(Json text) const {
    return form_ == Form::kChat ? Json{{"delta", {{"content", std::move(text)}}}}
                                : Json{{"text", std::move(text)}};
  }
  Json chunk(std::size_t index, const Json& more) const {
    Json filled = {{"index", index}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
    filled.update(more);
    Json json = frame("chat.completion.chunk");
    json["choices"] = Json::array({std::move(filled)});
    return json;
  }

  const AnswerInfo answer_;
  const Form form_;
  std::vector<std::pair<std::string, std::string>> around_;  // the text of each choice's events
};

template <Form kForm>
std::unique_ptr<Writer> writer_of(AnswerInfo answer) {
  return std::make_unique<OpenAiWriter>(std::move(answer), kForm);
}

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

const Dialect& openai_chat() {
  static constexpr Dialect kDialect{.route = kChat,
                                    .id_prefix = "chatcmpl-",
                                    .writer = writer_of<Form::kChat>,
                                    .error = openai_error};
  return kDialect;
}

const Dialect& openai_completions() {
  static constexpr Dialect kDialect{.route = kCompletion,
                                    .id_prefix = "cmpl-",
                                    .writer = writer_of<Form::kText>,
                                    .error = openai_error};
  return kDialect;
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

}  // namespace choir::serve
