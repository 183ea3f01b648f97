#include "facade/world.h"

#include <optional>
#include <thread>

#include "base/caught.h"
#include "choir/catalog.h"
#include "choir/text.h"
#include "runtime/dispatcher.h"

namespace choir::parallel {
namespace {

// Loads at once; more would only take memory from each other. Those that wait for one executor
// begin in their order; as many may wait as a node takes of them.
constexpr Workers::Limits kLoaders{.threads = 4, .at_once = 1, .waiting_max = 1024};
// While one text is computed the next one is cut into tokens. A suspended executor takes no more.
constexpr Workers::Limits kEmbedders{.threads = 4, .at_once = 2, .waiting_max = 1024};

struct Current {
  std::weak_ptr<World> world;
  std::optional<World::Parts> parts;
};

Guarded<Current>& current() {
  static Guarded<Current> current;
  return current;
}

World::Parts real_parts() {
  return {.make_node = [] { return create_runtime({}); },
          .resolve = [](const std::string& name) { return resolve_model(name); },
          .inspect = [](const std::string& path) { return inspect_model(path); }};
}

// Joins the node's threads, so not on one of them.
void end(World* world) {
  if (Dispatcher::on_dispatcher_thread() || Workers::on_worker_thread())
    std::thread([world] { delete world; }).detach();
  else
    delete world;
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
  made->workers_ = CHOIR_TRY(Workers::start(kLoaders));
  made->embedders_ = CHOIR_TRY(Workers::start(kEmbedders));
  made->home_ = CHOIR_TRY(made->parts_.make_node());
  made->conversations_->serve(*made->home_);
  return std::shared_ptr<World>(made.release(), end);
}

void World::set_parts(std::optional<Parts> parts) {
  current().with([&](Current& c) {
    c.parts = std::move(parts);
    c.world.reset();
    return 0;
  });
}

World::World(Parts parts)
    : parts_(std::move(parts)), conversations_(std::make_unique<Conversations>()) {}

World::~World() {
  embedders_.reset();
  workers_.reset();
  nodes_.with([](auto& nodes) {
    for (auto& [name, node] : nodes) node->shutdown(Drain::kCancel);
    nodes.clear();
    return 0;
  });
  home_.reset();  // before the conversations that its requests tell
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
    for (auto& [name, node] : nodes) CHOIR_CHECK_OK(node->set_policy(policy));
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
    nodes.emplace(name, std::move(node));
    return {};
  });
}

Status World::unregister_node(const std::string& name) {
  std::shared_ptr<Runtime> node = CHOIR_TRY(this->node(name));
  if (const auto count = node->executors().size(); count > 0)
    return fail(Code::kOverloaded, "node '" + name + "' has " + std::to_string(count) +
                                       " executors; migrate or shut them down first");
  nodes_.with([&](auto& nodes) { return nodes.erase(name); });
  return {};
}

Result<std::shared_ptr<Runtime>> World::node(const std::string& name) const {
  if (name == "home") return home_;
  return nodes_.with([&](const auto& nodes) -> Result<std::shared_ptr<Runtime>> {
    const auto found = nodes.find(name);
    if (found != nodes.end()) return found->second;
    std::string known = "home";
    for (const auto& [other, node] : nodes) known += ", " + other;
    return fail(Code::kNotFound, "no node '" + printable_line(name, 60) +
                                     "' is registered in this process, only " + known);
  });
}

std::vector<std::string> World::nodes() const {
  return nodes_.with([](const auto& nodes) {
    std::vector<std::string> names = {"home"};
    for (const auto& [name, node] : nodes) names.push_back(name);
    return names;
  });
}

}  // namespace choir::parallel
