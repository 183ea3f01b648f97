// Reads what a loaded file says about itself.
#pragma once

#include <string>

#include "choir/model_info.h"
#include "choir/units.h"

struct llama_model;

namespace choir {

// chat_template is left empty: whether it counts is known to LlamaModel only.
ModelInfo read_model_info(const llama_model& model, const std::string& path);

// kInvalidArgument where Choir has no loop for what the model is (ModelInfo::not_run).
Status check_runs(const ModelInfo& info);

// kInvalidArgument where the heads of the model cannot be kept as `type`.
Status check_kv_type(const llama_model& model, const ModelInfo& info, KvType type);

}  // namespace choir
