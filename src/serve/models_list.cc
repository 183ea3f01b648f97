// What the lists of models show.
#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "choir/catalog.h"
#include "serve/model_state.h"
#include "serve/models.h"

namespace choir::serve {
namespace {

// When the file was last written, in seconds since 1970; 0: it is not there.
std::int64_t unix_seconds_of(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<std::int64_t>(status.st_mtime) : 0;
}

Json meta_of(const ModelInfo& info) {
  return {{"n_ctx_train", info.context_tokens_trained},
          {"n_vocab", info.vocab_tokens},
          {"n_embd", info.embedding_size},
          {"n_params", info.parameters},
          {"size", info.weight_bytes},
          {"ftype", info.quantization}};
}

}  // namespace

Json capabilities_of(const ModelInfo& info) {
  return info.generates ? Json{"completion", "chat"} : Json{"embedding"};
}

Json Models::row(const ExecutorInfo& e) const {
  const bool loaded = e.loaded;
  const auto file = file_info_of(e.config.name);
  const ModelInfo* const info = loaded ? &e.model : file.get();
  Json meta = {{"n_ctx", longest_sequence(e.config)}};
  if (info != nullptr) meta.update(meta_of(*info));
  Json row = {{"id", e.config.name},
              {"object", "model"},
              {"created", unix_seconds_of(e.config.path)},
              {"owned_by", "choir"},
              {"aliases", aliases_of(e.config.name)},
              {"meta", std::move(meta)},
              {"status", {{"value", state_of(e)}}},
              {"running", e.running},
              {"waiting", e.waiting}};
  if (e.loading) row["status"]["progress"] = *e.loading;
  if (info != nullptr) row["capabilities"] = capabilities_of(*info);
  return row;
}

// Of a model with all of its replicas; `first`: that of its name. It is as far as the one that is
// furthest.
Json Models::row_of_all(const ExecutorInfo& first) const {
  const std::vector<std::string> all = replicas_.of(first.config.name);
  if (all.size() == 1) return row(first);
  ExecutorInfo shown = first;
  std::int32_t running = 0;
  std::int32_t waiting = 0;
  for (const std::string& executor : all) {
    auto info = node_.executor(executor);
    if (!info) continue;
    running += info->running;
    waiting += info->waiting;
    if (!shown.loaded && (info->loaded || (info->loading && !shown.loading)))
      shown = std::move(*info);
  }
  shown.config.name = first.config.name;
  Json model = row(shown);
  model.update({{"replicas", all.size()}, {"running", running}, {"waiting", waiting}});
  return model;
}

// Of one that is not declared; its sizes are those that it would have.
Json Models::row_of_file(const LocalModel& model, const FolderHeads::File& file) const {
  Json row = {{"id", model.name},
              {"object", "model"},
              {"created", file.written},
              {"owned_by", "choir"},
              {"meta", {{"size", model.bytes}}},
              {"status", {{"value", "unloaded"}}}};
  const auto info = heads_.of(file);
  const auto config = info ? config_of_file({.model = model.name}, model.path, *info)
                           : Result<ExecutorConfig>(ExecutorConfig());
  if (!info || !config) return row;
  row["meta"] = meta_of(*info);
  row["meta"]["n_ctx"] = longest_sequence(*config);
  row["capabilities"] = capabilities_of(*info);
  return row;
}

void Models::read_heads(const std::vector<FolderHeads::File>& files) {
  heads_.read(files);
  configured_changes_.count();
}

std::uint64_t Models::changes() {
  return node_.changes() + configured_changes_.counted() + replicas_.changes() + files_.changes();
}

Models::Listed Models::list() {
  Json data = Json::array();
  std::vector<std::string> names;
  std::vector<FolderHeads::File> found;
  WatchedFiles::Paths files{.folder = models_folder(), .files = {}};
  for (const ExecutorInfo& executor : node_.executors()) {
    names.push_back(executor.config.name);
    files.files.push_back(executor.config.path);
    if (!replicas_.model_of(executor.config.name)) data.push_back(row_of_all(executor));
  }
  if (const auto local = local_models()) {
    for (const LocalModel& model : *local) {
      if (std::ranges::find(names, model.name) != names.end()) continue;
      found.push_back({model.path, unix_seconds_of(model.path)});
      data.push_back(row_of_file(model, found.back()));
    }
  }
  return {.json = {{"object", "list"}, {"data", std::move(data)}},
          .watched = files_.watch(files),
          .unread = heads_.claim(found)};
}

}  // namespace choir::serve
