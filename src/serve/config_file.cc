#include "serve/config_file.h"

#include <filesystem>
#include <map>
#include <span>
#include <utility>

#include "choir/text.h"
#include "serve/fields.h"
#include "serve/model_config.h"
#include "serve/replicas.h"
#include "serve/value_rule.h"
#include "serve/yaml_in.h"

namespace choir::serve {
namespace {

const Setting* find(std::span<const Setting> table, std::string_view name) {
  for (const Setting& setting : table)
    if (setting.name == name) return &setting;
  return nullptr;
}

bool is_section(std::span<const Setting> table, const std::string& name) {
  for (const Setting& setting : table)
    if (setting.name.starts_with(name + ".")) return true;
  return false;
}

// Somebody may have left a section out ("port"), or an edit is wrong.
std::string unknown(std::span<const Setting> table, const std::string& name) {
  std::vector<std::string> names;
  for (const Setting& setting : table) {
    names.emplace_back(setting.name);
    const std::size_t dot = setting.name.find('.');
    if (dot != std::string_view::npos && setting.name.substr(dot + 1) == name)
      return "did you mean '" + names.back() + "'?";
  }
  for (const Setting& setting : table)
    if (const std::size_t dot = setting.name.find('.'); dot != std::string_view::npos)
      names.emplace_back(setting.name.substr(0, dot));
  const auto near = nearest(name, names);
  return near ? "did you mean '" + *near + "'?" : "`choir config show` lists all settings";
}

// A text, a number or another value that is no list and no map; those are shown as what they are.
Json scalar(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return nullptr;
    case YamlNode::Kind::kText:
      return node.quoted ? Json(node.text) : plain_value(node.text);
    case YamlNode::Kind::kList:
      return Json::array({nullptr});
    case YamlNode::Kind::kMap:
      return Json::object();
  }
  return nullptr;
}

class Reader {
 public:
  explicit Reader(const std::string& path)
      : path_(path), folder_(std::filesystem::path(path).parent_path().string()) {}

  std::string place(int line) const { return path_ + ":" + std::to_string(line); }
  tl::unexpected<Error> wrong(int line, const std::string& what) const {
    return fail(Code::kInvalidArgument, place(line) + ": " + what);
  }

  // Calls `use(setting, node)` for each setting of the map.
  template <class Use>
  Status read(const YamlNode& map, std::span<const Setting> table, Use use) const {
    for (const YamlNode& entry : map.items) {
      if (is_section(table, entry.key)) {
        CHOIR_CHECK_OK(is_map(entry, entry.key));
        for (const YamlNode& inner : entry.items)
          CHOIR_CHECK_OK(read_one(inner, entry.key + "." + inner.key, table, use));
      } else {
        CHOIR_CHECK_OK(read_one(entry, entry.key, table, use));
      }
    }
    return {};
  }

  Result<Json> value(const Setting& setting, const YamlNode& node) const {
    switch (setting.type) {
      case SettingType::kNames:
        return names(setting, node);
      case SettingType::kSampling:
        return sampling(node);
      case SettingType::kModels:
        return models(setting, node);
      default:
        break;
    }
    Json value = scalar(node);
    CHOIR_CHECK_OK(check_one(setting, value, node.line));
    if (setting.type == SettingType::kPath) value = from_here(value.get<std::string>());
    return value;
  }

  Status is_map(const YamlNode& node, const std::string& what) const {
    if (node.kind == YamlNode::Kind::kMap || node.kind == YamlNode::Kind::kNull) return {};
    return wrong(node.line, "'" + printable_line(what, kShown) + "' takes a map of settings");
  }

 private:
  template <class Use>
  Status read_one(const YamlNode& entry, const std::string& name, std::span<const Setting> table,
                  Use use) const {
    const Setting* setting = find(table, name);
    if (setting == nullptr)
      return wrong(entry.line, "there is no setting '" + printable_line(name, kShown) + "'; " +
                                   unknown(table, name));
    if (entry.kind == YamlNode::Kind::kNull) return {};
    return use(*setting, entry);
  }

  Status check_one(const Setting& setting, const Json& value, int line) const {
    const auto what = check(setting, value);
    if (what) return wrong(line, "'" + std::string(setting.name) + "' " + *what);
    return {};
  }

  Result<Json> names(const Setting& setting, const YamlNode& node) const {
    Json value = node.kind == YamlNode::Kind::kList ? Json::array() : scalar(node);
    if (value.is_array()) {
      for (const YamlNode& item : node.items) {
        const Json name = scalar(item);
        if (!name.is_string() || name.get_ref<const std::string&>().empty())
          return wrong(item.line,
                       "'" + std::string(setting.name) + "' takes texts; put a number in quotes");
        value.push_back(name);
      }
    }
    CHOIR_CHECK_OK(check_one(setting, value, node.line));
    return value;
  }

