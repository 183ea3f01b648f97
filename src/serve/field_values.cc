#include "serve/field_values.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include "choir/priority_named.h"
#include "choir/text.h"
#include "serve/value_rule.h"

namespace choir::serve {
namespace {

constexpr std::size_t kMessagesMost = 4096;
constexpr std::size_t kResponseFieldsMost = 64;
constexpr double kBiasMost = 100;

std::string shown(const Json& value) { return printable_line(to_text(value), 60); }
std::string at(std::string_view field, std::size_t index) {
  return std::string(field) + "." + std::to_string(index);
}

bool is_token(const Json& value) {
  return fits({Kind::kInteger, 0, std::numeric_limits<TokenId>::max()}, value);
}
bool are_tokens(const Json& value) {
  return value.is_array() && !value.empty() && std::ranges::all_of(value, is_token);
}
bool are_texts(const Json& value) {
  return value.is_array() && !value.empty() &&
         std::ranges::all_of(value, [](const Json& v) { return v.is_string(); });
}
bool begins_with_number(const Json& value) {
  return value.is_array() && !value.empty() && value.front().is_number();
}
// The first entry that is no text or no token; nullopt: there is none.
std::optional<ApiError> check_entries(std::string_view list, const Json& value, Kind kind) {
  if (fits({kind}, value)) return std::nullopt;
  return wrong_value(list, {kind}, value);
}

// "1h30m", "90s", "-1": in seconds; nullopt for anything else.
std::optional<double> seconds_of(std::string_view text) {
  const double sign = text.starts_with('-') ? -1 : 1;
  if (sign < 0) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  double sum = 0;
  while (!text.empty()) {
    double number = 0;
    const auto end =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (end.ec != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end.ptr - text.data()));
    const std::string_view unit = text.substr(0, text.find_first_of("0123456789."));
    text.remove_prefix(unit.size());
    if (unit == "ms")
      sum += number / 1000;
    else if (unit.empty() || unit == "s")
      sum += number;
    else if (unit == "m")
      sum += number * 60;
    else if (unit == "h")
      sum += number * 3600;
    else
      return std::nullopt;
  }
  return sign * sum;
}

// "content": a text, or parts of which all are text. Parts are joined as llama.cpp joins them.
std::optional<ApiError> read_content(const Json& content, const std::string& where,
                                     std::string& text) {
  if (content.is_null()) return std::nullopt;
  if (content.is_string()) {
    text = content.get<std::string>();
    return std::nullopt;
  }
  if (!content.is_array())
    return field_error(where, "is " + shown(content) + "; it takes a text or a list of parts");
  for (std::size_t i = 0; i < content.size(); ++i) {
    const Json& part = content[i];
    const std::string type =
        part.is_object() && part.contains("type") && part["type"].is_string() ? part["type"] : "";
    if (type != "text")
      return field_error(at(where, i), type.empty()
                                           ? "has no 'type'"
                                           : "is of the type '" + type +
                                                 "'; only parts of the type 'text' are understood");
    if (!part.contains("text") || !part["text"].is_string())
      return field_error(at(where, i), "has no 'text'");
    if (i > 0) text += "\n";
    text += part["text"].get_ref<const std::string&>();
  }
  return std::nullopt;
}

std::optional<ApiError> read_message(const Json& value, const std::string& where,
                                     std::vector<Message>& messages) {
  if (!value.is_object()) return field_error(where, "is " + shown(value) + "; it takes an object");
  const auto text = [&](const char* key) -> std::string {
    return value.contains(key) && value[key].is_string() ? value[key].get<std::string>() : "";
  };
  std::string role = text("role");
  if (role == "developer") role = "system";
  if (role == "tool" || role == "function" || !value.value("tool_calls", Json()).empty() ||
      !value.value("function_call", Json()).empty())
    return field_error(where, "is about a tool; tools are not understood yet");
  if (role != "system" && role != "user" && role != "assistant")
    return field_error(where + ".role",
                       role.empty() ? "is missing; it takes system, developer, user or assistant"
                                    : "is '" + printable_line(role, 60) +
                                          "'; it takes system, developer, user or assistant");
  Message message{.role = role, .content = {}};
  if (!value.contains("content") && role != "assistant")
    return field_error(where + ".content", "is missing");
  if (auto error =
          read_content(value.value("content", Json()), where + ".content", message.content))
    return error;
  messages.push_back(std::move(message));
  return std::nullopt;
}

std::optional<ApiError> add_prompt(const std::string& where, const Json& value,
                                   std::vector<Prompt>& prompts) {
  Prompt prompt;
  if (begins_with_number(value))
    if (auto error = check_entries(where, value, Kind::kTokens)) return error;
  if (value.is_string())
    prompt.text = value.get<std::string>();
  else if (are_tokens(value))
    prompt.tokens = value.get<std::vector<TokenId>>();
  else if (!value.is_array() || !value.empty())
    return field_error(where, "is " + shown(value) + "; it takes a text or a list of tokens");
  if (prompt == Prompt{}) return field_error(where, "is empty; write one");
  prompts.push_back(std::move(prompt));
  return std::nullopt;
}

}  // namespace

