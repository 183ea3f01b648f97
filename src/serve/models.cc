#include "serve/models.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include "choir/model_info.h"
#include "choir/text.h"

namespace choir::serve {
namespace {

constexpr std::size_t kNameShown = 60;
constexpr std::size_t kPathShown = 200;

std::string without_gguf(std::string_view name) {
  return std::string(name.ends_with(".gguf") ? name.substr(0, name.size() - 5) : name);
}

// Every sequence may be as long as the context while the others are short.
constexpr std::int32_t kCellsPerContext = 4;

bool is_same_file(const std::string& one, const std::string& other) {
  std::error_code error;  // one of them is not there
  return one == other || std::filesystem::equivalent(one, other, error);
}

// Of the file itself, where the model has a name of the catalogue.
std::string file_name(const LocalModel& model) {
  return without_gguf(std::filesystem::path(model.path).filename().string());
}

}  // namespace

Error Models::not_found(std::string_view name) const {
  std::vector<std::string> names;
  for (const ExecutorInfo& executor : node_.executors()) names.push_back(executor.config.name);
  configured_.with([&](const Configured& c) {
    for (const auto& [alias, executor] : c.aliases) names.push_back(alias);
  });
  if (const auto local = local_models())
    for (const LocalModel& model : *local) names.push_back(model.name);
  auto near = nearest(name, names);
  if (!near) near = nearest(name.substr(0, name.find(':')), names);  // "name:latest"
  return {Code::kNotFound, "there is no model '" + printable_line(name, kNameShown) + "'" +
                               (near ? "; did you mean '" + *near + "'?"
                                     : "; GET /v1/models lists those that are there")};
}

Result<std::string> Models::known(std::string_view name) const {
  const auto executors = node_.executors();
  if (name.empty()) {
    const auto is_model = [&](const ExecutorInfo& e) { return !replicas_.model_of(e.config.name); };
    const auto only_found = configured_.with([](const Configured& c) { return c.only_found; });
    const auto is_named = [&](const ExecutorInfo& e) {
      return is_model(e) && !only_found.contains(e.config.name);
    };
    const auto only = [&](const auto& is) -> const ExecutorInfo* {
      const auto first = std::ranges::find_if(executors, is);
      return std::ranges::count_if(executors, is) == 1 ? &*first : nullptr;
    };
    if (const ExecutorInfo* named = only(is_named)) return named->config.name;
    if (const ExecutorInfo* one = only(is_model)) return one->config.name;
    return fail(Code::kInvalidArgument,
                "the request names no 'model'; GET /v1/models lists those that are there");
  }
  const std::string wanted = without_gguf(name);
  for (const ExecutorInfo& executor : executors)
    if (executor.config.name == name || executor.config.name == wanted) return executor.config.name;
  const auto meant = configured_.with([&](const Configured& c) -> std::optional<std::string> {
    const auto found = c.aliases.find(name);
    if (found == c.aliases.end()) return std::nullopt;
    return found->second;
  });
  if (meant) return *meant;
  return tl::unexpected(not_found(name));
}

Result<std::string> Models::find(std::string_view name) {
  if (auto executor = known(name)) return executor;
  const LocalModel model = CHOIR_TRY(file_of(name));
  const bool is_new = !node_.executor(model.name);
  auto executor = declare_file({.model = model.name}, model.path);
  if (executor && is_new) configure([&](Configured& c) { c.only_found.insert(*executor); });
  return executor;
}

Status Models::is_there(std::string_view name) const {
  if (!known(name)) CHOIR_TRY(file_of(name));
  return {};
}

Result<ExecutorConfig> Models::config_of(std::string_view name) const {
  if (const auto executor = known(name)) return CHOIR_TRY(node_.executor(*executor)).config;
  const LocalModel model = CHOIR_TRY(file_of(name));
  return config_of_file({.model = model.name}, model.path, CHOIR_TRY(inspect_model(model.path)));
}

// Of one that is not declared.
Result<LocalModel> Models::file_of(std::string_view name) const {
  if (name.empty() || name.size() > kNameBytesMax || name.find('/') != std::string_view::npos)
    if (const auto unknown = known(name); !unknown) return tl::unexpected(unknown.error());
  // Not resolve_model(), for which a file of the daemon's own folder is a name too.
  const std::string wanted = without_gguf(name);
  for (LocalModel& model : CHOIR_TRY(local_models()))
    if (model.name == wanted || file_name(model) == wanted) return std::move(model);
  if (std::ranges::find(catalog(), wanted, &CatalogEntry::name) != catalog().end())
    return fail(Code::kNotFound, "model '" + wanted +
                                     "' is not on this machine yet: `choir pull` or POST "
                                     "/choir/v1/pulls fetches it");
  return tl::unexpected(not_found(name));
}

Result<std::string> Models::declare(const ModelConfig& model) {
  const std::string path = CHOIR_TRY(resolve_model(model.model));
  return declare_file(model, path);
}

Result<ExecutorConfig> Models::config_of_file(const ModelConfig& model, const std::string& path,
                                              const ModelInfo& info) const {
  ExecutorConfig config;
  config.name = client_name(model);
  if (!info.not_run.empty())
    return fail(Code::kInvalidArgument,
                "'" + config.name + "' is " + info.not_run + ", which Choir does not run");
  config.path = path;
  config.sequences_max = model.sequences > 0 ? model.sequences : defaults_.sequences_max;
  config.kv_type = model.kv_type.value_or(defaults_.kv_type);
  config.shares = model.shares;
  config.priority = model.requests.priority;
  config.batching = model.batching;
  config.batch_tokens_max = model.batch_tokens;
  config.prefix_cache = model.prefix_cache;
  config.pinned = model.pinned;
  const std::int32_t context =
      model.context_tokens > 0 ? model.context_tokens : defaults_.context_tokens;
  const std::int32_t asked = context > 0 ? context : kContextTokens;
  config.sequence_tokens_max =
      info.context_tokens_trained > 0 ? std::min(asked, info.context_tokens_trained) : asked;
  config.context_tokens =
      config.sequence_tokens_max * std::min(kCellsPerContext, config.sequences_max);
  return config;
}

Result<std::string> Models::declare_file(const ModelConfig& model, const std::string& path) {
  const auto info = std::make_shared<const ModelInfo>(CHOIR_TRY(inspect_model(path)));
  const ExecutorConfig config = CHOIR_TRY(config_of_file(model, path, *info));
  return declaring_.with([&](bool& /*one at a time*/) -> Result<std::string> {
    if (const auto known = node_.executor(config.name)) {
      if (is_same_file(known->config.path, config.path)) return config.name;
      return fail(Code::kAlreadyExists,
                  "two files have the name '" + config.name + "': '" +
                      printable_line(known->config.path, kPathShown) + "' and '" +
                      printable_line(config.path, kPathShown) +
                      "'; rename one, or give it a name in the file of settings");
    }
    std::vector<std::string> others;
    for (std::int32_t number = 2; number <= model.replicas; ++number)
      others.push_back(replica_name(config.name, number));
    CHOIR_CHECK_OK(are_free(model.aliases));
    CHOIR_CHECK_OK(are_free(others));
    for (const std::string& alias : model.aliases)
      if (std::ranges::find(others, alias) != others.end())
        return fail(Code::kAlreadyExists, "'" + printable_line(alias, kNameShown) +
                                              "' is the name of a replica of '" + config.name +
                                              "' and one of its aliases");
    CHOIR_CHECK_OK(node_.declare(config));
    configure([&](Configured& c) {
      c.models[config.name] = std::make_shared<const ModelConfig>(model);
      c.files[config.name] = info;
      for (const std::string& alias : model.aliases) c.aliases[alias] = config.name;
    });
    if (const Status more = declare_replicas(config, others); !more) {
      static_cast<void>(node_.remove(config.name, Drain::kCancel));
      forget(config.name);
      return tl::unexpected(more.error());
    }
    return config.name;
  });
}

Status Models::add_replicas(const std::string& model, std::int32_t count) {
  return declaring_.with([&](bool& /*one at a time*/) -> Status {
    const ExecutorConfig config = CHOIR_TRY(node_.executor(model)).config;
    const std::vector<std::string> there = replicas_.of(model);
    std::vector<std::string> names;
    for (std::int32_t number = 2; std::cmp_less(there.size() + names.size(), count); ++number)
      if (std::string name = replica_name(model, number);
          std::ranges::find(there, name) == there.end())
        names.push_back(std::move(name));
    CHOIR_CHECK_OK(are_free(names));
    return declare_replicas(config, names);
  });
}

// All of them, or none.
Status Models::declare_replicas(const ExecutorConfig& like, const std::vector<std::string>& names) {
  std::vector<std::string> done;
  ExecutorConfig config = like;
  for (const std::string& name : names) {
    config.name = name;
    if (Status declared = node_.declare(config); !declared) {
      for (const std::string& one : done)
        static_cast<void>(node_.remove(one, Drain::kCancel));  // nobody knows it yet
      return declared;
    }
    done.push_back(name);
  }
  configure([&](Configured& c) {
    for (const std::string& name : names) {
      c.files[name] = c.files[like.name];
      if (const auto same = c.models.find(like.name); same != c.models.end())
        c.models[name] = same->second;
    }
  });
  for (const std::string& name : names) replicas_.join(like.name, {.executor = name});
  return {};
}

Status Models::declare(const ExecutorConfig& config, const ModelInfo& info) {
  return declare_as(config, std::make_shared<const ModelInfo>(info), "");
}

Status Models::declare_copy(const ExecutorConfig& config, const std::string& like) {
  std::shared_ptr<const ModelInfo> info = file_info_of(like);
  if (!info) info = std::make_shared<const ModelInfo>(CHOIR_TRY(inspect_model(config.path)));
  return declare_as(config, std::move(info), like);
}

Status Models::declare_as(const ExecutorConfig& config, std::shared_ptr<const ModelInfo> info,
                          const std::string& like) {
  return declaring_.with([&](bool& /*one at a time*/) -> Status {
    if (!node_.executor(config.name)) CHOIR_CHECK_OK(are_free({config.name}));
    CHOIR_CHECK_OK(node_.declare(config));
    configure([&](Configured& c) {
      c.files[config.name] = info;
      const auto same = c.models.find(like);
      if (same != c.models.end()) c.models[config.name] = same->second;
    });
    return {};
  });
}

void Models::forget(const std::string& executor) {
  replicas_.leave(executor);
  replicas_.forget(executor);
  configure([&](Configured& c) {
    c.models.erase(executor);
    c.files.erase(executor);
    c.only_found.erase(executor);
    std::erase_if(c.aliases, [&](const auto& alias) { return alias.second == executor; });
  });
}

Status Models::are_free(const std::vector<std::string>& aliases) const {
  for (const std::string& alias : aliases)
    if (const auto other = known(alias)) {
      const std::string name = "'" + printable_line(alias, kNameShown) + "'";
      return fail(Code::kAlreadyExists, *other == alias
                                            ? "another model is named " + name + " already"
                                            : name + " is a name of '" + *other + "' already");
    }
  return {};
}

RequestDefaults Models::defaults_of(const std::string& executor) const {
  const auto model =
      configured_.with([&](const Configured& c) -> std::shared_ptr<const ModelConfig> {
        const auto found = c.models.find(executor);
        return found == c.models.end() ? nullptr : found->second;
      });
  RequestDefaults defaults = model ? model->requests : RequestDefaults{};
  if (!defaults.keep_alive) defaults.keep_alive = defaults_.keep_alive;
  return defaults;
}

std::vector<std::string> Models::aliases_of(const std::string& executor) const {
  return configured_.with([&](const Configured& c) {
    std::vector<std::string> names;
    for (const auto& [alias, of] : c.aliases)
      if (of == executor) names.push_back(alias);
    return names;
  });
}

// Null: there is none of that name.
std::shared_ptr<const ModelInfo> Models::file_info_of(const std::string& executor) const {
  return configured_.with([&](const Configured& c) -> std::shared_ptr<const ModelInfo> {
    const auto found = c.files.find(executor);
    return found == c.files.end() ? nullptr : found->second;
  });
}

Result<Json> Models::one(std::string_view name) {
  const auto executor = known(name);
  if (executor && replicas_.model_of(*executor)) return row(CHOIR_TRY(node_.executor(*executor)));
  const Json all = list().json;
  const std::string wanted = without_gguf(name);
  for (const Json& model : all["data"])
    if (model["id"] == name || model["id"] == wanted || (executor && model["id"] == *executor))
      return model;
  return tl::unexpected(not_found(name));
}

}  // namespace choir::serve
