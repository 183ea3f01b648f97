#include "runtime/reuse_scopes.h"

namespace choir {

ReuseScopes::Held ReuseScopes::hold(std::string_view name) {
  if (const auto found = by_name_.find(name); found != by_name_.end()) return found->second.lock();
  auto scope = std::make_shared<const Scope>(*this, name, ScopeId{++last_});
  by_name_.emplace(scope->name(), scope);
  return scope;
}

}  // namespace choir
