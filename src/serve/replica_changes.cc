#include "serve/replica_changes.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "serve/model_state.h"

namespace choir::serve {
namespace {

using Member = Replicas::Member;

Error has_requests(const std::string& executor, std::int32_t count) {
  return {Code::kOverloaded, "'" + executor + "' has " + std::to_string(count) +
                                 " requests; DELETE /choir/v1/models/NAME?requests=cancel ends "
                                 "them with it"};
}

// A request that was sent to it may not be in the node yet. So it gets none from here on, and what
// was sent counts.
Status take_out(Replicas& replicas, const Node& node, const std::string& executor,
                std::vector<Member>& taken) {
  if (auto member = replicas.leave(executor)) taken.push_back(std::move(*member));
  const bool is_awaited =
      !taken.empty() && taken.back().executor == executor && taken.back().is_awaited();
  const std::int32_t active = CHOIR_TRY(node.executor(executor)).active;
  if (active > 0 || is_awaited) return tl::unexpected(has_requests(executor, std::max(active, 1)));
  return {};
}

// All of them, or none.
Status remove_idle(const Services& s, const std::string& model,
                   const std::vector<std::string>& executors) {
  Replicas& replicas = s.models.replicas();
  std::vector<Member> taken;
  for (const std::string& executor : executors) {
    Status out = take_out(replicas, s.node, executor, taken);
    if (out) continue;
    for (Member& member : taken) replicas.join(model, std::move(member));
    return out;
  }
  for (const std::string& executor : executors) {
    CHOIR_CHECK_OK(s.node.remove(executor, Drain::kCancel));
    s.models.forget(executor);
  }
  return {};
}

}  // namespace

Status for_each_replica(const Services& s, const std::string& model,
                        const std::function<Status(const std::string& executor)>& change) {
  for (const std::string& executor : s.models.replicas().of(model))
    CHOIR_CHECK_OK(change(executor));
  return {};
}

Status unload_all(const Services& s, const std::string& model) {
  const auto unload = [&](bool busy_ones) {
    return for_each_replica(s, model, [&](const std::string& executor) -> Status {
      const ExecutorInfo info = CHOIR_TRY(s.node.executor(executor));
      if ((info.active > 0) != busy_ones) return {};
      return s.node.unload(executor);
    });
  };
  CHOIR_CHECK_OK(unload(true));  // refused, unless its requests have just ended
  return unload(false);
}

Status set_replicas(const Services& s, const std::string& model, std::int32_t count) {
  Replicas& replicas = s.models.replicas();
  if (const auto other = replicas.model_of(model))
    return fail(Code::kInvalidArgument,
                "'" + model + "' is a replica of '" + *other + "', which has the number of them");
  std::vector<std::string> there = replicas.of(model);
  if (std::cmp_less(count, there.size())) {
    there.erase(there.begin(), there.begin() + count);
    std::ranges::reverse(there);
    return remove_idle(s, model, there);
  }
  CHOIR_CHECK_OK(s.models.add_replicas(model, count));
  const auto ready = s.node.executor(replicas.ready(model));
  if (!ready || !ready->loaded) return {};
  return for_each_replica(s, model, [&](const std::string& executor) -> Status {
    const ExecutorInfo info = CHOIR_TRY(s.node.executor(executor));
    if (is_cold(info)) CHOIR_TRY(s.node.begin_load(executor));
    return {};
  });
}

Status remove_all(const Services& s, const std::string& model, Requests requests) {
  std::vector<std::string> all = s.models.replicas().of(model);
  std::ranges::reverse(all);  // the last one of a model is the one that has its name
  const std::string group = s.models.replicas().model_of(model).value_or(model);
  if (requests == Requests::kRefuse) return remove_idle(s, group, all);
  for (const std::string& executor : all) {
    s.models.replicas().leave(executor);
    CHOIR_CHECK_OK(s.node.remove(executor, Drain::kCancel));
    s.models.forget(executor);
  }
  return {};
}

}  // namespace choir::serve