  // Checked by the same table as requests.
  Result<Json> sampling(const YamlNode& node) const {
    CHOIR_CHECK_OK(is_map(node, "sampling"));
    Json value = Json::object();
    for (const YamlNode& entry : node.items) {
      const std::vector<std::string> known(sampling_fields().begin(), sampling_fields().end());
      const Field* field = nullptr;
      for (const std::string& name : known)
        if (name == entry.key) field = field_named(kChat, name);
      if (field == nullptr) {
        const auto near = nearest(entry.key, known);
        return wrong(entry.line, "'" + printable_line(entry.key, kShown) +
                                     "' is no field that 'sampling' takes" +
                                     (near ? "; did you mean '" + *near + "'?" : ""));
      }
      if (entry.kind == YamlNode::Kind::kNull) continue;
      Asked ignored;
      const Json wanted = scalar(entry);
      if (const auto error = set_field(*field, wanted, ignored))
        return wrong(entry.line, error->message);
      value[entry.key] = wanted;
    }
    return value;
  }

  Result<Json> models(const Setting& setting, const YamlNode& node) const {
    Json value = node.kind == YamlNode::Kind::kList ? Json::array() : scalar(node);
    std::map<std::string, int> lines;  // of the names so far
    for (const YamlNode& item : node.items) {
      if (node.kind != YamlNode::Kind::kList) break;
      const Json model = CHOIR_TRY(one_model(item));
      for (const std::string& name : client_names(model)) {
        const auto [found, is_new] = lines.emplace(name, item.line);
        if (!is_new)
          return wrong(item.line,
                       "the name '" + printable_line(name, kShown) +
                           "' is there twice, first in line " + std::to_string(found->second) +
                           (name.find('@') == std::string::npos
                                ? ""
                                : "; replicas of a model are named NAME@2, NAME@3, ..."));
      }
      value.push_back(model);
    }
    CHOIR_CHECK_OK(check_one(setting, value, node.line));
    return value;
  }

  Result<Json> one_model(const YamlNode& node) const {
    Json model = Json::object();
    if (node.kind == YamlNode::Kind::kText) {
      CHOIR_CHECK_OK(check_one(*find(model_settings(), "model"), scalar(node), node.line));
      model["model"] = node.text;
    } else {
      CHOIR_CHECK_OK(is_map(node, "models"));
      CHOIR_CHECK_OK(
          read(node, model_settings(), [&](const Setting& s, const YamlNode& n) -> Status {
            model[std::string(s.name)] = CHOIR_TRY(value(s, n));
            return {};
          }));
    }
    if (!model.contains("model")) return wrong(node.line, "a model has no 'model'");
    // A path has a slash; anything else is a name of the models folder or the catalogue.
    const std::string path = model["model"];
    if (path.find('/') != std::string::npos) model["model"] = from_here(path);
    return model;
  }

  // With those of its replicas.
  static std::vector<std::string> client_names(const Json& model) {
    ModelConfig config;
    for (const Setting& setting : model_settings())
      if (const auto found = model.find(setting.name); found != model.end())
        setting.to_model(config, *found);
    std::vector<std::string> names = config.aliases;
    for (std::int32_t number = 1; number <= config.replicas; ++number)
      names.push_back(replica_name(client_name(config), number));
    return names;
  }

  std::string from_here(const std::string& path) const {
    if (path.empty() || path == "-" || path.front() == '/' || folder_.empty()) return path;
    return (std::filesystem::path(folder_) / path).lexically_normal().string();
  }

  const std::string path_;
  const std::string folder_;
};

}  // namespace

Result<std::vector<SettingValue>> settings_in(const ConfigFile& file) {
  const Reader reader(file.path);
  const auto root = parse_yaml(file.text);
  if (!root) return fail(Code::kInvalidArgument, file.path + ":" + root.error().message);
  if (root->kind != YamlNode::Kind::kMap && root->kind != YamlNode::Kind::kNull)
    return reader.wrong(root->line, "the file takes a map of settings");
  std::vector<SettingValue> values;
  CHOIR_CHECK_OK(reader.read(*root, settings(), [&](const Setting& s, const YamlNode& n) -> Status {
    values.push_back({.setting = &s,
                      .value = CHOIR_TRY(reader.value(s, n)),
                      .origin = Origin::kFile,
                      .where = reader.place(n.line)});
    return {};
  }));
  return values;
}

}  // namespace choir::serve
