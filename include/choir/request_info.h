// Active requests, as Node::requests() and Node::place() show them. Plain values, for display: they
// were true at some instant of the call, and the request may have gone on since.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "choir/ids.h"
#include "choir/units.h"

namespace choir {

enum class RequestPhase : std::uint8_t {
  kLoading,       // its executor is not in memory
  kWaiting,       // accepted; no pass has computed anything of it yet
  kPrefill,       // its prompt is computed
  kDecode,        // it generates
  kParked,        // it has lost its KV cells to others and waits for room
  kSuspended,     // its executor is suspended
  kReaderBehind,  // it stands still until its reader has taken text
  kEnding,        // all is computed; its end is being stored or told
};
inline constexpr std::array<std::string_view, 8> kRequestPhaseNames = {
    "loading", "waiting", "prefill", "decode", "parked", "suspended", "reader_behind", "ending"};
constexpr std::string_view to_string(RequestPhase phase) {
  return kRequestPhaseNames.at(static_cast<std::size_t>(phase));
}

// Why a request does not compute.
enum class WaitsFor : std::uint8_t {
  kNothing,       // it takes part in its executor's passes
  kLoad,          // its executor
  kEarlierTurn,   // an earlier turn of its conversation: its prompt is not known yet
  kCompany,       // others that were submitted to begin together with it
  kResume,        // its executor is suspended
  kReader,        // the text that has not been read is as long as it may be
  kOtherRequest,  // policy kSequential: another request of the node runs
  kSlot,          // all sequences_max of its executor are in use
  kBatch,         // its executor lets requests begin one at a time or in groups
  kCells,         // KV cells for what it had computed
  kTurn,          // the next passes of its executor, or those that go before it
};
inline constexpr std::array<std::string_view, 11> kWaitsForNames = {
    "nothing",       "load", "earlier_turn", "company", "resume", "reader",
    "other_request", "slot", "batch",        "cells",   "turn"};
constexpr std::string_view to_string(WaitsFor what) {
  return kWaitsForNames.at(static_cast<std::size_t>(what));
}

struct RequestInfo {
  RequestId id;
  std::string executor;
  std::string tenant;
  Priority priority = Priority::kNormal;  // as submitted; waiting may have lifted it
  RequestPhase phase = RequestPhase::kWaiting;
  WaitsFor waits_for = WaitsFor::kTurn;
  std::int32_t prompt_tokens = 0;       // 0: not known yet
  std::int32_t prompt_tokens_done = 0;  // of those, with KV state: computed, or found from before
  std::int32_t output_tokens = 0;       // generated so far
  std::int32_t max_tokens = 0;          // at most
  std::int32_t reused_tokens = 0;       // as Usage::reused_tokens
  double age_seconds = 0;               // since it was submitted
  // As in Usage, once they are known.
  double held_seconds = 0;
  std::optional<double> queue_seconds = {};
  std::optional<double> first_token_seconds = {};
};

struct QueuePlace {
  // Requests that wait and get a slot of the executor before it does; 0 when it has begun. By
  // class with what waiting has earned, then by turns of the tenants, then by age.
  std::int32_t ahead = 0;
  // Until its first pass, where all that begins before it generates as much as it may: the
  // remaining tokens at the executor's measured seconds per token, with sequences_max requests
  // sharing the compute evenly. What other executors need of the cores, KV cells that run out and
  // cached prompts are not in it. 0 when it has begun. nullopt where nothing has been measured yet,
  // and where it waits for what has no estimate: a load, resume(), an earlier turn, company.
  std::optional<double> seconds;
  bool operator==(const QueuePlace&) const = default;
};

}  // namespace choir
