#include "runtime/executor_table.h"

#include "choir/text.h"
#include "runtime/executor.h"

namespace choir {

Result<ExecutorRow> ExecutorTable::row(std::string_view name) const {
  return state_.with([&](const State& s) -> Result<ExecutorRow> {
    if (name.empty()) {
      if (s.by_name.size() == 1) return s.by_name.begin()->second;
      return fail(Code::kInvalidArgument, "no executor is named, and the node has " +
                                              std::to_string(s.by_name.size()) + " of them");
    }
    if (const auto found = s.by_name.find(name); found != s.by_name.end()) return found->second;
    std::vector<std::string> known;
    for (const auto& [other, row] : s.by_name) known.push_back(other);
    std::string message = "no executor is named '" + std::string(name) + "'";
    if (const auto close = nearest(name, known)) message += "; the nearest is '" + *close + "'";
    return fail(Code::kNotFound, message);
  });
}

std::optional<ExecutorRow> ExecutorTable::row(ExecutorId id) const {
  return state_.with([&](const State& s) -> std::optional<ExecutorRow> {
    const auto found = s.names.find(id);
    if (found == s.names.end()) return std::nullopt;
    return s.by_name.at(found->second);
  });
}

bool ExecutorTable::contains(std::string_view name) const {
  return state_.with([&](const State& s) { return s.by_name.contains(name); });
}

std::vector<ExecutorRow> ExecutorTable::rows() const {
  return state_.with([](const State& s) {
    std::vector<ExecutorRow> all;
    all.reserve(s.by_name.size());
    for (const auto& [name, row] : s.by_name) all.push_back(row);
    return all;
  });
}

std::shared_ptr<Executor> ExecutorTable::loaded(std::string_view name) const {
  return state_.with([&](const State& s) {
    const auto found = s.by_name.find(name);
    return found == s.by_name.end() ? nullptr : found->second.executor;
  });
}

std::shared_ptr<Executor> ExecutorTable::loaded(ExecutorId id) const {
  return state_.with([&](const State& s) {
    const auto found = s.names.find(id);
    return found == s.names.end() ? nullptr : s.by_name.at(found->second).executor;
  });
}

bool ExecutorTable::insert(ExecutorRow row) {
  return state_.with([&](State& s) {
    if (s.by_name.contains(row.config.name)) return false;
    s.names.emplace(row.id, row.config.name);
    std::string name = row.config.name;
    s.by_name.emplace(std::move(name), std::move(row));
    changes_.count();
    return true;
  });
}

void ExecutorTable::erase(const ExecutorRow& row) {
  state_.with([&](State& s) {
    s.by_name.erase(row.config.name);
    s.names.erase(row.id);
    changes_.count();
  });
}

}  // namespace choir
