// Keeps what each tenant of an executor has had, so that prompts of the least served go first:
// start-time fair queueing over computed tokens, with a timeline for each class as in policy/turn.
// A token counts 1 / the weight of the request that it is of.
//
// A tenant that comes, or comes back, starts level with those that compete now, whatever they had
// before. What counts is the time of a timeline: the level of the least served tenant that a pass
// left without all that it wanted. Where a pass left no tenant wanting, no tenant owes another.
//
// A tenant that leaves while it has had more than others is remembered until time has caught up
// with it; else one that sends its next request when the last has ended would never owe anything.
// Beyond `remembered_max` the one that owes least is forgotten, and time goes on to its level: so a
// new name for every request does not keep a tenant that owes waiting for ever.
//
// A value without clock or lock; the thread that has the executor's turn owns it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "choir/units.h"
#include "policy/turn.h"

namespace choir {

struct TenantRules {
  std::size_t remembered_max = 64;  // some bytes each, and looked through when a sequence ends
};

class Tenants {
 public:
  // Of one tenant. Its address stays as long as it has live sequences.
  class Account {
   public:
    std::int32_t live() const { return live_; }

   private:
    friend class Tenants;
    std::array<double, kTimelines> levels_{};  // tokens by weights, on each timeline
    std::int32_t live_ = 0;
    const std::string* name_ = nullptr;  // its key
  };

  explicit Tenants(const TenantRules& rules = {}) : rules_(rules) {}

  // A sequence of the tenant is live from now on.
  Account& came(std::string_view name);
  // One is not live any more; the account may be gone afterwards.
  void left(Account& account);

  // How much it has had; less goes first. Among sequences of this class only.
  double level(const Account& account, Priority priority) const {
    const auto line = static_cast<std::size_t>(priority);
    const double time = lines_[line].time;
    return account.levels_[line] > time ? account.levels_[line] : time;
  }

  // A pass, after it was computed: first which tenants wanted more than it gave, then what it gave
  // to each, then its end.
  void wanted(const Account& account, Priority priority) {
    Line& line = lines_[static_cast<std::size_t>(priority)];
    const double at = level(account, priority);
    if (!line.wanting || at < line.least) line.least = at;
    line.wanting = true;
  }
  // weight > 0: of the requests that the tokens are of.
  void served(Account& account, Priority priority, std::int32_t tokens, double weight) {
    Line& line = lines_[static_cast<std::size_t>(priority)];
    double& own = account.levels_[static_cast<std::size_t>(priority)];
    own = level(account, priority) + tokens / weight;
    if (own > line.most) line.most = own;
  }
  void end_pass();

  // Of tenants with live sequences, and of those that are remembered.
  std::size_t accounts() const { return accounts_.size(); }
  const Account* find(std::string_view name) const;

 private:
  struct Line {
    double time = 0;
    double most = 0;       // the highest level of all
    bool wanting = false;  // in the pass that is being counted
    double least = 0;      // of those that want
  };
  // How far it is ahead of time, at most 0: not at all.
  double debt(const Account& account) const;
  void forget(const Account& account);

  TenantRules rules_;
  std::array<Line, kTimelines> lines_{};
  std::map<std::string, Account, std::less<>> accounts_;
  std::vector<Account*> remembered_;  // without live sequences
};

}  // namespace choir
