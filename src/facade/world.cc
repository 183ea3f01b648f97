#include "facade/world.h"

#include <optional>

#include "base/caught.h"
#include "base/threads.h"
#include "choir/catalog.h"
#include "choir/text.h"

namespace choir::parallel {
namespace {

// Loads at once; more would only take memory from each other. Those that wait for one executor
// begin in their order; as many may wait as a node takes of them.
constexpr Workers::Limits kLoaders{.threads = 4, .at_once = 1, .waiting_max = 1024};

struct Current {
  std::weak_ptr<World> world;
  std::optional<World::Parts> parts;
};

Guarded<Current>& current() {
  static auto* const shared = new Guarded<Current>;  // outlives all static objects
  return *shared;
}

World::Parts real_parts() {
  return {.make_node = [] { return create_runtime({}); },
          .resolve = [](const std::string& name) { return resolve_model(name); },
          .inspect = [](const std::string& path) { return inspect_model(path); }};
}

template <class Nodes>
tl::unexpected<Error> unknown_node(const std::string& name, const Nodes& nodes) {
  std::string known = "home";
  for (const auto& [other, registered] : nodes) known += ", " + other;
  return fail(Code::kNotFound, "no node '" + printable_line(name, 60) +
                                   "' is registered in this process, only " + known);
}

}  // namespace

Result<std::shared_ptr<World>> World::get() {
  return current().with([](Current& c) -> Result<std::shared_ptr<World>> {
    if (auto alive = c.world.lock()) return alive;
    auto world = CHOIR_TRY(caught([&] { return make(c.parts ? *c.parts : real_parts()); }));
    c.world = world;
    return world;
  });
}

Result<std::shared_ptr<World>> World::make(Parts parts) {
  std::unique_ptr<World> made(new World(std::move(parts)));
  made->conversations_ = CHOIR_TRY(Conversations::start());
  made->workers_ = CHOIR_TRY(Workers::start(kLoaders));
  made->home_ = CHOIR_TRY(made->parts_.make_node());
  made->conversations_->serve(*made->home_);
  return std::shared_ptr<World>(made.release(), delete_where_it_may_join<World>);
}

void World::set_parts(std::optional<Parts> parts) {
  current().with([&](Current& c) {
    c.parts = std::move(parts);
    c.world.reset();
    return 0;
  });
}

World::World(Parts parts) : parts_(std::move(parts)) {}

World::~World() {
  workers_.reset();
  nodes_.with([](auto& nodes) {
    for (auto& [name, registered] : nodes) registered.node->shutdown(Drain::kCancel);
    nodes.clear();
    return 0;
  });
  // Before the conversations, which the ends of its requests go through.
  if (home_) home_->shutdown(Drain::kCancel);
  home_.reset();
}

Result<ModelInfo> World::model(const std::string& name) {
  const std::string path = CHOIR_TRY(parts_.resolve(name));
  auto known = models_.with([&](const auto& models) {
    const auto found = models.find(path);
    return found == models.end() ? std::optional<ModelInfo>() : found->second;
  });
  if (known) return std::move(*known);
  ModelInfo info = CHOIR_TRY(parts_.inspect(path));
  info.path = path;
  models_.with([&](auto& models) { return models.insert_or_assign(path, info).second; });
  return info;
}

std::string World::take_name(const std::string& wanted) {
  return names_.with([&](auto& names) {
    std::string name = wanted;
    for (int i = 2; !names.emplace(name, wanted).second; ++i)
      name = wanted + "#" + std::to_string(i);
    return name;
  });
}

void World::release_name(const std::string& name) {
  names_.with([&](auto& names) { return names.erase(name); });
}

std::string World::llm_id_of(const std::string& name) const {
  return names_.with([&](const auto& names) {
    const auto found = names.find(name);
    return found == names.end() ? name : found->second;
  });
}

Status World::set_policy(ExecutionPolicy policy) {
  CHOIR_CHECK_OK(home_->set_policy(policy));
  return nodes_.with([&](auto& nodes) -> Status {
    for (auto& [name, registered] : nodes) CHOIR_CHECK_OK(registered.node->set_policy(policy));
    return {};
  });
}

Status World::register_node(const std::string& name) {
  if (name.empty() || name == "home")
    return fail(Code::kInvalidArgument, "a node needs a name of its own, other than 'home'");
  return nodes_.with([&](auto& nodes) -> Status {
    if (nodes.contains(name))
      return fail(Code::kAlreadyExists, "a node '" + name + "' is registered already");
    auto node = CHOIR_TRY(parts_.make_node());
    conversations_->serve(*node);
    CHOIR_CHECK_OK(node->set_policy(home_->policy()));
    nodes.emplace(name, Registered{std::move(node)});
    return {};
  });
}

Status World::unregister_node(const std::string& name) {
  if (name == "home")
    return fail(Code::kInvalidArgument, "'home' is there as long as anything is on it");
  std::shared_ptr<Runtime> gone;  // ends outside of the lock
  return nodes_.with([&](auto& nodes) -> Status {
    const auto found = nodes.find(name);
    if (found == nodes.end()) return unknown_node(name, nodes);
    const auto count = found->second.node->executors().size();
    if (count > 0 || found->second.arriving > 0)
      return fail(Code::kOverloaded,
                  "node '" + name + "' has " +
                      (count > 0 ? std::to_string(count) + " executors"
                                 : std::string("an executor that is just coming")) +
                      "; migrate or shut them down first");
    gone = std::move(found->second.node);
    nodes.erase(found);
    return {};
  });
}

Result<World::Arrival> World::arrive(const std::string& name) {
  if (name == "home") return Arrival(*this, name, home_);
  return nodes_.with([&](auto& nodes) -> Result<Arrival> {
    const auto found = nodes.find(name);
    if (found == nodes.end()) return unknown_node(name, nodes);
    ++found->second.arriving;
    return Arrival(*this, name, found->second.node);
  });
}

void World::arrived(const std::string& name) {
  nodes_.with([&](auto& nodes) {
    if (const auto found = nodes.find(name); found != nodes.end()) --found->second.arriving;
  });
}

std::vector<std::string> World::nodes() const {
  return nodes_.with([](const auto& nodes) {
    std::vector<std::string> names = {"home"};
    for (const auto& [name, registered] : nodes) names.push_back(name);
    return names;
  });
}

}  // namespace choir::parallel
