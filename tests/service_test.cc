#include "base/service.h"

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <latch>
#include <memory>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

namespace choir {
namespace {

using Numbers = std::deque<int>;
using Counting = Service<Numbers, int>;

std::optional<int> front(Numbers& numbers, Nanos&) {
  if (numbers.empty()) return std::nullopt;
  const int number = numbers.front();
  numbers.pop_front();
  return number;
}

void add(Counting& service, int number) {
  service.change([&](Numbers& numbers) { numbers.push_back(number); });
}

// One thread that waits in its first work until the test lets it go on.
class Held {
 public:
  Held() {
    service_.start(1, [this](int number) {
      if (number == 0) {
        began_.count_down();
        go_on_.wait();
      }
      done_.push_back(number);
    });
    add(service_, 0);
    began_.wait();
    for (const int number : {1, 2}) add(service_, number);
  }
  // What was carried out when `left` is what happens to the rest.
  std::vector<int> done_after(Left left) {
    service_.ask_to_stop(left);
    go_on_.count_down();
    service_.stop(left);
    return done_;
  }
  Numbers left() {
    return service_.with([](const Numbers& numbers) { return numbers; });
  }

 private:
  std::latch began_{1};
  std::latch go_on_{1};
  std::vector<int> done_;
  Counting service_{"test", front};
};

TEST(Service, WhatIsLeftIsCarriedOut) {
  Held held;
  EXPECT_EQ(held.done_after(Left::kCarriedOut), (std::vector<int>{0, 1, 2}));
}

TEST(Service, WhatIsLeftIsDropped) {
  Held held;
  EXPECT_EQ(held.done_after(Left::kDropped), std::vector<int>{0});
  EXPECT_EQ(held.left(), (Numbers{1, 2}));
}

TEST(Service, MayBeStoppedTwiceAndNeverStarted) {
  Counting service("test", front);
  service.stop(Left::kCarriedOut);
  service.stop(Left::kDropped);
  EXPECT_TRUE(service.stopping());
}

TEST(Service, WhatItThrowsEndsOnlyThat) {
  set_log_level(LogLevel::kOff);
  std::vector<int> done;
  Counting service("test", front);
  service.start(1, [&](int number) {
    if (number == 1) throw std::runtime_error("on purpose");
    done.push_back(number);
  });
  for (const int number : {1, 2}) add(service, number);
  service.stop(Left::kCarriedOut);
  set_log_level(LogLevel::kWarn);
  EXPECT_EQ(done, std::vector<int>{2});
}

// The state never changes after the start: only the time that take() asked for brings the work.
TEST(Service, AsksAgainWhenTheTimeHasCome) {
  std::latch carried_out(1);
  Service<int, int> service("test", [](int& asked, Nanos& again) -> std::optional<int> {
    if (++asked == 3) return asked;
    again = Nanos{1};
    return std::nullopt;
  });
  service.start(1, [&](int) { carried_out.count_down(); });
  carried_out.wait();
}

TEST(Service, EachThreadHasWhatItCallsForItself) {
  std::atomic<int> made{0};
  std::latch both(2);
  Monitor<std::set<int>> callers;
  Counting service("test", front);
  service.start_each(2, [&] {
    return [&, mine = ++made](int) {
      callers.change([&](auto& all) { all.insert(mine); });
      both.arrive_and_wait();
    };
  });
  for (const int number : {1, 2}) add(service, number);
  service.stop(Left::kCarriedOut);
  EXPECT_EQ(callers.with([](auto& all) { return all; }), (std::set<int>{1, 2}));
}

TEST(Service, WhatTheWorkHoldsEndsOnItsThreadAndOutsideOfTheLock) {
  struct Holds {
    Service<std::deque<std::shared_ptr<Holds>>, std::shared_ptr<Holds>>* service = nullptr;
    std::atomic<int>* ended = nullptr;
    ~Holds() {
      service->with([](auto&) {});  // would wait for ever under the lock
      *ended += may_join() ? 100 : 1;
    }
  };
  std::atomic<int> ended{0};
  Service<std::deque<std::shared_ptr<Holds>>, std::shared_ptr<Holds>> service(
      "test", [](auto& all, Nanos&) -> std::optional<std::shared_ptr<Holds>> {
        if (all.empty()) return std::nullopt;
        auto next = std::move(all.front());
        all.pop_front();
        return next;
      });
  service.start(1, [](const auto&) {});
  auto holds = std::make_shared<Holds>();
  holds->service = &service;
  holds->ended = &ended;
  service.change([&](auto& all) { all.push_back(std::move(holds)); });
  service.stop(Left::kCarriedOut);
  EXPECT_EQ(ended, 1);
}

TEST(Service, ItsQueueMayOutliveIt) {
  std::optional<Counting> service(std::in_place, "test", front);
  const Counting::Queue queue = service->queue();
  queue.change([](Numbers& numbers) { numbers.push_back(1); });
  int taken = 0;
  EXPECT_TRUE(service->run_here([&](int work) { taken = work; }));
  EXPECT_EQ(taken, 1);
  service.reset();
  EXPECT_EQ(queue.change([](Numbers& numbers) {
    numbers.push_back(2);
    return numbers.size();
  }),
            1U);
}

TEST(Service, WhereTakingThrowsItIsTriedAgain) {
  int attempts = 0;
  std::vector<int> done;
  Counting service("test", [&](Numbers& numbers, Nanos& again) {
    if (!numbers.empty() && ++attempts < 3) throw std::bad_alloc();
    return front(numbers, again);
  });
  service.start(1, [&](int number) { done.push_back(number); });
  add(service, 1);
  add(service, 2);
  add(service, 3);
  service.stop(Left::kCarriedOut);
  EXPECT_EQ(done, (std::vector<int>{1, 2, 3}));
}

TEST(Service, WhereTakingAlwaysThrowsItStopsAllTheSame) {
  int attempts = 0;
  Counting service("test", [&](Numbers&, Nanos&) -> std::optional<int> {
    ++attempts;
    throw std::bad_alloc();
  });
  add(service, 1);
  service.start(1, [](int) {});
  service.stop(Left::kCarriedOut);
  EXPECT_GE(attempts, 2);
}

TEST(Service, TheExitOfAProcessDropsWhatIsLeft) {
  std::latch began(1);
  std::latch go_on(1);
  std::vector<int> done;
  Counting service("test", front);
  service.start(1, [&](int number) {
    began.count_down();
    go_on.wait();
    done.push_back(number);
  });
  for (const int number : {1, 2}) add(service, number);
  began.wait();
  std::thread helper([&] {
    while (!service.stopping()) std::this_thread::yield();
    go_on.count_down();
  });
  const SteadyClock clock;
  service.stop_until(clock, clock.now() + std::chrono::hours(1));
  helper.join();
  EXPECT_EQ(done, std::vector<int>{1});
  EXPECT_EQ(service.with([](const Numbers& numbers) { return numbers; }), Numbers{2});
}

}  // namespace
}  // namespace choir
