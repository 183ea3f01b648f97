#include "serve/cold_model.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "serve/model_state.h"

namespace choir::serve {
namespace {

constexpr std::chrono::seconds kBusyWait{5};  // an answer takes some seconds

using Executors = std::vector<const ExecutorInfo*>;

int rank_of(const ExecutorInfo& executor) {
  if (executor.config.pinned) return 2;
  return executor.active > 0 ? 1 : 0;
}

std::string_view why_of(const ExecutorInfo& executor) {
  constexpr std::string_view kWhys[] = {"idle", "busy", "pinned"};
  return kWhys[rank_of(executor)];
}

std::uint64_t own_bytes(const ExecutorInfo& executor) {
  return executor.memory.kv + executor.memory.compute;
}

std::uint64_t all_bytes(const ExecutorInfo& executor) {
  return own_bytes(executor) + executor.memory.weights;
}

// What each of `leave` gives back, one after another. Weights go with the last one of their file.
std::vector<std::uint64_t> freed_by(const Executors& leave, const Executors& in_memory,
                                    const std::string& wanted_path) {
  std::multiset<std::string_view> users = {wanted_path};
  for (const ExecutorInfo* executor : in_memory) users.insert(executor->config.path);
  std::vector<std::uint64_t> freed;
  for (const ExecutorInfo* executor : leave) {
    users.erase(users.find(executor->config.path));
    const bool last = !users.contains(executor->config.path);
    freed.push_back(last ? all_bytes(*executor) : own_bytes(*executor));
  }
  return freed;
}

std::uint64_t sum_of(const std::vector<std::uint64_t>& all) {
  std::uint64_t sum = 0;
  for (const std::uint64_t one : all) sum += one;
  return sum;
}

}  // namespace

std::vector<Stays> who_must_leave(std::span<const ExecutorInfo> executors,
                                  const ExecutorConfig& wanted, std::uint64_t missing) {
  Executors in_memory;
  for (const ExecutorInfo& executor : executors)
    if (executor.loaded && executor.config.name != wanted.name) in_memory.push_back(&executor);
  std::ranges::sort(in_memory, [](const ExecutorInfo* one, const ExecutorInfo* other) {
    const int rank = rank_of(*one);
    const int rank_of_other = rank_of(*other);
    if (rank != rank_of_other) return rank < rank_of_other;
    return all_bytes(*one) > all_bytes(*other);
  });
  const auto enough = [&](const Executors& leave) {
    return sum_of(freed_by(leave, in_memory, wanted.path)) >= missing;
  };
  Executors leave;
  for (auto next = in_memory.begin(); next != in_memory.end() && !enough(leave); ++next)
    leave.push_back(*next);
  if (!enough(leave)) return {};
  // Of those that came first some may stay, now that larger ones leave.
  for (std::size_t i = 0; i < leave.size();) {
    Executors others = leave;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    if (enough(others))
      leave = std::move(others);
    else
      ++i;
  }
  const std::vector<std::uint64_t> freed = freed_by(leave, in_memory, wanted.path);
  std::vector<Stays> told;
  for (std::size_t i = 0; i < leave.size(); ++i)
    told.push_back({leave[i]->config.name, freed[i], std::string(why_of(*leave[i]))});
  return told;
}

ApiError with_room(ApiError error, const Node& node, const std::string& executor) {
  const auto fact = [&](std::string_view name) -> std::int64_t {
    const auto found = std::ranges::find(error.facts, name, &Fact::name);
    return found == error.facts.end() ? 0 : found->value;
  };
  const std::int64_t missing = fact("need_bytes") - fact("free_bytes");
  const auto wanted = node.executor(executor);
  if (error.code != "out_of_memory" || missing <= 0 || !wanted) return error;
  const std::vector<Stays> leave =
      who_must_leave(node.executors(), wanted->config, static_cast<std::uint64_t>(missing));
  Json rows = Json::array();
  for (const Stays& one : leave)
    rows.push_back({{"model", one.model}, {"bytes", one.bytes}, {"state", one.why}});
  error.more["would_have_to_leave"] = std::move(rows);
  // Room comes when those have ended that work now.
  const auto stays = [](const Stays& one) { return one.why == "pinned"; };
  if (!leave.empty() && std::ranges::none_of(leave, stays)) error.headers = retry_after(kBusyWait);
  return error;
}

ApiError load_error(const Node& node, const std::string& executor, const Error& error) {
  return with_room(model_error(error), node, executor);
}

std::optional<ApiError> load_refusal(const Node& node, const std::string& executor) {
  const auto known = node.executor(executor);
  if (!known) return model_error(known.error());
  if (!is_cold(*known)) return std::nullopt;
  const Status may_load = node.check_load(executor);
  if (may_load) return std::nullopt;
  return load_error(node, executor, may_load.error());
}

}  // namespace choir::serve
