// An executor's configuration changes in two ways that do not know of each other: update() changes
// its settings, resize() its sizes. Each writes its own fields only, so neither undoes the other.
#pragma once

#include <optional>
#include <string_view>

#include "choir/config.h"
#include "choir/result.h"

namespace choir {

// What Runtime::update() may change.
void take_settings(ExecutorConfig& to, const ExecutorConfig& from);
// What Runtime::resize() changes.
void take_sizes(ExecutorConfig& to, const ExecutorConfig& from);
// `config` with the sizes that resize() asks for. A length above `trained` tokens, what the model
// was trained for (0: not known), is lowered to it. batch_tokens_max 0: as it is.
// kInvalidArgument, with the limits, for sizes that no executor can have.
Status change_sizes(ExecutorConfig& config, std::int32_t trained, std::int32_t sequences_max,
                    std::int32_t sequence_tokens_max, std::int32_t batch_tokens_max);
// The first field besides settings in which the two differ.
std::optional<std::string_view> fixed_difference(const ExecutorConfig& one,
                                                 const ExecutorConfig& other);

}  // namespace choir
