#include "serve/models.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "choir/model_info.h"
#include "choir/text.h"

namespace choir::serve {
namespace {

constexpr std::size_t kNameShown = 60;

std::string without_gguf(std::string_view name) {
  return std::string(name.ends_with(".gguf") ? name.substr(0, name.size() - 5) : name);
}

// Every sequence may be as long as the context while the others are short.
constexpr std::int32_t kCellsPerContext = 4;

// When the file was last written, in seconds since 1970; 0: it is not there.
std::int64_t unix_seconds_of(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<std::int64_t>(status.st_mtime) : 0;
}

Error not_found(std::string_view name, const Node& node) {
  std::vector<std::string> names;
  for (const ExecutorInfo& executor : node.executors()) names.push_back(executor.config.name);
  if (const auto local = local_models())
    for (const LocalModel& model : *local) names.push_back(model.name);
  const auto near = nearest(name, names);
  return {Code::kNotFound, "there is no model '" + printable_line(name, kNameShown) + "'" +
                               (near ? "; did you mean '" + *near + "'?"
                                     : "; GET /v1/models lists those that are there")};
}

}  // namespace

Result<std::string> Models::known(std::string_view name) const {
  const auto executors = node_.executors();
  if (name.empty()) {
    if (executors.size() == 1) return executors.front().config.name;
    return fail(Code::kInvalidArgument,
                "the request names no 'model'; GET /v1/models lists those that are there");
  }
  const std::string wanted = without_gguf(name);
  for (const ExecutorInfo& executor : executors)
    if (executor.config.name == name || executor.config.name == wanted) return executor.config.name;
  return tl::unexpected(not_found(name, node_));
}

Result<std::string> Models::find(std::string_view name) {
  if (auto executor = known(name)) return executor;
  const LocalModel model = CHOIR_TRY(file_of(name));
  return declare_file(model.name, model.path);
}

Result<ExecutorConfig> Models::config_of(std::string_view name) const {
  if (const auto executor = known(name)) return CHOIR_TRY(node_.executor(*executor)).config;
  const LocalModel model = CHOIR_TRY(file_of(name));
  return config_of_file(model.name, model.path);
}

// Of one that is not declared.
Result<LocalModel> Models::file_of(std::string_view name) const {
  if (name.empty() || name.size() > kNameBytesMax || name.find('/') != std::string_view::npos)
    if (const auto unknown = known(name); !unknown) return tl::unexpected(unknown.error());
  // Not resolve_model(), for which a file of the daemon's own folder is a name too.
  const std::string wanted = without_gguf(name);
  for (LocalModel& model : CHOIR_TRY(local_models()))
    if (model.name == wanted) return std::move(model);
  if (std::ranges::find(catalog(), wanted, &CatalogEntry::name) != catalog().end())
    return fail(Code::kNotFound, "model '" + wanted +
                                     "' is not on this machine yet: `choir pull` or POST "
                                     "/choir/v1/pulls fetches it");
  return tl::unexpected(not_found(name, node_));
}

Result<std::string> Models::declare(const std::string& name) {
  const std::string path = CHOIR_TRY(resolve_model(name));
  return declare_file(
      name == path ? std::filesystem::path(path).stem().string() : without_gguf(name), path);
}

Result<ExecutorConfig> Models::config_of_file(const std::string& name,
                                              const std::string& path) const {
  const ModelInfo model = CHOIR_TRY(inspect_model(path));
  if (!model.not_run.empty())
    return fail(Code::kInvalidArgument,
                "'" + name + "' is " + model.not_run + ", which Choir does not run");
  ExecutorConfig config;
  config.name = name;
  config.path = path;
  config.sequences_max = defaults_.sequences_max;
  config.kv_type = defaults_.kv_type;
  const std::int32_t asked =
      defaults_.context_tokens > 0 ? defaults_.context_tokens : kContextTokens;
  config.sequence_tokens_max =
      model.context_tokens_trained > 0 ? std::min(asked, model.context_tokens_trained) : asked;
  config.context_tokens =
      config.sequence_tokens_max * std::min(kCellsPerContext, defaults_.sequences_max);
  return config;
}

Result<std::string> Models::declare_file(const std::string& name, const std::string& path) {
  const ExecutorConfig config = CHOIR_TRY(config_of_file(name, path));
  return declaring_.with([&](bool& /*one at a time*/) -> Result<std::string> {
    if (node_.executor(config.name)) return config.name;
    CHOIR_CHECK_OK(node_.declare(config));
    return config.name;
  });
}

Json Models::row(const ExecutorInfo& e) const {
  const bool loaded = e.loaded;
  Json meta = {{"n_ctx", e.config.sequence_tokens_max > 0 ? e.config.sequence_tokens_max
                                                          : e.config.context_tokens}};
  if (loaded)
    meta.update({{"n_ctx_train", e.model.context_tokens_trained},
                 {"n_vocab", e.model.vocab_tokens},
                 {"n_embd", e.model.embedding_size},
                 {"n_params", e.model.parameters},
                 {"size", e.model.weight_bytes},
                 {"ftype", e.model.quantization}});
  Json row = {{"id", e.config.name},
              {"object", "model"},
              {"created", unix_seconds_of(e.config.path)},
              {"owned_by", "choir"},
              {"meta", std::move(meta)},
              {"status", {{"value", loaded ? (e.suspended ? "suspended" : "loaded") : "unloaded"}}},
              {"running", e.running},
              {"waiting", e.waiting}};
  if (loaded)
    row["capabilities"] = e.model.generates ? Json{"completion", "chat"} : Json{"embedding"};
  return row;
}

Json Models::list() const {
  Json data = Json::array();
  std::vector<std::string> names;
  for (const ExecutorInfo& executor : node_.executors()) {
    names.push_back(executor.config.name);
    data.push_back(row(executor));
  }
  if (const auto local = local_models()) {
    for (const LocalModel& model : *local) {
      if (std::ranges::find(names, model.name) != names.end()) continue;
      data.push_back({{"id", model.name},
                      {"object", "model"},
                      {"created", unix_seconds_of(model.path)},
                      {"owned_by", "choir"},
                      {"meta", {{"size", model.bytes}}},
                      {"status", {{"value", "unloaded"}}}});
    }
  }
  return {{"object", "list"}, {"data", std::move(data)}};
}

Result<Json> Models::one(std::string_view name) const {
  const Json all = list();
  const std::string wanted = without_gguf(name);
  for (const Json& model : all["data"])
    if (model["id"] == name || model["id"] == wanted) return model;
  return tl::unexpected(not_found(name, node_));
}

}  // namespace choir::serve
