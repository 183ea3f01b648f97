// An executor stands still, leaves memory, grows, moves to another node, has a copy.
#include "facade/executor_handle.h"

namespace choir::parallel {

Status ExecutorHandle::suspend() {
  return where_it_is([](const Place& here) { return here.node->suspend(here.name); });
}

Status ExecutorHandle::resume() {
  return where_it_is([](const Place& here) { return here.node->resume(here.name); });
}

// A node does not know it any more the moment after it has moved.
Status ExecutorHandle::where_it_is(const std::function<Status(const Place&)>& call) const {
  Place here = CHOIR_TRY(place());
  for (;;) {
    Status status = call(here);
    if (status || status.error().code != Code::kNotFound) return status;
    auto now = place();
    if (!now || now->node == here.node) return status;
    here = std::move(*now);
  }
}

Status ExecutorHandle::load() {
  return change([&]() -> Status {
    const Place here = CHOIR_TRY(place());
    return here.node->load(here.name);
  });
}

Status ExecutorHandle::unload() {
  return change([&]() -> Status {
    const Place here = CHOIR_TRY(place());
    return here.node->unload(here.name);
  });
}

bool ExecutorHandle::loaded() const {
  const auto here = place();
  return here && here->node->in_memory(here->name);
}

Status ExecutorHandle::scale(std::size_t batch, std::size_t length) {
  return change([&]() -> Status {
    const Place here = CHOIR_TRY(place());
    LLMExecutionConfig wanted = config();
    wanted.batchSize = batch;
    wanted.maxSequenceLength = length;
    CHOIR_CHECK_OK(read_settings(wanted));
    CHOIR_CHECK_OK(here.node->resize(here.name, static_cast<std::int32_t>(batch),
                                     static_cast<std::int32_t>(length)));
    state_.with([&](State& s) {
      s.config.batchSize = batch;
      s.config.maxSequenceLength = length;
    });
    return {};
  });
}

Status ExecutorHandle::migrate(const std::string& node) {
  return change([&]() -> Status {
    const Place here = CHOIR_TRY(place());
    const World::Arrival arrival = CHOIR_TRY(here.world->arrive(node));
    const std::shared_ptr<Runtime>& target = arrival.node();
    if (target == here.node) return {};
    return here.node->migrate(here.name, *target, [&] {
      here.world->conversations().moved(here.name, *target);
      state_.with([&](State& s) {
        if (!s.place) return;
        s.place->node = target;
        s.place->node_name = node;
      });
    });
  });
}

Status ExecutorHandle::clone(const std::string& id) {
  const Place here = CHOIR_TRY(place());
  const Adopter adopter = state_.with([](const State& s) { return s.adopter; });
  if (!adopter)
    return fail(Code::kInvalidArgument, "nobody could reach the clone: '" + config().llmId +
                                            "' belongs to no manager; create it with createLLM()");
  LLMExecutionConfig wanted = config();
  const std::string group = this->group().empty() ? wanted.llmId : this->group();
  wanted.llmId = id;
  wanted.parameters["group"] = group;
  auto copy = std::make_shared<ExecutorHandle>(wanted, names_);
  copy->set_node(here.node_name);
  CHOIR_CHECK_OK(adopter(copy));  // checks the id and the limit, and initializes it
  const Place there = CHOIR_TRY(copy->place());
  CHOIR_CHECK_OK(here.world->conversations().copy_all(here.name, there.name));
  state_.with([&](State& s) {
    s.settings.group = group;
    s.config.parameters["group"] = group;
    return 0;
  });
  return {};
}

}  // namespace choir::parallel
