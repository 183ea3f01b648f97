// The models of the daemon: names that clients use, and the executors of the node behind them.
//
// Any thread may call. Each executor has the name of its model.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/change_count.h"
#include "base/guarded.h"
#include "choir/catalog.h"
#include "choir/config.h"
#include "choir/model_info.h"
#include "choir/node.h"
#include "serve/folder_heads.h"
#include "serve/json_in.h"
#include "serve/model_config.h"
#include "serve/replicas.h"
#include "serve/watched_files.h"

namespace choir::serve {

// The sizes of executors that the daemon declares.
struct ModelDefaults {
  // Of one sequence, prompt and output together; 0: kContextTokens. What a model was trained for is
  // the limit.
  std::int32_t context_tokens = 0;
  std::int32_t sequences_max = 8;
  KvType kv_type = KvType::kF16;
  // After the last request of each tenant; not set: until the memory is needed.
  std::optional<std::chrono::milliseconds> keep_alive = {};
};
inline constexpr std::int32_t kContextTokens = 4096;

// What the model is for, as in "capabilities".
Json capabilities_of(const ModelInfo& info);

class Models {
 public:
  // The node outlives this object.
  Models(Node& node, const ModelDefaults& defaults)
      : node_(node), defaults_(defaults), replicas_(node) {}

  // The executor of a name: of one that is declared, with or without ".gguf"; of an alias. Of an
  // empty name: the only one, or the only one that is declared for another reason than that a
  // request has named it. kNotFound, with the nearest name. Does not block.
  Result<std::string> known(std::string_view name) const;
  // known(), or else a file of the models folder is declared, by its name there or by that of the
  // catalogue. Reads the folder, and tries a file that was not seen before (seconds). A path is no
  // name here.
  Result<std::string> find(std::string_view name);
  // Whether known() or find() may have it: kNotFound with the nearest name. Reads the folder.
  Status is_there(std::string_view name) const;
  // The config that find() gives a model; of one that is declared, its own. As find(), but nothing
  // is declared.
  Result<ExecutorConfig> config_of(std::string_view name) const;
  // As the user of this machine names a model: a path, too. One that is declared already stays as
  // it is. kAlreadyExists: an alias or a replica has the name of another one, or another file has
  // this name. Nothing is declared then.
  Result<std::string> declare(const ModelConfig& model);
  // An executor of this very config, of the daemon's API. `info`: of its file. kAlreadyExists: the
  // name is an alias of another one.
  Status declare(const ExecutorConfig& config, const ModelInfo& info);
  // The same of a copy: what the configuration says of `like`, its aliases apart, is the copy's,
  // too. Reads the file.
  Status declare_copy(const ExecutorConfig& config, const std::string& like);
  // More executors of a model, of the same file and settings, until it has `count` in all. They
  // share its requests from now on. All of them are declared, or none.
  Status add_replicas(const std::string& model, std::int32_t count);
  Replicas& replicas() { return replicas_; }
  // Of an executor that the node does not have any more: its aliases and what the configuration
  // says of its requests. Does not block.
  void forget(const std::string& executor);

  // What a request to this executor has where it says nothing. Does not block.
  RequestDefaults defaults_of(const std::string& executor) const;

  // The lists of GET /v1/models and of one model. Reads the models folder.
  struct Listed {
    Json json;
    // Nothing of it changes without a change of changes(), as that was before list() was called.
    bool watched = false;
    // Files whose heads it lacks; the caller has them read, or leaves them to the next list.
    std::vector<FolderHeads::File> unread = {};
  };
  Listed list();
  // Tenths of a second each; later lists show them.
  void read_heads(const std::vector<FolderHeads::File>& files);
  void leave_heads(const std::vector<FolderHeads::File>& files) { heads_.leave(files); }
  Result<Json> one(std::string_view name);
  // As Node::changes(), of all that list() shows. Does not block.
  std::uint64_t changes();

 private:
  // What the configuration says, by executor, and whose alias a name is.
  struct Configured {
    std::map<std::string, std::shared_ptr<const ModelConfig>> models;
    std::map<std::string, std::string, std::less<>> aliases;
    std::map<std::string, std::shared_ptr<const ModelInfo>> files;  // what was read when declared
    // Of the models folder, declared because a request named them.
    std::set<std::string, std::less<>> only_found;
  };
  // Calls change(Configured&) under the lock.
  template <class F>
  void configure(F&& change) {
    configured_.with([&](Configured& c) {
      std::forward<F>(change)(c);
      configured_changes_.count();
    });
  }
  Result<LocalModel> file_of(std::string_view name) const;
  Result<ExecutorConfig> config_of_file(const ModelConfig& model, const std::string& path,
                                        const ModelInfo& info) const;
  Result<std::string> declare_file(const ModelConfig& model, const std::string& path);
  Status declare_as(const ExecutorConfig& config, std::shared_ptr<const ModelInfo> info,
                    const std::string& like);
  Status declare_replicas(const ExecutorConfig& like, const std::vector<std::string>& names);
  Status are_free(const std::vector<std::string>& aliases) const;
  std::vector<std::string> aliases_of(const std::string& executor) const;
  std::shared_ptr<const ModelInfo> file_info_of(const std::string& executor) const;
  Error not_found(std::string_view name) const;
  Json row(const ExecutorInfo& executor) const;
  Json row_of_all(const ExecutorInfo& first) const;
  Json row_of_file(const LocalModel& model, const FolderHeads::File& file) const;
  Node& node_;
  const ModelDefaults defaults_;
  Guarded<bool> declaring_;  // one at a time: two requests may name the same new model
  Guarded<Configured> configured_;
  ChangeCount configured_changes_;
  Replicas replicas_;
  WatchedFiles files_;
  FolderHeads heads_;  // of files that are not declared
};

}  // namespace choir::serve
