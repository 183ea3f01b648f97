#include "serve/model_rows.h"

#include <string>

#include "choir/machine.h"
#include "choir/priority_named.h"
#include "serve/model_state.h"

namespace choir::serve {

Json model_row(const ExecutorInfo& e) {
  return {{"name", e.config.name},
          {"path", e.config.path},
          {"state", state_of(e)},
          {"load_progress", e.loading ? Json(*e.loading) : Json(nullptr)},
          {"priority", to_string(e.config.priority)},
          {"shares", e.config.shares},
          {"pinned", e.config.pinned},
          {"sequences_max", e.config.sequences_max},
          {"sequence_tokens_max", e.config.sequence_tokens_max},
          {"context_tokens", e.config.context_tokens},
          {"kv_type", to_string(e.config.kv_type)},
          {"running", e.running},
          {"waiting", e.waiting},
          {"cells", e.cells},
          {"cached_cells", e.cached_cells},
          {"weight_bytes", e.memory.weights},
          {"kv_bytes", e.memory.kv},
          {"compute_bytes", e.memory.compute},
          {"prompt_tokens", e.prompt_tokens},
          {"output_tokens", e.output_tokens},
          {"reused_tokens", e.reused_tokens},
          {"requests_done", e.requests_done},
          {"requests_failed", e.requests_failed},
          {"preemptions", e.preemptions},
          {"load_seconds", e.load_seconds},
          {"compute_seconds", e.compute_seconds},
          {"threads", e.threads}};
}

void add_replicas(const Replicas& replicas, Json& row) {
  const std::string name = row["name"].get<std::string>();
  if (const auto model = replicas.model_of(name)) row["replica_of"] = *model;
  if (const auto all = replicas.of(name); all.size() > 1) row["replicas"] = all.size();
}

Json node_row(const NodeInfo& node) {
  static const std::string kernels = version().kernels;
  return {{"cores", node.cores},
          {"kernels", kernels},
          {"lanes", node.lanes},
          {"memory_bytes_max", node.memory_bytes_max},
          {"memory_bytes_promised", node.memory_bytes_promised},
          {"requests_active", node.requests_active},
          {"draining", node.door_closed}};
}

}  // namespace choir::serve
