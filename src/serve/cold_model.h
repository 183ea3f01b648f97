// What clients are told of a model that is not in memory: why it cannot be loaded, and who would
// have to leave for it.
//
// Any thread. Only load_refusal() reads files.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "choir/node.h"
#include "serve/api_error.h"

namespace choir::serve {

// A model in memory that does not leave for another one by itself.
struct Stays {
  std::string model;
  std::uint64_t bytes = 0;  // that come free when it leaves, after those before it have left
  std::string why;          // "pinned", "busy" or "idle"
  bool operator==(const Stays&) const = default;
};

// Who would have to leave so that `missing` bytes come free for `wanted`: rather idle ones than
// busy ones, rather those than pinned ones, of each the largest, and none that may as well stay.
// Empty: all of them together would not suffice. Weights count with the last model of their file,
// and not where they are those of `wanted`. Pure.
std::vector<Stays> who_must_leave(std::span<const ExecutorInfo> executors,
                                  const ExecutorConfig& wanted, std::uint64_t missing);

// Completes the error of a load of this executor: one that does not fit also says who would have to
// leave as `would_have_to_leave`. Other errors stay as they are.
ApiError with_room(ApiError error, const Node& node, const std::string& executor);

// The error of a load of the model that a request names.
ApiError load_error(const Node& node, const std::string& executor, const Error& error);

// Why a load of this executor would be refused now; nullopt: it may succeed, or is under way, or
// has been done. Reads the head of the file: for Door::kHeads.
std::optional<ApiError> load_refusal(const Node& node, const std::string& executor);

}  // namespace choir::serve
