// Requests that have ended, in virtual time.
#include "serve/ended_requests.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"

namespace choir::serve {
namespace {

using std::chrono::minutes;

Client client(const std::string& tenant, Scopes scopes = kView) {
  Client one;
  one.tenant = tenant;
  one.scopes = scopes;
  return one;
}

std::vector<std::string> ids(const Json& rows) {
  std::vector<std::string> all;
  for (const Json& row : rows) all.push_back(row.at("id").get<std::string>());
  return all;
}
using Ids = std::vector<std::string>;

class EndedRequestsTest : public testing::Test {
 protected:
  void end(std::uint64_t id, const std::string& tenant = "a", const Usage& usage = {}) {
    ended_.on_request_ended({.id = {id},
                             .executor = "m",
                             .tenant = tenant,
                             .finish = Finish::kLength,
                             .error = std::nullopt,
                             .usage = usage});
  }
  const std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>();
  EndedRequests ended_{clock_};
};

TEST_F(EndedRequestsTest, AreToldNewestFirst) {
  end(1);
  end(2);
  EXPECT_EQ(ids(ended_.shown(client("a"), 0)), (Ids{"2", "1"}));
}

TEST_F(EndedRequestsTest, AreThoseOfOnesTenantUnlessOneMaySeeAll) {
  end(1, "a");
  end(2, "b");
  EXPECT_EQ(ids(ended_.shown(client("a"), 0)), (Ids{"1"}));
  EXPECT_EQ(ids(ended_.shown(client("a", kView | kAdmin), 0)), (Ids{"2", "1"}));
}

TEST_F(EndedRequestsTest, AreForgottenAfterAWhile) {
  end(1);
  clock_->advance(minutes(10));
  end(2);
  clock_->advance(minutes(6));
  EXPECT_EQ(ids(ended_.shown(client("a"), 0)), (Ids{"2"}));
  clock_->advance(minutes(10));
  EXPECT_TRUE(ended_.shown(client("a"), 0).empty());
}

TEST_F(EndedRequestsTest, AreAThousandAtMost) {
  for (std::uint64_t id = 1; id <= EndedRequests::kMost + 5; ++id) end(id);
  const Json rows = ended_.shown(client("a"), 0);
  ASSERT_EQ(rows.size(), EndedRequests::kMost);
  EXPECT_EQ(rows.back().at("id"), "6");
}

TEST_F(EndedRequestsTest, TellHowTheirTimeWasSpent) {
  end(1, "a",
      {.prompt_tokens = 9,
       .output_tokens = 11,
       .reused_tokens = 4,
       .queue_seconds = 1.5,
       .held_seconds = 1.0,
       .parked_seconds = 0.25,
       .first_token_seconds = 2.0,
       .total_seconds = 4.0});
  clock_->advance(minutes(1));
  const Json row = ended_.shown(client("a"), 1'000'000).front();
  EXPECT_EQ(row.at("ended_ms"), 940'000);
  EXPECT_EQ(row.at("submitted_ms"), 936'000);
  EXPECT_EQ(row.at("held_seconds"), 1.0);
  EXPECT_EQ(row.at("parked_seconds"), 0.25);
  EXPECT_EQ(row.at("tokens_per_second"), 5.0) << "10 tokens in the 2 s behind the first";
  EXPECT_EQ(row.at("finish"), "length");
  EXPECT_EQ(row.at("error"), nullptr);
}

TEST_F(EndedRequestsTest, HaveNoSpeedOfOneToken) {
  end(1, "a", {.output_tokens = 1, .first_token_seconds = 2.0, .total_seconds = 4.0});
  EXPECT_EQ(ended_.shown(client("a"), 0).front().at("tokens_per_second"), nullptr);
}

}  // namespace
}  // namespace choir::serve
