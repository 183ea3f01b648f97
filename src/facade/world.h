// What all executors and managers of this API share in a process: one node, its conversations, the
// nodes registered beside it. Made with the first executor or manager that is initialized, gone
// with the last.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/workers.h"
#include "choir/model_info.h"
#include "choir/result.h"
#include "context/conversations.h"
#include "runtime/runtime.h"

namespace choir::parallel {

class World {
 public:
  // What a world is made of; tests put a fake engine in.
  struct Parts {
    std::function<Result<std::shared_ptr<Runtime>>()> make_node;
    std::function<Result<std::string>(const std::string&)> resolve;  // a model's name to its file
    std::function<Result<ModelInfo>(const std::string&)> inspect;
  };
  // The process's. kOverloaded and such where its node cannot be made.
  static Result<std::shared_ptr<World>> get();
  // From the next world on; nullopt: the real ones. For tests.
  static void set_parts(std::optional<Parts> parts);

  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  const std::shared_ptr<Runtime>& home() const { return home_; }
  Conversations& conversations() { return *conversations_; }
  Workers& workers() { return *workers_; }
  const Clock& clock() const { return clock_; }

  // The file of a model name, and what it says about itself (read once).
  Result<ModelInfo> model(const std::string& name);

  // An executor's name in the nodes of this process: `wanted`, or with a number where another
  // manager has one of that name.
  std::string take_name(const std::string& wanted);
  void release_name(const std::string& name);
  // What take_name() was asked for.
  std::string llm_id_of(const std::string& name) const;

  // Of all its nodes, those registered later too.
  Status set_policy(ExecutionPolicy policy);
  Status register_node(const std::string& name);
  Status unregister_node(const std::string& name);
  // A node that an executor goes to: it is not unregistered before this ends.
  class Arrival {
   public:
    Arrival(World& world, std::string name, std::shared_ptr<Runtime> node)
        : world_(&world), name_(std::move(name)), node_(std::move(node)) {}
    Arrival(Arrival&& other) noexcept
        : world_(std::exchange(other.world_, nullptr)),
          name_(std::move(other.name_)),
          node_(std::move(other.node_)) {}
    Arrival& operator=(Arrival&&) = delete;
    ~Arrival() {
      if (world_ != nullptr) world_->arrived(name_);
    }
    const std::shared_ptr<Runtime>& node() const { return node_; }

   private:
    World* world_;
    std::string name_;
    std::shared_ptr<Runtime> node_;
  };
  // kNotFound with the names there are. "home" is the first one.
  Result<Arrival> arrive(const std::string& name);
  std::vector<std::string> nodes() const;

 private:
  explicit World(Parts parts);
  static Result<std::shared_ptr<World>> make(Parts parts);

  const Parts parts_;
  SteadyClock clock_;
  std::shared_ptr<Runtime> home_;
  std::unique_ptr<Conversations> conversations_;
  std::unique_ptr<Workers> workers_;
  struct Registered {
    std::shared_ptr<Runtime> node;
    int arriving = 0;
  };
  void arrived(const std::string& name);

  Guarded<std::map<std::string, Registered>> nodes_;
  Guarded<std::map<std::string, ModelInfo>> models_;
  Guarded<std::map<std::string, std::string>> names_;  // to what was wanted
};

}  // namespace choir::parallel
