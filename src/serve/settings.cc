#include "serve/settings.h"

#include <algorithm>
#include <vector>

#include "choir/text.h"
#include "serve/field_values.h"
#include "serve/value_rule.h"

namespace choir::serve {
namespace {

std::string range_of(const Setting& setting) {
  return " from " + number_text(setting.least) + " to " + number_text(setting.most);
}

std::string bytes_of(const Setting& setting) {
  return " of " + number_text(setting.least) + " to " + number_text(setting.most) + " bytes";
}

std::string words(std::span<const std::string_view> choices) {
  std::string out;
  for (std::size_t i = 0; i < choices.size(); ++i)
    out += (i == 0 ? "" : i + 1 == choices.size() ? " or " : ", ") + std::string(choices[i]);
  return out;
}

std::string shown(const Json& value) {
  if (value.is_object()) return "a map";
  if (value.is_array()) return value.empty() ? "an empty list" : "a list";
  return printable_line(to_text(value), kShown);
}

bool within(const Setting& setting, double value) {
  return value >= setting.least && value <= setting.most;
}

// An escape of printable_line() has six characters at most.
bool is_one_line(const std::string& text) {
  return printable_line(text, 6 * text.size() + 4) == text;
}

bool is_name(const Json& value) {
  constexpr std::size_t kNameMost = 256;
  if (!value.is_string()) return false;
  const auto& text = value.get_ref<const std::string&>();
  return !text.empty() && text.size() <= kNameMost && is_one_line(text);
}

bool is_text_within(const Setting& setting, const Json& value) {
  return value.is_string() &&
         within(setting, static_cast<double>(value.get_ref<const std::string&>().size()));
}

bool fits(const Setting& setting, const Json& value) {
  switch (setting.type) {
    case SettingType::kBoolean:
      return value.is_boolean();
    case SettingType::kInteger:
      return value.is_number_integer() && within(setting, value.get<double>());
    case SettingType::kNumber:
      return value.is_number() && within(setting, value.get<double>());
    case SettingType::kText:
      return is_text_within(setting, value);
    case SettingType::kName:
    case SettingType::kPath:
      return is_text_within(setting, value) && is_one_line(value.get_ref<const std::string&>());
    case SettingType::kNames:
      return value.is_array() && within(setting, static_cast<double>(value.size())) &&
             std::ranges::all_of(value, is_name);
    case SettingType::kChoice:
      return value.is_string() &&
             std::ranges::find(setting.choices, value.get_ref<const std::string&>()) !=
                 setting.choices.end();
    case SettingType::kTime:
      return keep_alive_of(value).has_value();
    case SettingType::kSampling:
      return value.is_object();
    case SettingType::kModels:
      return value.is_array() && within(setting, static_cast<double>(value.size()));
  }
  return false;
}

bool is_number_text(std::string_view text) {
  return !text.empty() && (text.front() == '-' || (text.front() >= '0' && text.front() <= '9')) &&
         Json::accept(text);
}

Json number_or_text(std::string_view text) {
  return is_number_text(text) ? Json::parse(text, nullptr, false) : Json(text);
}

}  // namespace

std::string variable_of(const Setting& setting) {
  std::string variable(kVariables);
  for (const char c : setting.name)
    variable += c == '.' ? '_' : (c >= 'a' && c <= 'z') ? static_cast<char>(c - 'a' + 'A') : c;
  return variable;
}

std::string takes(const Setting& setting) {
  switch (setting.type) {
    case SettingType::kBoolean:
      return "true or false";
    case SettingType::kInteger:
      return "a whole number" + range_of(setting);
    case SettingType::kNumber:
      return "a number" + range_of(setting);
    case SettingType::kText:
      return "a text" + bytes_of(setting);
    case SettingType::kName:
      return "a text on one line" + bytes_of(setting);
    case SettingType::kPath:
      return "a path";
    case SettingType::kNames:
      return "a list of at most " + number_text(setting.most) + " texts";
    case SettingType::kChoice:
      return words(setting.choices);
    case SettingType::kTime:
      return "seconds, or a text such as 90s, 10m or 24h";
    case SettingType::kSampling:
      return "a map of fields";
    case SettingType::kModels:
      return "a list of at most " + number_text(setting.most) + " models";
  }
  return "";
}

std::optional<std::string> check(const Setting& setting, const Json& value) {
  if (fits(setting, value)) return setting.also == nullptr ? std::nullopt : setting.also(value);
  const bool wants_text = setting.type == SettingType::kText ||
                          setting.type == SettingType::kName || setting.type == SettingType::kPath;
  return "takes " + takes(setting) + ", not " + shown(value) +
         (wants_text && value.is_primitive() && !value.is_string() ? "; put it in quotes" : "");
}

Json value_of(const Setting& setting, std::string_view text) {
  switch (setting.type) {
    case SettingType::kBoolean:
      return text == "true" ? Json(true) : text == "false" ? Json(false) : Json(text);
    case SettingType::kInteger:
    case SettingType::kNumber:
    case SettingType::kTime:
      return number_or_text(text);
    case SettingType::kNames:
      return Json::array({text});
    case SettingType::kModels:
      return Json::array({Json::object({{"model", text}})});
    default:
      return text;
  }
}

Json plain_value(const std::string& text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return number_or_text(text);
}

}  // namespace choir::serve
