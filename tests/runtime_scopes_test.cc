// The reuse scope of a request on its way through a node: from its tenant or by name, and of the KV
// state of a conversation wherever it is.
#include <gtest/gtest.h>

#include "tests/talks.h"

namespace choir {
namespace {

Request of_tenant(const std::string& tenant, const std::string& scope = "") {
  Request r = request("a", "Once upon a time there was a girl");
  r.tenant = tenant;
  r.reuse_scope = scope;
  return r;
}

struct Case {
  std::string name;
  Request first;
  Request second;
  bool reuses;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class RuntimeScopes : public testing::TestWithParam<Case> {};

TEST_P(RuntimeScopes, ReuseOrNot) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a")));
  EXPECT_EQ(runtime->run(GetParam().first)->usage.reused_tokens, 0);
  EXPECT_EQ(runtime->run(GetParam().second)->usage.reused_tokens, GetParam().reuses ? 32 : 0);
}

const Case kCases[] = {
    {"WithoutATenant", of_tenant(""), of_tenant(""), true},
    {"OneTenant", of_tenant("t"), of_tenant("t"), true},
    {"TwoTenants", of_tenant("t"), of_tenant("u"), false},
    {"ATenantAndNone", of_tenant("t"), of_tenant(""), false},
    {"OneTenantInTwoScopes", of_tenant("t", "x"), of_tenant("t", "y"), false},
    {"OneTenantInItsOwnScopeAndAnother", of_tenant("t"), of_tenant("t", "y"), false},
    {"TwoTenantsInOneScope", of_tenant("t", "x"), of_tenant("u", "x"), true},
};
INSTANTIATE_TEST_SUITE_P(, RuntimeScopes, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(ReuseScope, IsChecked) {
  const auto runtime = start();
  ASSERT_TRUE(runtime->add(executor("a")));
  const auto refused = runtime->run(of_tenant("t", std::string(257, 'x')));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kInvalidArgument);
  EXPECT_EQ(refused.error().message, "reuse_scope has 257 bytes, allowed at most 256");
}

// What a conversation's next turn reuses; the turns before are one tenant's.
class ScopesOfTalks : public Talks {
 protected:
  std::int32_t reused_by(const std::string& tenant) {
    Request r = request("a", "And then", 8);
    r.tenant = tenant;
    auto submission = talks_->say(*node_, "c", {.request = r, .system = {}}, {});
    EXPECT_TRUE(submission) << submission.error().message;
    return submission ? submission->result.get().usage.reused_tokens : -1;
  }
  // Two turns of tenant t, the second of which reuses the first; then the KV state goes where
  // `goes` puts it, and a third turn is `tenant`'s.
  std::int32_t third(const std::string& tenant, const std::function<void()>& goes) {
    EXPECT_EQ(reused_by("t"), 0);
    EXPECT_GT(reused_by("t"), 0);
    goes();
    return reused_by(tenant);
  }
  void restart() {
    talks_->detach("a");
    end();
    begin({});
    attach();
  }
};

TEST_F(ScopesOfTalks, InTheCells) {
  ASSERT_TRUE(talks_->attach("a", ""));
  create("c");
  EXPECT_GT(third("t", [] {}), 0);
  EXPECT_EQ(reused_by("u"), 0);
  EXPECT_GT(reused_by("u"), 0) << "the state is of who had the last turn";
}

TEST_F(ScopesOfTalks, OfOneTenantPastAnUnload) {
  ASSERT_TRUE(talks_->attach("a", ""));
  create("c");
  EXPECT_GT(third("t", [&] { ASSERT_TRUE(node_->unload("a")); }), 0);
}

TEST_F(ScopesOfTalks, OfAnotherPastAnUnload) {
  ASSERT_TRUE(talks_->attach("a", ""));
  create("c");
  EXPECT_EQ(third("u", [&] { ASSERT_TRUE(node_->unload("a")); }), 0);
}

TEST_F(ScopesOfTalks, OfOneTenantPastARestart) {
  attach();
  create("c");
  EXPECT_GT(third("t", [&] { restart(); }), 0);
}

TEST_F(ScopesOfTalks, OfAnotherPastARestart) {
  attach();
  create("c");
  EXPECT_EQ(third("u", [&] { restart(); }), 0);
}

TEST_F(ScopesOfTalks, PastAMoveToAnotherNode) {
  for (const std::string tenant : {"t", "u"}) {
    begin({});
    ASSERT_TRUE(talks_->attach("a", ""));
    create("c");
    const auto there = start();
    const auto moves = [&] {
      ASSERT_TRUE(node_->migrate("a", *there));
      node_ = there;
      talks_->moved("a", *node_);
    };
    const std::int32_t reused = third(tenant, moves);
    EXPECT_EQ(reused > 0, tenant == "t") << reused;
  }
}

}  // namespace
}  // namespace choir
