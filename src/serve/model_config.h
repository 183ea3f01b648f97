// What the configuration says of one model. Plain values; any thread.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "choir/config.h"
#include "serve/json_in.h"

namespace choir::serve {

// What a request to the model has where it says nothing itself.
struct RequestDefaults {
  std::int32_t max_tokens = 0;     // 0: to the end of the context
  std::string system = {};         // first message of a chat that has no system message
  Json sampling = Json::object();  // fields of serve/fields.h, checked
  std::optional<std::chrono::milliseconds> keep_alive = {};
  Priority priority = Priority::kNormal;  // of the executor
};

struct ModelConfig {
  std::string name = {};   // that clients use; empty: that of `model`
  std::string model = {};  // a name of the models folder or the catalogue, or the path of a file
  std::vector<std::string> aliases = {};
  bool preload = false;
  bool pinned = false;
  std::int32_t replicas = 1;        // executors that share its requests
  std::int32_t context_tokens = 0;  // of one sequence; 0: that of ModelDefaults
  std::int32_t sequences = 0;       // 0: those of ModelDefaults
  std::optional<KvType> kv_type = {};
  double shares = 1;
  Batching batching = Batching::kContinuous;
  std::int32_t batch_tokens = 512;
  bool prefix_cache = true;
  RequestDefaults requests = {};
};

// The name by which clients know it: "a" of the file "/models/a.gguf".
std::string client_name(const ModelConfig& model);

// What is wrong with a name that somebody chooses: "takes ..., not ..."; nullopt: nothing. A slash
// is allowed, as in "org/model": paths have it as it is, or as %2F.
std::optional<std::string> wrong_name(std::string_view name);
// The same of a number of tokens for a prompt and its answer, of which each has one at least; 0 is
// for one that is set elsewhere.
std::optional<std::string> wrong_context_tokens(std::int64_t tokens);
// What POST /choir/v1/models/NAME/ACTION does, by which no name may end.
inline constexpr auto kModelActions =
    std::to_array<std::string_view>({"load", "unload", "suspend", "resume", "pin", "unpin",
                                     "resize", "update", "clone", "replicas"});

}  // namespace choir::serve
