// The reuse scopes of an executor: a small id for each scope that has a sequence, a kept state or
// cached cells in it. KV cells are reused inside one scope only (policy/share.h).
//
// Owned by an executor and used by the thread that has its turn. Never blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "core/kv_state.h"

namespace choir {

class ReuseScopes {
 public:
  class Scope {
   public:
    Scope(ReuseScopes& table, std::string_view name, ScopeId id)
        : table_(table), name_(name), id_(id) {}
    ~Scope() { table_.forget(name_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    const std::string& name() const { return name_; }
    ScopeId id() const { return id_; }

   private:
    ReuseScopes& table_;
    const std::string name_;
    const ScopeId id_;
  };
  // Keeps a scope in the table. Must be gone before the table is. Two are equal if and only if they
  // are of the same scope.
  using Held = std::shared_ptr<const Scope>;

  ReuseScopes() = default;
  ReuseScopes(const ReuseScopes&) = delete;
  ReuseScopes& operator=(const ReuseScopes&) = delete;

  // The scope of this name, which may be empty. A scope that nothing holds any more is forgotten;
  // its id is not used again.
  Held hold(std::string_view name);
  std::size_t count() const { return by_name_.size(); }

 private:
  void forget(const std::string& name) { by_name_.erase(name); }

  std::map<std::string, std::weak_ptr<const Scope>, std::less<>> by_name_;
  std::uint64_t last_ = 0;
};

}  // namespace choir
