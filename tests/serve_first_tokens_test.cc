#include "serve/first_tokens.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

namespace choir::serve {
namespace {

using Seconds = std::vector<double>;

RequestInfo active(std::uint64_t id, std::optional<double> first_token = {}) {
  RequestInfo info;
  info.id = {id};
  info.first_token_seconds = first_token;
  return info;
}

Seconds fresh(FirstTokens& tokens, const std::vector<RequestInfo>& requests,
              const std::vector<FirstToken>& ended = {}) {
  return tokens.fresh(requests, ended);
}

TEST(FirstTokens, AreToldWhileTheirRequestsWrite) {
  FirstTokens tokens;
  EXPECT_EQ(fresh(tokens, {active(1), active(2, 0.5)}), (Seconds{0.5}));
  EXPECT_EQ(fresh(tokens, {active(1, 2.0), active(2, 0.5)}), (Seconds{2.0}));
  EXPECT_EQ(fresh(tokens, {active(1, 2.0), active(2, 0.5)}), Seconds{});
}

TEST(FirstTokens, OfRequestsThatHaveEndedAreToldOnce) {
  FirstTokens tokens;
  EXPECT_EQ(fresh(tokens, {active(1, 2.0)}), (Seconds{2.0}));
  EXPECT_EQ(fresh(tokens, {}, {{{1}, 2.0}, {{2}, 0.1}}), (Seconds{0.1}))
      << "the second came and went between two looks";
}

TEST(FirstTokens, OfARequestThatEndsDuringALookAreToldOnce) {
  FirstTokens tokens;
  EXPECT_EQ(fresh(tokens, {active(1, 2.0)}, {{{1}, 2.0}}), (Seconds{2.0}));
  EXPECT_EQ(fresh(tokens, {}), Seconds{});
}

}  // namespace
}  // namespace choir::serve
