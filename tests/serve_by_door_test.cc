// Answers that are made on door threads: what they throw is the client's error, and the thread
// goes on.
#include "serve/by_door.h"

#include <gtest/gtest.h>

#include <latch>
#include <memory>
#include <stdexcept>

#include "serve/doors.h"

namespace choir::serve {
namespace {

int status_of(const Handler& handler) {
  std::latch woken(1);
  const std::unique_ptr<Work> work = handler({}, [&] { woken.count_down(); });
  woken.wait();
  const Output output = work->advance();
  return output.head ? output.head->status : 0;
}

TEST(ByDoor, AnAnswerThatThrowsIsAnError) {
  const auto doors = Doors::create().value();
  const auto throws = [](const HttpRequest&) -> Result<Json> {
    throw std::runtime_error("a word");
  };
  for (int i = 0; i < 8; ++i)  // more than there are threads
    EXPECT_EQ(status_of(by_door(*doors, throws)), 500);
  EXPECT_EQ(status_of(by_door(*doors, [](const HttpRequest&) -> Result<Json> { return Json(1); })),
            200);
}

TEST(ByDoor, AStepThatThrowsIsTheErrorOfItsDesk) {
  struct Desk {
    void refuse(const ApiError& error) { status = error.status; }
    int status = 0;
  } desk;
  or_refuse(desk, [] {});
  EXPECT_EQ(desk.status, 0);
  or_refuse(desk, [] { throw std::runtime_error("a word"); });
  EXPECT_EQ(desk.status, 500);
}

}  // namespace
}  // namespace choir::serve
