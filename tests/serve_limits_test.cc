// What one client may have of the server: connections, requests at once, and wrong keys.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "serve/accounts.h"
#include "serve/wrong_keys.h"

namespace choir::serve {
namespace {

using namespace std::chrono_literals;

constexpr Instant at(Nanos time) { return Instant{time}; }

// ---- wrong keys ---------------------------------------------------------------------------------

int wrong_keys_taken(WrongKeys& keys, std::string_view address, Instant now, int tries = 30) {
  int taken = 0;
  for (int i = 0; i < tries; ++i) taken += keys.may_fail(address, now) ? 1 : 0;
  return taken;
}

TEST(WrongKeys, AreTenASecondFromOneAddress) {
  WrongKeys keys;
  EXPECT_EQ(wrong_keys_taken(keys, "a", at(0s)), 10);
  EXPECT_EQ(wrong_keys_taken(keys, "a", at(99ms)), 0);
  EXPECT_EQ(wrong_keys_taken(keys, "a", at(150ms)), 1);
  EXPECT_EQ(wrong_keys_taken(keys, "a", at(650ms)), 5);
  EXPECT_EQ(wrong_keys_taken(keys, "a", at(1h)), 10) << "no more than at once";
}

TEST(WrongKeys, OfOneAddressDoNotCountForAnother) {
  WrongKeys keys;
  wrong_keys_taken(keys, "a", at(0s));
  EXPECT_EQ(wrong_keys_taken(keys, "b", at(0s)), 10);
}

TEST(WrongKeys, AreRememberedOfSoManyAddresses) {
  WrongKeys keys({.per_second = 10, .addresses_max = 3});
  for (const char* address : {"a", "b", "c"}) wrong_keys_taken(keys, address, at(0s));
  keys.may_fail("b", at(10ms));
  EXPECT_TRUE(keys.may_fail("d", at(20ms)));
  EXPECT_EQ(keys.addresses(), 3U);
  EXPECT_FALSE(keys.may_fail("b", at(30ms))) << "the one that came last is still known";
  EXPECT_TRUE(keys.may_fail("e", at(2s)));
  EXPECT_EQ(keys.addresses(), 1U) << "the others may send as many again, as if they were new";
}

TEST(WrongKeys, ComeFromANetworkOfIpv6) {
  EXPECT_EQ(network_of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
  EXPECT_EQ(network_of("2001:db8:1:2:ffff::1"), "2001:db8:1:2::");
  EXPECT_EQ(network_of("::1"), "::");
  EXPECT_EQ(network_of("127.0.0.1"), "127.0.0.1");
  EXPECT_EQ(network_of("unknown"), "unknown");
}

// ---- accounts -----------------------------------------------------------------------------------

const Client kAlice{.key = "alice", .tenant = "acme"};
const Client kAnn{.key = "ann", .tenant = "acme"};
const Client kZoe{.key = "zoe", .tenant = "zeta"};
const Client kNobody{};

// The status of the refusal; 0: it may.
int begin(Accounts& accounts, std::uint64_t connection, const Client& client, bool infers = true) {
  const auto refusal = accounts.begin(connection, client, infers);
  return refusal ? refusal->status : 0;
}

Accounts small() { return Accounts({.connections_of_key = 2, .requests_of_tenant = 2}); }

TEST(Accounts, OfATenantThatIsAloneHaveNoLimit) {
  Accounts accounts = small();
  EXPECT_EQ(begin(accounts, 1, kAlice), 0);
  EXPECT_EQ(begin(accounts, 2, kAlice), 0);
  EXPECT_EQ(begin(accounts, 3, kAnn), 0);
}

TEST(Accounts, OfATenantBesideAnotherHaveALimit) {
  Accounts accounts = small();
  for (const std::uint64_t connection : {1U, 2U}) begin(accounts, connection, kAlice);
  EXPECT_EQ(begin(accounts, 9, kZoe), 0);
  EXPECT_EQ(begin(accounts, 3, kAnn), 429);
  accounts.end_request(1);
  EXPECT_EQ(begin(accounts, 3, kAnn), 0);
  EXPECT_EQ(begin(accounts, 1, kAlice), 429);
  EXPECT_EQ(begin(accounts, 1, kAlice, false), 0) << "what does not compute has none";
  accounts.end_request(9);
  EXPECT_EQ(begin(accounts, 1, kAlice), 0) << "alone again";
}

TEST(Accounts, OfAConnectionThatHasGoneAreGivenBack) {
  Accounts accounts = small();
  for (const std::uint64_t connection : {1U, 2U}) begin(accounts, connection, kAlice);
  begin(accounts, 9, kZoe);
  accounts.end_connection(1);
  EXPECT_EQ(begin(accounts, 3, kAlice), 0);
  accounts.end_connection(7);  // that brought no request
}

TEST(Accounts, WithoutAKeyHaveNoLimit) {
  Accounts accounts = small();
  begin(accounts, 9, kZoe);
  for (std::uint64_t connection = 1; connection < 5; ++connection)
    EXPECT_EQ(begin(accounts, connection, kNobody), 0);
}

TEST(Accounts, OfOneKeyHaveSoManyConnections) {
  Accounts accounts = small();
  EXPECT_EQ(begin(accounts, 1, kAlice, false), 0);
  EXPECT_EQ(begin(accounts, 2, kAlice, false), 0);
  EXPECT_EQ(begin(accounts, 3, kAlice, false), 429);
  EXPECT_EQ(begin(accounts, 1, kAlice, false), 0) << "its next request";
  EXPECT_EQ(begin(accounts, 3, kAnn, false), 0) << "another key of the tenant";
  EXPECT_EQ(begin(accounts, 1, kNobody, false), 0) << "the connection has another client now";
  EXPECT_EQ(begin(accounts, 4, kAlice, false), 0);
  accounts.end_connection(2);
  EXPECT_EQ(begin(accounts, 5, kAlice, false), 0);
}

TEST(Accounts, SayWhenToTryAgain) {
  Accounts accounts({.connections_of_key = 0, .requests_of_tenant = 2});
  const auto refusal = accounts.begin(1, kAlice, true);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->headers, retry_in_a_second());
  EXPECT_NE(refusal->message.find("'alice' has 0 connections"), std::string::npos);
}

}  // namespace
}  // namespace choir::serve