std::optional<ApiError> set_messages(Asked& asked, const Json& value) {
  if (value.empty()) return field_error("messages", "is empty; it takes at least one message");
  if (value.size() > kMessagesMost)
    return field_error("messages", "has " + std::to_string(value.size()) + " messages, at most " +
                                       std::to_string(kMessagesMost) + " are allowed");
  for (std::size_t i = 0; i < value.size(); ++i)
    if (auto error = read_message(value[i], at("messages", i), asked.request.messages))
      return error;
  return std::nullopt;
}

std::optional<ApiError> check_content(const Asked& asked) {
  const std::vector<Message>& messages = asked.request.messages;
  if (messages.empty() ||
      std::ranges::any_of(messages, [](const Message& m) { return !m.content.empty(); }))
    return std::nullopt;
  return field_error(
      at("messages", messages.size() - 1) + ".content",
      messages.size() == 1 ? "is empty; write one" : "is empty, and so are all others; write one");
}

// One prompt, or a list of them. A list that begins with a number is one prompt of tokens.
std::optional<ApiError> set_prompt(Asked& asked, const Json& value) {
  asked.alone = !value.is_array() || value.empty() || begins_with_number(value);
  if (asked.alone) return add_prompt("prompt", value, asked.prompts);
  if (value.size() > kAnswersMax)
    return field_error("prompt", "has " + std::to_string(value.size()) + " prompts, at most " +
                                     std::to_string(kAnswersMax) + " are allowed");
  for (std::size_t i = 0; i < value.size(); ++i)
    if (auto error = add_prompt(at("prompt", i), value[i], asked.prompts)) return error;
  return std::nullopt;
}

std::optional<ApiError> set_llama_prompt(Asked& asked, const Json& value) {
  const auto text_of = [](const Json& prompt) {
    return prompt.is_object() ? prompt.value("prompt_string", Json()) : prompt;
  };
  const auto has_media = [](const Json& prompt) {
    return prompt.is_object() && !prompt.value("multimodal_data", Json()).empty();
  };
  if (has_media(value) || (value.is_array() && std::ranges::any_of(value, has_media)))
    return field_error("prompt.multimodal_data", "is not possible: prompts are text");
  if (!value.is_array()) return set_prompt(asked, text_of(value));
  Json prompts = Json::array();
  for (const Json& prompt : value) prompts.push_back(text_of(prompt));
  return set_prompt(asked, prompts);
}

std::optional<ApiError> set_response_fields(Asked& asked, const Json& value) {
  if (!value.empty() && !are_texts(value))
    return field_error("response_fields", "is " + shown(value) + "; it takes a list of texts");
  if (value.size() > kResponseFieldsMost)
    return field_error("response_fields", "has " + std::to_string(value.size()) +
                                              " texts, at most " +
                                              std::to_string(kResponseFieldsMost) + " are allowed");
  asked.response_fields = value.get<std::vector<std::string>>();
  return std::nullopt;
}

Json own_samplers() { return {"penalties", "temperature", "top_k", "top_p", "min_p"}; }

