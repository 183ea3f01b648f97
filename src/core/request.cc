#include "choir/request.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/utf8.h"
#include "choir/embedding.h"
#include "core/checks.h"

namespace choir {
namespace {

Status above_zero(std::string_view field, float value, float most) {
  if (value > 0 && value <= most) return {};
  return bad(std::string(field) + " is " + to_text(value) + ", allowed above 0 and at most " +
             to_text(most));
}

Status at_most(std::string_view field, std::size_t count, std::string_view noun, std::size_t most) {
  if (count <= most) return {};
  return bad(std::string(field) + " has " + to_text(count) + " " + std::string(noun) +
                 ", allowed at most " + to_text(most),
             value_and_limit(count, most));
}

Status is_utf8(std::string_view field, std::string_view text) {
  const auto at = first_invalid_utf8(text);
  if (!at) return {};
  return bad(std::string(field) + " is not UTF-8 at byte " + to_text(*at) + " of " +
             to_text(text.size()));
}

std::string indexed(std::string_view field, std::size_t i) {
  return std::string(field) + "[" + to_text(i) + "]";
}

Status check_bias(const std::vector<LogitBias>& bias) {
  CHOIR_CHECK_OK(at_most("bias", bias.size(), "entries", kLogitBiasMax));
  constexpr float kBan = -std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < bias.size(); ++i) {
    const std::string where = indexed("bias", i);
    CHOIR_CHECK_OK(in_range(where + ".token", bias[i].token, 0, INT32_MAX));
    if (!std::isfinite(bias[i].bias) && bias[i].bias != kBan)
      return bad(where + ".bias is " + to_text(bias[i].bias) +
                 ", allowed a finite number or -infinity");
  }
  return {};
}

Status check_messages(const std::vector<Message>& messages) {
  constexpr std::array<std::string_view, 3> kRoles = {"system", "user", "assistant"};
  CHOIR_CHECK_OK(at_most("messages", messages.size(), "entries", kMessagesMax));
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::string where = indexed("messages", i);
    // Checked first: the role is quoted in the message below.
    CHOIR_CHECK_OK(check_name(where + ".role", messages[i].role));
    if (std::ranges::find(kRoles, messages[i].role) == kRoles.end())
      return bad(where + ".role is '" + messages[i].role + "', allowed system, user, assistant");
    bytes += messages[i].content.size();
    CHOIR_CHECK_OK(at_most("messages", bytes, "bytes", kPromptBytesMax));
    CHOIR_CHECK_OK(is_utf8(where + ".content", messages[i].content));
  }
  if (bytes == 0) return bad("the prompt is empty: no message has content");
  return {};
}

Status check_tokens(std::string_view field, const std::vector<TokenId>& tokens) {
  const auto wrong = std::ranges::find_if(tokens, [](TokenId token) { return token < 0; });
  if (wrong == tokens.end()) return {};
  return in_range(indexed(field, static_cast<std::size_t>(wrong - tokens.begin())), *wrong, 0,
                  INT32_MAX);
}

Status check_prompt(const Request& request) {
  const int given =
      int{!request.messages.empty()} + int{!request.text.empty()} + int{!request.tokens.empty()};
  if (given == 0) return bad("the prompt is empty: set one of messages, text, tokens");
  if (given > 1)
    return bad("the prompt is given " + to_text(given) +
               " times: set only one of messages, text, tokens");
  if (!request.messages.empty()) return check_messages(request.messages);
  CHOIR_CHECK_OK(at_most("text", request.text.size(), "bytes", kPromptBytesMax));
  CHOIR_CHECK_OK(is_utf8("text", request.text));
  CHOIR_CHECK_OK(at_most("tokens", request.tokens.size(), "entries", kPromptTokensMax));
  return check_tokens("tokens", request.tokens);
}

