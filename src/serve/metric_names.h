// Under which names the daemon's figures are told: Choir's own, and those that dashboards for vLLM
// and for llama-server ask for.
//
// Pure: any thread, does not block.
#pragma once

#include <prometheus/metric_family.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "choir/node.h"
#include "choir/result.h"

namespace choir::serve {

// One bit each.
using MetricNames = std::uint8_t;
inline constexpr MetricNames kChoirNames = 1;
inline constexpr MetricNames kVllmNames = 2;
inline constexpr MetricNames kLlamaNames = 4;

// "choir,vllm,llamacpp", or some of these. kInvalidArgument: another word, or none.
Result<MetricNames> metric_names(std::string_view list);

// What the node counts of each executor, under all of `names`.
std::vector<prometheus::MetricFamily> node_families(const std::vector<ExecutorInfo>& executors,
                                                    MetricNames names);

// What the daemon has counted itself, under Choir's names, under all of `names` instead.
std::vector<prometheus::MetricFamily> renamed(std::vector<prometheus::MetricFamily> families,
                                              MetricNames names);

}  // namespace choir::serve
