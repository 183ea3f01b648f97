#include <nlohmann/json.hpp>
#include <string>

#include "serve/config.h"
#include "serve/fields.h"

namespace choir::serve {
namespace {

using Ordered = nlohmann::ordered_json;  // in the order of the tables

Ordered number(double value) {
  const auto whole = static_cast<std::int64_t>(value);
  return static_cast<double>(whole) == value ? Ordered(whole) : Ordered(value);
}

Ordered map_of(Ordered properties) {
  return {{"type", {"object", "null"}},
          {"additionalProperties", false},
          {"properties", std::move(properties)}};
}

Ordered sampling_schema() {
  Ordered properties = Ordered::object();
  for (const std::string_view name : sampling_fields()) {
    const Field& field = *field_named(kChat, name);
    properties[std::string(name)] = {
        {"description", field.meaning},
        {"type", {field.kind == Kind::kInteger ? "integer" : "number", "null"}},
        {"minimum", number(field.least)},
        {"maximum", number(field.most)}};
  }
  return map_of(std::move(properties));
}

Ordered texts(const Setting& setting) {
  return {{"type", {"array", "null"}},
          {"minItems", number(setting.least)},
          {"maxItems", number(setting.most)},
          {"items", {{"type", "string"}, {"minLength", 1}, {"maxLength", 256}}}};
}

Ordered schema_of(const Setting& setting);

// A map of a table's settings; a name with a dot is in a map of its own.
Ordered table_schema(std::span<const Setting> table) {
  Ordered properties = Ordered::object();
  for (const Setting& setting : table) {
    const std::size_t dot = setting.name.find('.');
    if (dot == std::string_view::npos) {
      properties[std::string(setting.name)] = schema_of(setting);
      continue;
    }
    Ordered& section = properties[std::string(setting.name.substr(0, dot))];
    if (section.is_null()) section = map_of(Ordered::object());
    section["properties"][std::string(setting.name.substr(dot + 1))] = schema_of(setting);
  }
  return map_of(std::move(properties));
}

Ordered models_schema(const Setting& setting) {
  Ordered model = table_schema(model_settings());
  model["type"] = "object";
  model["required"] = {"model"};
  return {{"type", {"array", "null"}},
          {"maxItems", number(setting.most)},
          {"items", {{"anyOf", {{{"type", "string"}, {"minLength", 1}}, std::move(model)}}}}};
}

Ordered kind_of(const Setting& setting) {
  switch (setting.type) {
    case SettingType::kBoolean:
      return {{"type", {"boolean", "null"}}};
    case SettingType::kInteger:
    case SettingType::kNumber:
      return {{"type", {setting.type == SettingType::kInteger ? "integer" : "number", "null"}},
              {"minimum", number(setting.least)},
              {"maximum", number(setting.most)}};
    case SettingType::kText:
    case SettingType::kName:
    case SettingType::kPath:
      return {{"type", {"string", "null"}},
              {"minLength", number(setting.least)},
              {"maxLength", number(setting.most)}};
    case SettingType::kNames:
      return texts(setting);
    case SettingType::kChoice: {
      Ordered all = Ordered::array();
      for (const std::string_view choice : setting.choices) all.push_back(choice);
      all.push_back(nullptr);
      return {{"enum", std::move(all)}};
    }
    case SettingType::kTime:
      return {{"type", {"number", "string", "null"}}};
    case SettingType::kSampling:
      return sampling_schema();
    case SettingType::kModels:
      return models_schema(setting);
  }
  return Ordered::object();
}

Ordered schema_of(const Setting& setting) {
  Ordered schema = {{"description", setting.meaning}};
  schema.update(kind_of(setting));
  const Ordered otherwise = Ordered::parse(setting.otherwise);
  if (!otherwise.is_null()) schema["default"] = otherwise;
  return schema;
}

}  // namespace

std::string config_schema() {
  Ordered schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                    {"title", "The file of settings of `choir serve`"}};
  schema.update(table_schema(settings()));
  return schema.dump(2) + "\n";
}

}  // namespace choir::serve