Status check_texts_to_embed(const EmbedRequest& request) {
  if (request.texts.empty() && request.tokens.empty())
    return bad("texts is empty: there is nothing to embed");
  if (!request.texts.empty() && !request.tokens.empty())
    return bad("the texts to embed are given twice: set only one of texts, tokens");
  CHOIR_CHECK_OK(at_most("texts", request.texts.size(), "entries", kEmbedTextsMax));
  CHOIR_CHECK_OK(at_most("tokens", request.tokens.size(), "entries", kEmbedTextsMax));
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < request.texts.size(); ++i) {
    bytes += request.texts[i].size();
    CHOIR_CHECK_OK(at_most("texts", bytes, "bytes", kPromptBytesMax));
    CHOIR_CHECK_OK(is_utf8(indexed("texts", i), request.texts[i]));
  }
  std::size_t tokens = 0;
  for (std::size_t i = 0; i < request.tokens.size(); ++i) {
    tokens += request.tokens[i].size();
    CHOIR_CHECK_OK(at_most("tokens", tokens, "tokens", kPromptTokensMax));
    CHOIR_CHECK_OK(check_tokens(indexed("tokens", i), request.tokens[i]));
  }
  return {};
}

Status check_stop(const std::vector<std::string>& stop) {
  CHOIR_CHECK_OK(at_most("stop", stop.size(), "entries", kStopStringsMax));
  for (std::size_t i = 0; i < stop.size(); ++i) {
    const std::string where = indexed("stop", i);
    if (stop[i].empty())
      return bad(where + " is empty, allowed 1 .. " + to_text(kStopBytesMax) + " bytes");
    CHOIR_CHECK_OK(at_most(where, stop[i].size(), "bytes", kStopBytesMax));
    CHOIR_CHECK_OK(is_utf8(where, stop[i]));
  }
  return {};
}

// What a request to generate and one to embed have in common.
template <class AnyRequest>
Status check_terms(const AnyRequest& request) {
  if (request.priority)
    CHOIR_CHECK_OK(in_range("priority", static_cast<std::size_t>(*request.priority), 0,
                            kPriorityNames.size() - 1));
  CHOIR_CHECK_OK(in_range("deadline (ms)", request.deadline.count(), 0, kDeadlineMax.count()));
  return check_name("tenant", request.tenant);
}

}  // namespace

Status check_name(std::string_view field, std::string_view name) {
  CHOIR_CHECK_OK(at_most(field, name.size(), "bytes", kNameBytesMax));
  return is_utf8(field, name);
}

std::string_view to_string(Finish finish) {
  switch (finish) {
    case Finish::kStop:
      return "stop";
    case Finish::kLength:
      return "length";
    case Finish::kCancelled:
      return "cancelled";
    case Finish::kDeadline:
      return "deadline";
    case Finish::kStalled:
      return "stalled";
    case Finish::kFailed:
      return "failed";
  }
  return "unknown";
}

Status validate(const Sampling& sampling) {
  CHOIR_CHECK_OK(in_range("temperature", sampling.temperature, 0, 10));
  CHOIR_CHECK_OK(in_range("top_k", sampling.top_k, 0, INT32_MAX));
  CHOIR_CHECK_OK(above_zero("top_p", sampling.top_p, 1));
  CHOIR_CHECK_OK(in_range("min_p", sampling.min_p, 0, 1));
  CHOIR_CHECK_OK(above_zero("repeat_penalty", sampling.repeat_penalty, 10));
  CHOIR_CHECK_OK(in_range("frequency_penalty", sampling.frequency_penalty, -2, 2));
  CHOIR_CHECK_OK(in_range("presence_penalty", sampling.presence_penalty, -2, 2));
  CHOIR_CHECK_OK(in_range("repeat_last_n", sampling.repeat_last_n, 0, 4096));
  return check_bias(sampling.bias);
}

Status validate(const Request& request) {
  CHOIR_CHECK_OK(check_name("executor", request.executor));
  CHOIR_CHECK_OK(check_prompt(request));
  CHOIR_CHECK_OK(in_range("max_tokens", request.max_tokens, 1, INT32_MAX));
  if (Status status = validate(request.sampling); !status)
    return tl::unexpected(std::move(status).error().in("sampling"));
  CHOIR_CHECK_OK(check_stop(request.stop));
  CHOIR_CHECK_OK(check_terms(request));
  CHOIR_CHECK_OK(check_name("reuse_scope", request.reuse_scope));
  return in_range("tenant_weight", request.tenant_weight, kTenantWeightMin, kTenantWeightMax);
}

Status validate(const EmbedRequest& request) {
  CHOIR_CHECK_OK(check_name("executor", request.executor));
  CHOIR_CHECK_OK(check_texts_to_embed(request));
  return check_terms(request);
}

}  // namespace choir
