// The callers' names of active requests: unique among the executors of a manager.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "choir/ids.h"
#include "choir/result.h"

namespace choir::parallel {

class ExecutorHandle;

class RequestNames {
 public:
  // Takes `name`, or makes one where it is empty. kAlreadyExists while it is active.
  Result<std::string> claim(const std::string& name, const ExecutorHandle* owner);
  void release(const std::string& name);
  // The node has accepted it. True when a cancel came before.
  bool accepted(const std::string& name, RequestId id);

  struct Cancel {
    const ExecutorHandle* owner = nullptr;
    std::optional<RequestId> id;  // nullopt: not accepted yet; accepted() will tell
  };
  // nullopt: not active.
  std::optional<Cancel> cancel(const std::string& name);
  // Of one executor, or of all (nullptr).
  std::vector<std::string> active(const ExecutorHandle* owner) const;
  const ExecutorHandle* owner(const std::string& name) const;

 private:
  struct Entry {
    const ExecutorHandle* owner = nullptr;
    std::optional<RequestId> id;
    bool cancelled = false;
  };
  struct Table {
    std::map<std::string, Entry> entries;
    std::uint64_t next = 1;
  };
  Guarded<Table> table_;
};

}  // namespace choir::parallel