std::optional<ApiError> set_best_of(Asked& asked, const Json& value) {
  asked.best_of = value.get<std::int64_t>();
  return std::nullopt;
}

std::optional<ApiError> check_together(const Asked& asked) {
  if (asked.best_of && *asked.best_of != asked.choices) {
    ApiError error = field_error("best_of", "is " + std::to_string(*asked.best_of) +
                                                "; it takes as many as 'n' asks for (" +
                                                std::to_string(asked.choices) +
                                                "): all answers that are computed are given");
    error.code = "unsupported_value";
    return error;
  }
  const std::size_t answers = asked.prompts.size() * static_cast<std::size_t>(asked.choices);
  if (answers > kAnswersMax)
    return field_error("prompt", "has " + std::to_string(asked.prompts.size()) + " prompts with " +
                                     std::to_string(asked.choices) +
                                     " answers each; a request has at most " +
                                     std::to_string(kAnswersMax) + " answers");
  return std::nullopt;
}

namespace {

// What the first entry is, the others are, too.
std::optional<ApiError> check_input_list(const Json& value) {
  if (value.front().is_number()) return check_entries("input", value, Kind::kTokens);
  if (value.front().is_string()) return check_entries("input", value, Kind::kTexts);
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (!value[i].is_array() || value[i].empty())
      return field_error(at("input", i),
                         "is " + shown(value[i]) + "; it takes a text or a list of tokens");
    if (auto error = check_entries(at("input", i), value[i], Kind::kTokens)) return error;
  }
  return std::nullopt;
}

}  // namespace

std::optional<ApiError> set_input(Asked& asked, const Json& value) {
  asked.alone = value.is_string() || begins_with_number(value);
  if (value.is_array() && !value.empty())
    if (auto error = check_input_list(value)) return error;
  if (value.is_string())
    asked.embed.texts = {value.get<std::string>()};
  else if (are_texts(value))
    asked.embed.texts = value.get<std::vector<std::string>>();
  else if (are_tokens(value))
    asked.embed.tokens = {value.get<std::vector<TokenId>>()};
  else if (value.is_array() && !value.empty())
    asked.embed.tokens = value.get<std::vector<std::vector<TokenId>>>();
  else
    return field_error(
        "input", "is " + shown(value) + "; it takes a text, a list of texts, or lists of tokens");
  for (std::size_t i = 0; i < asked.embed.texts.size(); ++i)
    if (asked.embed.texts[i].empty())
      return field_error(asked.alone ? "input" : at("input", i), "is empty; write a text");
  const std::size_t inputs = std::max(asked.embed.texts.size(), asked.embed.tokens.size());
  if (inputs > kEmbedTextsMax)
    return field_error("input", "has " + std::to_string(inputs) + " texts, at most " +
                                    std::to_string(kEmbedTextsMax) + " are allowed");
  return std::nullopt;
}

std::optional<ApiError> set_stop(Asked& asked, const Json& value) {
  if (value.is_string())
    asked.request.stop = {value.get<std::string>()};
  else if (are_texts(value))
    asked.request.stop = value.get<std::vector<std::string>>();
  else if (value.is_array() && !value.empty())
    return check_entries("stop", value, Kind::kTexts);
  else if (!value.is_array())
    return field_error("stop", "is " + shown(value) + "; it takes a text or a list of texts");
  const std::vector<std::string>& stop = asked.request.stop;
  if (stop.size() > kStopStringsMax)
    return field_error("stop", "has " + std::to_string(stop.size()) + " texts, at most " +
                                   std::to_string(kStopStringsMax) + " are allowed");
  for (std::size_t i = 0; i < stop.size(); ++i)
    if (stop[i].empty() || stop[i].size() > kStopBytesMax)
      return field_error(value.is_string() ? "stop" : at("stop", i),
                         "has " + std::to_string(stop[i].size()) + " bytes; it takes 1 to " +
                             std::to_string(kStopBytesMax));
  return std::nullopt;
}

