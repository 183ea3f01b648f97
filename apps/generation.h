// One model in a node of its own or of a running daemon, and one request at a time in the
// foreground.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "choir/node.h"
#include "remote.h"

namespace choir::app {

struct OpenModel {
  std::unique_ptr<Node> node;  // null: a running daemon has the model
  std::optional<RemoteDaemon> daemon = {};
  std::string name;  // as the user wrote it
  ModelInfo info;
  std::int32_t context_tokens = 0;  // of its executor
};

struct OpenOptions {
  std::int32_t cores = 0;
  std::int32_t context_tokens = 0;  // 0: 4096, or what the model was trained for if that is less
  std::int32_t sequences_max = 1;
  bool prefix_cache = true;
  KvType kv_type = KvType::kF16;
};

// Resolves the name, looks at the file. A model that only embeds is refused.
Result<ModelInfo> generating_model(const std::string& name);

// generating_model(), loaded.
Result<OpenModel> open_model(const std::string& name, const OpenOptions& options);

// The model of that name at the daemon of --host. It is loaded by its first request.
Result<OpenModel> remote_model(const std::string& host, const std::string& name);

// Submits and waits. Ctrl-C ends the request as kCancelled, with what there is of its text; so does
// an output that cannot be written. Text goes to `on_event` as it comes, on another thread.
Result<Completion> generate(const OpenModel& model, const Request& request,
                            const OnEvent& on_event = {});

}  // namespace choir::app
