// The executors that were added to a node, in memory or not, by name and by id. Any thread; its
// lock is held for a lookup only, and may be taken under the lock of ActiveRequests.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/change_count.h"
#include "base/guarded.h"
#include "base/scope_end.h"
#include "choir/config.h"
#include "choir/ids.h"
#include "choir/model_info.h"
#include "choir/result.h"
#include "core/frozen_executor.h"

namespace choir {

class Executor;
struct ExecutorStats;

struct ExecutorRow {
  ExecutorId id;
  ExecutorConfig config;  // the truth; its executor has a copy
  ModelInfo model;
  std::shared_ptr<ExecutorStats> stats;
  std::shared_ptr<Executor> executor;  // null: not in memory
  double load_seconds = 0;
  double compute_seconds = 0;  // until it was last unloaded, or moved
  double due_seconds = 0;      // the same of what its shares gave it; of this node alone
  Epoch epoch;                 // of the move by which it came; {0}: it was added
};

class ExecutorTable {
 public:
  // A copy. An empty name is the only executor, where there is one. kNotFound has the nearest name.
  Result<ExecutorRow> row(std::string_view name) const;
  // nullopt: it has gone.
  std::optional<ExecutorRow> row(ExecutorId id) const;
  bool contains(std::string_view name) const;
  // By name.
  std::vector<ExecutorRow> rows() const;
  // Null: not in memory, or no executor at all.
  std::shared_ptr<Executor> loaded(std::string_view name) const;
  std::shared_ptr<Executor> loaded(ExecutorId id) const;

  // False: there is one of that name.
  [[nodiscard]] bool insert(ExecutorRow row);
  void erase(const ExecutorRow& row);
  // Calls change(ExecutorRow&) under the lock. Needs: an executor of that name.
  template <class F>
  auto change(const std::string& name, F&& change) {
    return state_.with([&](State& s) {
      const ScopeEnd counted([&] { changes_.count(); });
      return std::forward<F>(change)(s.by_name.at(name));
    });
  }
  // How often rows came, went or changed.
  std::uint64_t changes() const { return changes_.counted(); }

 private:
  struct State {
    std::map<std::string, ExecutorRow, std::less<>> by_name;
    std::map<ExecutorId, std::string> names;
  };
  Guarded<State> state_;
  ChangeCount changes_;
};

}  // namespace choir
