// Why a request waits: a reason for programs, the numbers behind it, and one sentence for people.
// Made of what the node shows of its requests and executors, when somebody looks; no pass and no
// lane takes part in it.
//
//   loading       last_load_seconds    its model is not in memory; the number where it was before
//   sequences     in_use, max          all sequences of its model are in use
//   cells         need, free           it has lost its KV cells and waits for room
//   class         class, model         requests of a better class compute, in this model
//   share         models               these models compute; its own has a turn after them
//   queue         -                    one request at a time, in groups, or the next pass
//   conversation, reader, suspended    as the sentence says
//
// Pure; any thread. Names of models are in it, and nothing of a request of another tenant but its
// class.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "choir/node.h"
#include "serve/json_in.h"

namespace choir::serve {

class WhyWaits {
 public:
  // All active requests, the executors and the policy of the node. `executors` outlive this.
  WhyWaits(std::span<const RequestInfo> requests, std::span<const ExecutorInfo> executors,
           ExecutionPolicy policy);
  // Has `reason`, `text` and the numbers; nullopt where it does not wait.
  std::optional<Json> of(const RequestInfo& request) const;

 private:
  std::optional<Json> of_turn(const RequestInfo& request) const;

  const bool classes_;  // they count for turns
  std::map<std::string_view, const ExecutorInfo*> executors_;
  std::set<std::string> computing_;           // models with a request in their passes
  Priority best_computing_ = Priority::kLow;  // of those requests
  std::string best_model_;                    // of one of that class; empty: none computes
};

}  // namespace choir::serve
