// Sessions of browsers in virtual time: how they begin, what they may, and how they end.
#include "serve/sessions.h"

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "models/sha256.h"
#include "serve/own_session.h"

namespace choir::serve {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr Scopes kAll = kView | kInfer | kMetrics | kAdmin;

Key key(const std::string& name, Scopes scopes, const std::string& secret = "secret") {
  return {.client = {.key = name, .tenant = name + "-tenant", .weight = 3, .scopes = scopes},
          .sha256 = sha256_of_text(secret)};
}
SessionOwner owner(const Key& key) { return {key.client, key.sha256}; }

class SessionsTest : public testing::Test {
 protected:
  std::string begin(const Key& key) { return *sessions.begin(owner(key)); }
  ManualClock clock;
  Sessions sessions{clock};
};

TEST_F(SessionsTest, HaveATokenOf256BitsThatNobodyElseHas) {
  const std::string one = begin(key("a", kAll));
  const std::string two = begin(key("a", kAll));
  EXPECT_TRUE(Sessions::is_token(one));
  EXPECT_EQ(one.size(), std::string("session-choir-").size() + 43);
  EXPECT_NE(one, two);
  EXPECT_FALSE(Sessions::is_token("sk-choir-" + one.substr(14)));
}

// What of its key's rights a session has, when the keys are others by then.
struct Case {
  std::string name;
  Scopes began;
  std::vector<Key> keys;  // now
  std::optional<Scopes> scopes;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }
class SessionRights : public testing::TestWithParam<Case> {};

TEST_P(SessionRights, AreThoseOfItsKey) {
  const Case& c = GetParam();
  const ManualClock clock;
  Sessions sessions(clock);
  const std::string token = *sessions.begin(owner(key("a", c.began)));
  const auto client = sessions.client_of(token, Keys(c.keys));
  ASSERT_EQ(client.has_value(), c.scopes.has_value());
  if (!client) return;
  EXPECT_EQ(client->scopes, *c.scopes);
  EXPECT_EQ(client->key, "a");
  EXPECT_EQ(client->tenant, "a-tenant");
  EXPECT_EQ(client->session, sha256_of_text(token));
}

const Case kCases[] = {
    {"TheSame", kView | kInfer, {key("b", kAll), key("a", kView | kInfer)}, kView | kInfer},
    {"NeverMoreThanWhenItBegan", kView, {key("a", kAll)}, kView},
    {"LessWhenTheKeyHasLess", kAll, {key("a", kInfer)}, kInfer},
    {"NoneWithoutTheKey", kAll, {key("b", kAll)}, std::nullopt},
    {"NoneOfAnotherKeyOfTheName", kAll, {key("a", kAll, "another")}, std::nullopt},
};
INSTANTIATE_TEST_SUITE_P(, SessionRights, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST_F(SessionsTest, EndAfterTwelveHours) {
  const Keys keys({key("a", kAll)});
  const std::string token = begin(keys.all().front());
  const std::string session = sessions.client_of(token, keys)->session;
  clock.advance(hours(12) - seconds(1));
  EXPECT_TRUE(sessions.client_of(token, keys));
  EXPECT_EQ(sessions.left(session), seconds(1));
  clock.advance(seconds(1));
  EXPECT_FALSE(sessions.client_of(token, keys));
  EXPECT_FALSE(sessions.left(session));
  EXPECT_FALSE(sessions.end(session)) << "it has ended already";
}

TEST_F(SessionsTest, EndWhenTheyAreEnded) {
  const Keys keys({key("a", kAll)});
  const std::string token = begin(keys.all().front());
  const std::string other = begin(keys.all().front());
  const std::string session = sessions.client_of(token, keys)->session;
  EXPECT_TRUE(sessions.end(session));
  EXPECT_FALSE(sessions.end(session));
  EXPECT_FALSE(sessions.client_of(token, keys));
  EXPECT_TRUE(sessions.client_of(other, keys));
}

TEST_F(SessionsTest, OfOneKeyAreBoundedAndTheOldestEnds) {
  const Keys keys({key("a", kAll), key("b", kAll)});
  const std::string of_b = begin(keys.all()[1]);
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i <= Sessions::kOfOneKeyMax; ++i)
    tokens.push_back(begin(keys.all().front()));
  EXPECT_EQ(sessions.size(), Sessions::kOfOneKeyMax + 1);
  EXPECT_FALSE(sessions.client_of(tokens.front(), keys));
  EXPECT_TRUE(sessions.client_of(tokens[1], keys));
  EXPECT_TRUE(sessions.client_of(tokens.back(), keys));
  EXPECT_TRUE(sessions.client_of(of_b, keys));
}

TEST_F(SessionsTest, AreBoundedInAllUntilSomeEnd) {
  for (std::size_t i = 0; i < Sessions::kSessionsMax; ++i)
    ASSERT_TRUE(sessions.begin(owner(key("k" + std::to_string(i), kView))));
  const auto refused = sessions.begin(owner(key("late", kView)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kOverloaded);
  clock.advance(kSessionLives);
  EXPECT_TRUE(sessions.begin(owner(key("late", kView))));
  EXPECT_EQ(sessions.size(), 1U);
}

TEST_F(SessionsTest, BeginOnceWithACode) {
  const std::string code = *sessions.make_code({.client = {.scopes = kAll}}, kLinkLives);
  const auto token = sessions.begin_with_code(code);
  ASSERT_TRUE(token);
  EXPECT_EQ(sessions.client_of(*token, {})->scopes, kAll);
  const auto again = sessions.begin_with_code(code);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::kNotFound);
  EXPECT_FALSE(sessions.begin_with_code(*token)) << "a token is no code";
}

TEST_F(SessionsTest, WithACodeHaveNoMoreThanItsKey) {
  const Keys keys({key("a", kView | kAdmin)});
  const std::string code = *sessions.make_code(owner(keys.all().front()), kLinkLives);
  const auto token = sessions.begin_with_code(code);
  EXPECT_EQ(sessions.client_of(*token, keys)->scopes, kView | kAdmin);
  EXPECT_FALSE(sessions.client_of(*token, {}));
}

TEST_F(SessionsTest, DoNotBeginWithACodeWhoseTimeIsOver) {
  const std::string code = *sessions.make_code({}, kLinkLives);
  const std::string first = *sessions.make_code({}, kFirstLinkLives);
  clock.advance(kLinkLives);
  EXPECT_FALSE(sessions.begin_with_code(code));
  clock.advance(kFirstLinkLives - kLinkLives - seconds(1));
  EXPECT_TRUE(sessions.begin_with_code(first));
}

TEST_F(SessionsTest, HaveFewCodesWaitingAndTheOldestEnds) {
  const std::string oldest = *sessions.make_code({}, kLinkLives);
  const std::string next = *sessions.make_code({}, kLinkLives);
  for (std::size_t i = 1; i < Sessions::kCodesMax; ++i)
    ASSERT_TRUE(sessions.make_code({}, kLinkLives));
  EXPECT_FALSE(sessions.begin_with_code(oldest));
  EXPECT_TRUE(sessions.begin_with_code(next));
}

TEST(PageAt, IsWhereABrowserOfThisMachineReachesIt) {
  EXPECT_EQ(page_at({"http://127.0.0.1:8411", "unix:/run/a"}), "http://127.0.0.1:8411/ui/");
  EXPECT_EQ(page_at({"unix:/run/a", "http://0.0.0.0:80"}), "http://127.0.0.1:80/ui/");
  EXPECT_EQ(page_at({"http://[::]:80"}), "http://[::1]:80/ui/");
  EXPECT_EQ(page_at({"unix:/run/a"}), "");
}

}  // namespace
}  // namespace choir::serve
