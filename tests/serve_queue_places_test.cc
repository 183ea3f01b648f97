// Where waiting requests stand, as readers of events are told.
#include "serve/queue_places.h"

#include <gtest/gtest.h>

#include <vector>

namespace choir::serve {
namespace {

std::vector<RequestInfo> waiting(std::size_t count, RequestPhase phase = RequestPhase::kWaiting) {
  std::vector<RequestInfo> requests(count);
  for (std::size_t i = 0; i < count; ++i) {
    requests[i].id = {i + 1};
    requests[i].phase = phase;
  }
  return requests;
}

class QueuePlacesTest : public testing::Test {
 protected:
  void look(const std::vector<RequestInfo>& requests, int seconds) {
    places.look(
        requests,
        [&](RequestId) -> Result<QueuePlace> {
          return QueuePlace{.ahead = asked++, .seconds = 4.2};
        },
        Instant{} + std::chrono::seconds(seconds));
  }
  Json row_of(const RequestInfo& request) const {
    Json row = Json::object();
    places.add_to(row, request);
    return row;
  }
  QueuePlaces places;
  int asked = 0;
};

TEST(QueuePlaceTold, IsRoundedToWhatAPersonTellsApart) {
  for (const auto& [exact, told] : std::vector<std::pair<double, double>>{
           {-1, 0}, {0, 0}, {0.1, 1}, {9.5, 10}, {11, 15}, {61, 90}, {599, 600}, {601, 900}})
    EXPECT_EQ(rounded_wait(exact), told) << exact;
  for (const auto& [exact, told] :
       std::vector<std::pair<int, int>>{{0, 0}, {20, 20}, {29, 20}, {130, 130}})
    EXPECT_EQ(rounded_ahead(exact), told) << exact;
}

TEST_F(QueuePlacesTest, IsToldOfThoseThatWait) {
  const auto requests = waiting(2);
  look(requests, 0);
  EXPECT_EQ(row_of(requests[1]), Json::parse(R"({"ahead": 1, "expected_seconds": 5.0})"));
  EXPECT_EQ(row_of(waiting(2, RequestPhase::kDecode)[1]), Json::object()) << "it has begun since";
  look(waiting(2, RequestPhase::kDecode), 10);
  EXPECT_EQ(asked, 2) << "of one that has begun nobody asks";
}

TEST_F(QueuePlacesTest, IsAskedForEachTwoSeconds) {
  const auto requests = waiting(3);
  look(requests, 0);
  look(requests, 1);
  EXPECT_EQ(asked, 3);
  look(requests, 2);
  EXPECT_EQ(asked, 6);
}

TEST_F(QueuePlacesTest, IsOfTheFewerTheMoreThereAre) {
  look(waiting(150), 0);
  EXPECT_EQ(asked, 100);
  look(waiting(2000), 10);
  EXPECT_EQ(asked, 110);
  look(waiting(50'000), 20);
  EXPECT_EQ(asked, 110);
}

TEST_F(QueuePlacesTest, WithoutAnEstimateIsThePlaceAlone) {
  const auto requests = waiting(1);
  places.look(requests,
              [](RequestId) -> Result<QueuePlace> { return QueuePlace{.ahead = 7, .seconds = {}}; },
              {});
  EXPECT_EQ(row_of(requests[0]), Json::parse(R"({"ahead": 7, "expected_seconds": null})"));
}

}  // namespace
}  // namespace choir::serve
