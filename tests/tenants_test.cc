#include "policy/tenants.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace choir {
namespace {

constexpr Priority kNormal = Priority::kNormal;

// What happened to an executor, in order. "A+": a sequence of A came; "A-": one left; "A?": A
// wanted more than the pass gave; "A7": the pass computed 7 tokens of A; "|": the pass is over.
void play(Tenants& tenants, const std::string& events) {
  std::map<char, Tenants::Account*> live;
  for (std::size_t i = 0; i < events.size(); ++i) {
    const char name = events[i];
    if (name == ' ') continue;
    if (name == '|') {
      tenants.end_pass();
      continue;
    }
    const char what = events.at(++i);
    if (what == '+') {
      live[name] = &tenants.came(std::string(1, name));
    } else if (what == '-') {
      tenants.left(*live.at(name));
    } else if (what == '?') {
      tenants.wanted(*live.at(name), kNormal);
    } else {
      std::size_t digits = 0;
      tenants.served(*live.at(name), kNormal, std::stoi(events.substr(i), &digits), 1);
      i += digits - 1;
    }
  }
}

struct Case {
  std::string name;
  std::string events;
  std::map<std::string, double> want;  // the level of each account that there is
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class TenantRows : public testing::TestWithParam<Case> {};

TEST_P(TenantRows, HaveTheseLevels) {
  const Case& c = GetParam();
  Tenants tenants;
  play(tenants, c.events);
  EXPECT_EQ(tenants.accounts(), c.want.size());
  for (const auto& [name, level] : c.want) {
    const Tenants::Account* account = tenants.find(name);
    ASSERT_NE(account, nullptr) << name;
    EXPECT_EQ(tenants.level(*account, kNormal), level) << name;
  }
}

const Case kCases[] = {
    {"WhatWasComputedCounts", "A+ B+ B? A5 |", {{"A", 5}, {"B", 0}}},
    {"NobodyWantsSoNobodyOwes", "A+ B+ A500 B1 |", {{"A", 500}, {"B", 500}}},
    {"ANewcomerIsLevelWithTheLeastServedThatWants",
     "A+ B+ A? B? A9 B5 | A? B? B4 | C+",
     {{"A", 9}, {"B", 9}, {"C", 5}}},
    {"WhoDoesNotCompeteHoldsNobodyDown",
     "A+ B+ B? A? A1 | A? A500 | A? A1 | C+",
     {{"A", 502}, {"B", 501}, {"C", 501}}},
    {"WhoComesBackHasNoClaimOnThePast",
     "A+ B+ B? A9 | B- A? A100 | A? A1 | B+",
     {{"A", 110}, {"B", 109}}},
    {"WhoComesBackStillOwes", "A+ B+ B? A100 | A- B? B2 | A+", {{"A", 100}, {"B", 2}}},
    {"ADebtIsForgottenOnceTimeHasCaughtUp", "A+ B+ B? A4 | A- C+ B? B7 | B? B1 | C-", {{"B", 8}}},
    {"WhereNobodyIsLeftAllIsForgotten", "A+ B+ B? A100 | A- B- C+", {{"C", 0}}},
    {"AnotherSequenceOfATenantChangesNothing", "A+ B+ B? A5 | A+ A-", {{"A", 5}, {"B", 0}}},
};
INSTANTIATE_TEST_SUITE_P(, TenantRows, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(Tenants, EachClassHasATimelineOfItsOwn) {
  Tenants tenants;
  auto& a = tenants.came("A");
  auto& b = tenants.came("B");
  tenants.wanted(b, Priority::kLow);
  tenants.wanted(b, kNormal);
  tenants.served(a, kNormal, 100, 1);
  tenants.end_pass();
  EXPECT_EQ(tenants.level(a, kNormal), 100);
  EXPECT_EQ(tenants.level(b, kNormal), 0);
  EXPECT_EQ(tenants.level(a, Priority::kLow), 0);
}

TEST(Tenants, ATokenCountsByTheWeightOfItsOwnRequest) {
  Tenants tenants;
  auto& a = tenants.came("A");
  auto& b = tenants.came("B");
  tenants.wanted(a, kNormal);
  tenants.wanted(b, kNormal);
  tenants.served(a, kNormal, 10, 2);
  tenants.served(a, kNormal, 10, 0.5);
  tenants.served(b, kNormal, 10, 1);
  tenants.end_pass();
  EXPECT_EQ(tenants.level(a, kNormal), 25);
  EXPECT_EQ(tenants.level(b, kNormal), 10);
}

TEST(Tenants, TheOneThatOwesLeastIsForgottenFirst) {
  Tenants tenants({.remembered_max = 2});
  auto& stays = tenants.came("stays");
  for (const char* name : {"b", "c", "a"}) tenants.came(name);
  const auto account = [&](const char* name) -> Tenants::Account& {
    return tenants.came(name);  // and leaves twice
  };
  tenants.wanted(stays, kNormal);
  std::int32_t tokens = 0;
  for (const char* name : {"b", "c", "a"}) tenants.served(account(name), kNormal, tokens += 10, 1);
  tenants.end_pass();
  for (const char* name : {"b", "c", "a"}) {
    auto& one = account(name);
    for (int i = 0; i < 3; ++i) tenants.left(one);
  }
  EXPECT_EQ(tenants.find("b"), nullptr);
  EXPECT_NE(tenants.find("c"), nullptr);
  EXPECT_NE(tenants.find("a"), nullptr);
}

// An executor that computes one slice in a pass, of the least served tenant, for tenants that come
// and go at random.
class Server {
 public:
  static constexpr std::int32_t kSliceMax = 20;
  explicit Server(std::uint32_t seed) : rng_(seed) {}

  int upto(int n) { return 1 + static_cast<int>(rng_() % static_cast<unsigned>(n)); }

  void ask(const std::string& tenant, std::int32_t tokens, double weight = 1) {
    work_.push_back({tenant, tokens, weight, &tenants.came(tenant)});
  }
  void pass() {
    const auto best = std::ranges::min_element(
        work_, {}, [&](const Work& w) { return tenants.level(*w.account, kNormal); });
    if (best == work_.end()) return tenants.end_pass();
    const std::int32_t count = std::min(best->tokens, kSliceMax);
    for (auto at = work_.begin(); at != work_.end(); ++at)
      if (at != best || count < best->tokens) tenants.wanted(*at->account, kNormal);
    tenants.served(*best->account, kNormal, count, best->weight);
    tenants.end_pass();
    last = best->tenant;
    got[last] += count / best->weight;
    best->tokens -= count;
    if (best->tokens > 0) return;
    tenants.left(*best->account);
    work_.erase(best);
  }
  int queued(const std::string& tenant) const {
    return static_cast<int>(std::ranges::count(work_, tenant, &Work::tenant));
  }
  std::size_t tenants_live() const {
    std::map<std::string, int> names;
    for (const Work& w : work_) ++names[w.tenant];
    return names.size();
  }

  Tenants tenants;
  std::map<std::string, double> got;  // by weights
  std::string last;                   // that was served

 private:
  struct Work {
    std::string tenant;
    std::int32_t tokens;
    double weight;
    Tenants::Account* account;
  };
  std::mt19937 rng_;
  std::vector<Work> work_;
};

TEST(TenantsProperty, WhoAlwaysWantsIsNeverFarBehindAnybody) {
  for (std::uint32_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Server server(seed);
    const double weight = server.upto(4);
    // A past that must not matter.
    for (int i = server.upto(50); i > 0; --i) server.ask("steady", server.upto(100));
    for (int i = server.upto(300); i > 0; --i) server.pass();
    server.got.clear();
    std::uint64_t names = 0;
    for (int i = 0; i < 2000; ++i) {
      while (server.queued("steady") < 2) server.ask("steady", server.upto(100), weight);
      while (server.queued("other") < 2) server.ask("other", server.upto(30), server.upto(3));
      // Tenants that send one request after the other, and such that come once under a new name.
      if (server.queued("again") == 0) server.ask("again", server.upto(60));
      if (server.upto(4) == 1) server.ask("new " + std::to_string(names++), server.upto(10));
      server.pass();
      ASSERT_LE(server.got[server.last] - server.got["steady"], 3 * Server::kSliceMax)
          << server.last << " after " << i;
      ASSERT_LE(server.got["steady"] - server.got["other"], 3 * Server::kSliceMax);
      ASSERT_LE(server.tenants.accounts(), server.tenants_live() + TenantRules{}.remembered_max);
    }
  }
}

// Each comes level with the least served: nobody but they would make time go on.
TEST(TenantsProperty, WhoOwesIsServedBesideNamesWithoutEndToo) {
  Server server(1);
  server.ask("owes", Server::kSliceMax, 0.02);
  server.ask("name", 10);
  server.pass();
  ASSERT_EQ(server.got["owes"], 50 * Server::kSliceMax);
  server.ask("owes", 10);
  int names = 0;
  for (; server.queued("owes") > 0 && names < 20'000; ++names) {
    server.ask("name " + std::to_string(names), 10);
    server.pass();
  }
  EXPECT_LT(names, 10'000);
}

// A tenant for every request, as somebody would send that wants more than its part: each starts
// level, so what it takes is what as many tenants would get, and the table stays small.
TEST(TenantsProperty, NamesWithoutEndTakeNoRoom) {
  Server server(1);
  for (int i = 0; i < 20'000; ++i) {
    server.ask("name " + std::to_string(i), 1);
    server.pass();
    ASSERT_LE(server.tenants.accounts(), 1 + TenantRules{}.remembered_max);
  }
}

}  // namespace
}  // namespace choir
