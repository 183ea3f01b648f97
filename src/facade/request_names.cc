#include "facade/request_names.h"

namespace choir::parallel {

Result<std::string> RequestNames::claim(const std::string& name, const ExecutorHandle* owner) {
  return table_.with([&](Table& t) -> Result<std::string> {
    std::string taken = name;
    while (taken.empty() || (name.empty() && t.entries.contains(taken)))
      taken = "request_" + std::to_string(t.next++);
    if (!t.entries.try_emplace(taken, Entry{.owner = owner, .id = {}}).second)
      return fail(Code::kAlreadyExists,
                  "a request '" + taken + "' is active already; give each its own id, or none");
    return taken;
  });
}

void RequestNames::release(const std::string& name) {
  table_.with([&](Table& t) { return t.entries.erase(name); });
}

bool RequestNames::accepted(const std::string& name, RequestId id) {
  return table_.with([&](Table& t) {
    const auto found = t.entries.find(name);
    if (found == t.entries.end()) return false;  // it has ended already
    found->second.id = id;
    return found->second.cancelled;
  });
}

std::optional<RequestNames::Cancel> RequestNames::cancel(const std::string& name) {
  return table_.with([&](Table& t) -> std::optional<Cancel> {
    const auto found = t.entries.find(name);
    if (found == t.entries.end()) return std::nullopt;
    found->second.cancelled = true;
    return Cancel{found->second.owner, found->second.id};
  });
}

std::vector<std::string> RequestNames::active(const ExecutorHandle* owner) const {
  return table_.with([&](const Table& t) {
    std::vector<std::string> names;
    for (const auto& [name, entry] : t.entries)
      if (owner == nullptr || entry.owner == owner) names.push_back(name);
    return names;
  });
}

const ExecutorHandle* RequestNames::owner(const std::string& name) const {
  return table_.with([&](const Table& t) {
    const auto found = t.entries.find(name);
    return found == t.entries.end() ? nullptr : found->second.owner;
  });
}

}  // namespace choir::parallel
