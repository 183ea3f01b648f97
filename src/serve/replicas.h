// Replicas of models: which executors share the requests of one model, and where a request goes.
//
// The first executor has the name of its model, the others are "NAME@2", "NAME@3", ... A request to
// one of these names goes to that executor alone.
//
// Any thread may call; no call blocks.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/change_count.h"
#include "base/guarded.h"
#include "choir/node.h"
#include "serve/prefix_holders.h"
#include "serve/replica_choice.h"

namespace choir::serve {

inline constexpr std::int32_t kReplicasMax = 16;

// Pure.
std::string replica_name(const std::string& model, std::int32_t number);

// A request on its way to an executor. Until it is let go, the executor is not idle.
struct Sent {
  std::string model;     // that the request names
  std::string executor;  // that computes it
  PromptSight sight = {};
  bool wants_all = false;  // replicas that are not in memory are to be loaded
  std::shared_ptr<const bool> coming = {};
};

class Replicas {
 public:
  // One that takes requests of its model.
  struct Member {
    std::string executor;
    // Shared by each Sent.
    std::shared_ptr<const bool> coming = std::make_shared<const bool>(true);

    bool is_awaited() const { return coming.use_count() > 1; }
  };

  // The node outlives this object.
  explicit Replicas(Node& node) : node_(node) {}

  // ---- groups
  // All executors of a model, itself first; of any other name that alone.
  std::vector<std::string> of(const std::string& model) const;
  // The model that this one is a replica of; nullopt also for the first one.
  std::optional<std::string> model_of(const std::string& executor) const;
  void join(const std::string& model, Member member);
  // From now on it gets no requests of its model; nullopt: it got none.
  std::optional<Member> leave(const std::string& executor);
  void forget(const std::string& model);
  // Grows with each change of the groups. Does not block.
  std::uint64_t changes() const { return changes_.counted(); }

  // ---- requests
  // Where a request for this model goes.
  Sent send(const std::string& model, const PromptSight& sight);
  // The node has it, with so many tokens in its prompt (0: not known yet). Begins to load the
  // model's replicas that are wanted in memory.
  void taken(Sent sent, std::int32_t prompt_tokens);
  // One of the model's executors that is in memory, or else the first.
  std::string ready(const std::string& model) const;

 private:
  struct Group {
    std::vector<Member> members;  // by number
    std::shared_ptr<PrefixHolders> holders = std::make_shared<PrefixHolders>();
  };
  using Groups = std::map<std::string, Group>;  // by model; of those with replicas

  std::vector<Replica> look(const Group& group) const;

  Node& node_;
  Guarded<Groups> groups_;
  ChangeCount changes_;
};

}  // namespace choir::serve
