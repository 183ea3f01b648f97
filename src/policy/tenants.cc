#include "policy/tenants.h"

#include <algorithm>

#include "base/check.h"

namespace choir {

Tenants::Account& Tenants::came(std::string_view name) {
  auto found = accounts_.find(name);
  if (found == accounts_.end()) {
    found = accounts_.emplace(std::string(name), Account{}).first;
    found->second.name_ = &found->first;
  }
  Account& account = found->second;
  if (account.live_++ == 0) std::erase(remembered_, &account);
  return account;
}

void Tenants::left(Account& account) {
  CHOIR_CHECK(account.live_ > 0, "who leaves has come");
  if (--account.live_ > 0) return;
  remembered_.push_back(&account);
  if (remembered_.size() == accounts_.size()) {  // no tenant is left that could be owed anything
    remembered_.clear();
    accounts_.clear();
    lines_ = {};
    return;
  }
  std::erase_if(remembered_, [&](const Account* one) {
    const bool level = debt(*one) <= 0;
    if (level) forget(*one);
    return level;
  });
  if (remembered_.size() <= rules_.remembered_max) return;
  const auto least = std::ranges::min_element(
      remembered_, {}, [&](const Account* one) { return std::pair(debt(*one), *one->name_); });
  for (std::size_t i = 0; i < lines_.size(); ++i)
    lines_[i].time = std::max(lines_[i].time, (*least)->levels_[i]);
  forget(**least);
  remembered_.erase(least);
}

void Tenants::end_pass() {
  for (Line& line : lines_) {
    line.time = line.wanting ? std::max(line.time, line.least) : line.most;
    line.wanting = false;
  }
}

double Tenants::debt(const Account& account) const {
  double most = 0;
  for (std::size_t i = 0; i < lines_.size(); ++i)
    most = std::max(most, account.levels_[i] - lines_[i].time);
  return most;
}

void Tenants::forget(const Account& account) { accounts_.erase(*account.name_); }

const Tenants::Account* Tenants::find(std::string_view name) const {
  const auto found = accounts_.find(name);
  return found == accounts_.end() ? nullptr : &found->second;
}

}  // namespace choir