// OpenAI has {"token": bias}; llama.cpp also lists of [token, bias], where false bans the token.
std::optional<ApiError> set_logit_bias(Asked& asked, const Json& value) {
  const auto wrong = [](const std::string& what) {
    return field_error(
        "logit_bias",
        "has " + what + "; it takes tokens as numbers, each with a bias from -100 to 100");
  };
  if (value.size() > kLogitBiasMax)
    return field_error("logit_bias", "has " + std::to_string(value.size()) + " tokens, at most " +
                                         std::to_string(kLogitBiasMax) + " are allowed");
  std::vector<LogitBias>& all = asked.request.sampling.bias;
  const auto add = [&](TokenId token, const Json& bias) -> std::optional<ApiError> {
    if (bias.is_boolean() && !bias.get<bool>()) {
      all.push_back({token, -std::numeric_limits<float>::infinity()});
      return std::nullopt;
    }
    if (!bias.is_number() || std::abs(bias.get<double>()) > kBiasMost) return wrong(shown(bias));
    all.push_back({token, bias.get<float>()});
    return std::nullopt;
  };
  if (value.is_object()) {
    for (const auto& [key, bias] : value.items()) {
      TokenId token = 0;
      const auto end = std::from_chars(key.data(), key.data() + key.size(), token);
      if (end.ec != std::errc() || end.ptr != key.data() + key.size() || token < 0)
        return wrong("'" + printable_line(key, 60) + "'");
      if (auto error = add(token, bias)) return error;
    }
    return std::nullopt;
  }
  if (!value.is_array()) return wrong(shown(value));
  for (const Json& pair : value) {
    if (!pair.is_array() || pair.size() != 2 || !is_token(pair[0])) return wrong(shown(pair));
    if (auto error = add(pair[0].get<TokenId>(), pair[1])) return error;
  }
  return std::nullopt;
}

std::optional<ApiError> set_stream_options(Asked& asked, const Json& value) {
  const Json include = value.value("include_usage", Json(false));
  if (!include.is_boolean() && !include.is_null())
    return field_error("stream_options.include_usage",
                       "is " + shown(include) + "; it takes true or false");
  asked.include_usage = include.is_boolean() && include.get<bool>();
  return std::nullopt;
}

std::optional<ApiError> set_priority(Asked& asked, const Json& value) {
  const auto priority =
      value.is_string() ? priority_named(value.get_ref<const std::string&>()) : std::nullopt;
  if (priority) {
    asked.class_field = "priority";
    asked.request.priority = asked.embed.priority = *priority;
    return std::nullopt;
  }
  return field_error("priority", "is " + shown(value) + "; it takes critical, high, normal or low");
}

std::optional<ApiError> set_service_tier(Asked& asked, const Json& value) {
  if (asked.request.priority) return std::nullopt;  // `priority` says it more exactly
  asked.class_field = "service_tier";
  if (value == "flex") asked.request.priority = asked.embed.priority = Priority::kLow;
  if (value == "priority" || value == "fast")
    asked.request.priority = asked.embed.priority = Priority::kHigh;
  return std::nullopt;
}

std::optional<std::chrono::milliseconds> keep_alive_of(const Json& value) {
  const auto time = value.is_number()   ? std::optional(value.get<double>())
                    : value.is_string() ? seconds_of(value.get_ref<const std::string&>())
                                        : std::nullopt;
  if (!time || !std::isfinite(*time)) return std::nullopt;
  constexpr double kForEver = 1e10;
  const double seconds = *time < 0 ? kForEver : std::min(*time, kForEver);
  return std::chrono::milliseconds(std::llround(seconds * 1000));
}

std::optional<ApiError> set_keep_alive(Asked& asked, const Json& value) {
  asked.keep_alive = keep_alive_of(value);
  if (asked.keep_alive) return std::nullopt;
  return field_error(
      "keep_alive", "is " + shown(value) + "; it takes seconds, or a text such as 90s, 10m or 24h");
}

std::optional<ApiError> set_encoding_format(Asked& asked, const Json& value) {
  if (value != "float" && value != "base64")
    return field_error("encoding_format", "is " + shown(value) + "; it takes float or base64");
  asked.base64 = value == "base64";
  return std::nullopt;
}

}  // namespace choir::serve
