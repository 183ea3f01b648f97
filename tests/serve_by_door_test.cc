// Answers that are made on door threads: what they throw is the client's error, and the thread
// goes on.
#include "serve/by_door.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <latch>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "serve/doors.h"

namespace choir::serve {
namespace {

// A request whose reply is waited for.
class Asked {
 public:
  explicit Asked(const Handler& handler)
      : work_(handler({}, [woken = woken_] { woken->count_down(); })) {}
  // Of one that may be answered at once.
  std::string bytes() {
    const Output output = work_->advance();
    return output.empty() ? reply().bytes : output.bytes;
  }
  Output reply() {
    woken_->wait();
    return work_->advance();
  }
  int status() {
    const Output output = reply();
    return output.head ? output.head->status : 0;
  }

 private:
  const std::shared_ptr<std::latch> woken_ = std::make_shared<std::latch>(1);
  std::unique_ptr<Work> work_;
};

int status_of(const Handler& handler) { return Asked(handler).status(); }

// Holds up the threads of the door until it is destroyed.
class Held {
 public:
  explicit Held(Doors& doors) {
    for (int i = 0; i < kThreads; ++i)
      EXPECT_TRUE(doors.post([this] {
        held_.count_down();
        go_.wait();
        left_.count_down();
      }));
    held_.wait();
  }
  ~Held() {
    go_.count_down();
    left_.wait();
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  static constexpr int kThreads = 2;
  std::latch held_{kThreads};
  std::latch go_{1};
  std::latch left_{kThreads};
};

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

TEST(ByDoor, RequestsThatWaitTogetherShareOneAnswer) {
  const auto doors = Doors::create().value();
  std::atomic<int> made = 0;
  const Handler list = shared_by_door(*doors, [&]() -> Result<Json> { return Json(++made); });
  std::deque<Asked> asked;
  {
    const Held held(*doors);
    for (int i = 0; i < 5; ++i) asked.emplace_back(list);
  }
  for (Asked& one : asked) {
    const Output reply = one.reply();
    EXPECT_EQ(reply.head->headers, (std::vector<Header>{{"content-type", "application/json"}}));
    EXPECT_EQ(reply.bytes, "1");
    EXPECT_TRUE(reply.end);
  }
  EXPECT_EQ(Asked(list).reply().bytes, "2");
}

TEST(ByDoor, AnAnswerThatWasBegunBeforeTheRequestIsNotItsAnswer) {
  const auto doors = Doors::create().value();
  std::atomic<int> state = 1;
  std::latch looked(1);
  std::latch changed(1);
  const Handler list = shared_by_door(*doors, [&]() -> Result<Json> {
    const int seen = state;
    if (seen == 1) {
      looked.count_down();
      changed.wait();
    }
    return Json(seen);
  });
  Asked before(list);
  looked.wait();
  state = 2;
  Asked after(list);
  changed.count_down();
  EXPECT_EQ(before.reply().bytes, "1");
  EXPECT_EQ(after.reply().bytes, "2");
}

TEST(ByDoor, ASharedAnswerThatFailsIsEachOnesError) {
  const auto doors = Doors::create().value();
  const Handler refuses = shared_by_door(
      *doors, []() -> Result<Json> { return fail(Code::kNotFound, "there is none"); });
  const Handler throws = text_by_door(*doors, "text/plain",
                                      []() -> std::string { throw std::runtime_error("a word"); });
  std::deque<Asked> refused;
  std::deque<Asked> thrown;
  {
    const Held held(*doors);
    for (int i = 0; i < 3; ++i) refused.emplace_back(refuses);
    for (int i = 0; i < 3; ++i) thrown.emplace_back(throws);
  }
  for (Asked& one : refused) EXPECT_EQ(one.status(), 404);
  for (Asked& one : thrown) EXPECT_EQ(one.status(), 500);
}

// A handler whose answer says how often it was made.
class Kept : public testing::Test {
 protected:
  std::string ask() { return Asked(list_).bytes(); }

  const std::unique_ptr<Doors> doors_ = Doors::create().value();
  std::atomic<std::uint64_t> changes_ = 0;
  std::atomic<bool> may_be_kept_ = true;
  std::function<void()> while_making_;
  int made_ = 0;
  const Handler list_ = kept_by_door(*doors_, {.changes = [this] { return changes_.load(); },
                                               .make = [this]() -> Result<KeptJson> {
                                                 ++made_;
                                                 if (while_making_) while_making_();
                                                 return KeptJson{Json(made_), may_be_kept_};
                                               }});
};

TEST_F(Kept, AnAnswerIsGivenOutUntilSomethingChanges) {
  EXPECT_EQ(ask(), "1");
  EXPECT_EQ(ask(), "1");
  ++changes_;
  EXPECT_EQ(ask(), "2");
  EXPECT_EQ(ask(), "2");
}

TEST_F(Kept, WhatIsKeptNeedsNoDoor) {
  EXPECT_EQ(ask(), "1");
  const Held held(*doors_);
  EXPECT_EQ(list_({}, [] {})->advance().bytes, "1");
}

TEST_F(Kept, AnAnswerThatMayBeOldWhenItIsMadeIsNotKept) {
  while_making_ = [this] { ++changes_; };
  EXPECT_EQ(ask(), "1");
  while_making_ = nullptr;
  EXPECT_EQ(ask(), "2");
  EXPECT_EQ(ask(), "2");
}

TEST_F(Kept, WhatMayChangeUnseenIsNotKept) {
  may_be_kept_ = false;
  EXPECT_EQ(ask(), "1");
  EXPECT_EQ(ask(), "2");
}

TEST(ByDoor, ADoorThatIsFullRefusesAtOnce) {
  const auto doors = Doors::create().value();
  const Handler list = shared_by_door(*doors, []() -> Result<Json> { return Json(1); });
  {
    const Held held(*doors);
    while (doors->post([] {})) {}
    EXPECT_EQ(status_of(list), 429);
  }
  std::latch empty(1);
  while (!doors->post([&] { empty.count_down(); })) {}
  empty.wait();
  EXPECT_EQ(status_of(list), 200);
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
