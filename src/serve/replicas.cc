#include "serve/replicas.h"

#include <algorithm>
#include <utility>

#include "serve/model_state.h"

namespace choir::serve {
namespace {

std::size_t place_in(const std::vector<Replicas::Member>& members, const std::string& executor) {
  return static_cast<std::size_t>(
      std::ranges::find(members, executor, &Replicas::Member::executor) - members.begin());
}

// "a@9" before "a@10".
bool comes_before(const Replicas::Member& one, const Replicas::Member& other) {
  if (one.executor.size() != other.executor.size())
    return one.executor.size() < other.executor.size();
  return one.executor < other.executor;
}

}  // namespace

std::string replica_name(const std::string& model, std::int32_t number) {
  return number == 1 ? model : model + "@" + std::to_string(number);
}

// ---- groups -------------------------------------------------------------------------------------

std::vector<std::string> Replicas::of(const std::string& model) const {
  return groups_.with([&](const Groups& groups) {
    std::vector<std::string> names;
    const auto found = groups.find(model);
    if (found == groups.end()) return std::vector{model};
    for (const Member& member : found->second.members) names.push_back(member.executor);
    return names;
  });
}

std::optional<std::string> Replicas::model_of(const std::string& executor) const {
  return groups_.with([&](const Groups& groups) -> std::optional<std::string> {
    for (const auto& [model, group] : groups)
      if (model != executor && place_in(group.members, executor) < group.members.size())
        return model;
    return std::nullopt;
  });
}

void Replicas::join(const std::string& model, Member member) {
  groups_.with([&](Groups& groups) {
    std::vector<Member>& members = groups[model].members;
    if (members.empty()) members.push_back({.executor = model});
    members.insert(std::ranges::upper_bound(members, member, comes_before), std::move(member));
    changes_.count();
  });
}

std::optional<Replicas::Member> Replicas::leave(const std::string& executor) {
  return groups_.with([&](Groups& groups) -> std::optional<Member> {
    for (auto& [model, group] : groups) {
      const std::size_t place = place_in(group.members, executor);
      if (model == executor || place == group.members.size()) continue;
      Member member = std::move(group.members[place]);
      group.members.erase(group.members.begin() + static_cast<std::ptrdiff_t>(place));
      changes_.count();
      return member;
    }
    return std::nullopt;
  });
}

void Replicas::forget(const std::string& model) {
  groups_.with([&](Groups& groups) {
    groups.erase(model);
    changes_.count();
  });
}

// ---- requests -----------------------------------------------------------------------------------

// Those that the node still has.
std::vector<Replica> Replicas::look(const Group& group) const {
  std::vector<Replica> replicas;
  for (const Member& member : group.members)
    if (auto info = node_.executor(member.executor))
      replicas.push_back({.info = std::move(*info),
                          .coming = static_cast<std::int32_t>(member.coming.use_count()) - 1});
  return replicas;
}

// Under the lock, so that of two requests at once the second one sees where the first one went.
Sent Replicas::send(const std::string& model, const PromptSight& sight) {
  return groups_.with([&](const Groups& groups) -> Sent {
    const auto found = groups.find(model);
    if (found == groups.end()) return {.model = model, .executor = model, .sight = sight};
    const Group& group = found->second;
    const std::vector<Replica> replicas = look(group);
    const auto holder = sight.mark ? group.holders->find(*sight.mark) : std::nullopt;
    const auto place = chosen(replicas, sight, holder);
    if (!place) return {.model = model, .executor = model, .sight = sight};
    const std::string& executor = replicas[*place].info.config.name;
    return {.model = model,
            .executor = executor,
            .sight = sight,
            .wants_all = wants_all(replicas),
            .coming = group.members[place_in(group.members, executor)].coming};
  });
}

void Replicas::taken(Sent sent, std::int32_t prompt_tokens) {
  if (!sent.coming) return;  // its model has no replicas
  const std::int32_t tokens = prompt_tokens > 0 ? prompt_tokens : guessed_tokens(sent.sight);
  const auto holders = groups_.with([&](const Groups& groups) {
    const auto found = groups.find(sent.model);
    return found == groups.end() ? nullptr : found->second.holders;
  });
  if (holders && sent.sight.mark)
    holders->note(*sent.sight.mark, {.executor = sent.executor, .tokens = tokens});
  if (!sent.wants_all) return;
  for (const std::string& executor : of(sent.model))
    if (const auto info = node_.executor(executor); info && is_cold(*info))
      static_cast<void>(node_.begin_load(executor, {.heed_failures = true}));
}

std::string Replicas::ready(const std::string& model) const {
  for (const std::string& executor : of(model)) {
    const auto info = node_.executor(executor);
    if (info && info->loaded) return executor;
  }
  return model;
}

}  // namespace choir::serve
