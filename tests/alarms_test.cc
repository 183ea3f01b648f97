// The node's timer, by a clock that the test moves.
#include "runtime/alarms.h"

#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <thread>
#include <vector>

namespace choir {
namespace {

using std::chrono::hours;

constexpr ExecutorId kA{1};
constexpr ExecutorId kB{2};
constexpr ExecutorId kPoke{99};

class SharedClock final : public Clock {
 public:
  Instant now() const override { return Instant{} + Nanos{nanos_.load()}; }
  void set(Instant to) { nanos_.store(to.since_start.count()); }

 private:
  std::atomic<Nanos::rep> nanos_{0};
};

// Hours: what the thread sleeps by the machine's clock, it does not sleep to the end here.
Instant at(int h) { return Instant{} + hours(h); }

class AlarmsTest : public testing::Test {
 protected:
  // Rings all that is due at `when`, and returns what has rung since the last call.
  std::vector<ExecutorId> rung_at(Instant when) {
    clock.set(when);
    alarms->set(kPoke, when);
    return rung
        .wait([](std::vector<ExecutorId>& all) -> std::optional<std::vector<ExecutorId>> {
          if (all.empty() || all.back() != kPoke) return std::nullopt;
          all.pop_back();
          return std::exchange(all, {});
        })
        .value();
  }
  void begin() {
    alarms.emplace(clock,
                   [this](ExecutorId id) { rung.change([&](auto& all) { all.push_back(id); }); });
    alarms->start();
  }

  SharedClock clock;
  Monitor<std::vector<ExecutorId>> rung;
  std::optional<Alarms> alarms;
};

using Ids = std::vector<ExecutorId>;

TEST_F(AlarmsTest, RingsWhenItIsTimeAndOnce) {
  begin();
  alarms->set(kA, at(10));
  EXPECT_EQ(rung_at(at(9)), Ids{});
  EXPECT_EQ(rung_at(at(10)), Ids{kA});
  EXPECT_EQ(rung_at(at(20)), Ids{});
}

TEST_F(AlarmsTest, ALaterOneReplacesAnEarlierOne) {
  begin();
  alarms->set(kA, at(10));
  alarms->set(kA, at(30));
  EXPECT_EQ(rung_at(at(20)), Ids{});
  EXPECT_EQ(rung_at(at(30)), Ids{kA});
}

TEST_F(AlarmsTest, AnEarlierOneReplacesALaterOne) {
  begin();
  alarms->set(kA, at(30));
  alarms->set(kA, at(10));
  EXPECT_EQ(rung_at(at(10)), Ids{kA});
  EXPECT_EQ(rung_at(at(30)), Ids{});
}

TEST_F(AlarmsTest, SetEarlierKeepsTheEarlierOne) {
  begin();
  alarms->set(kA, at(10));
  alarms->set_earlier(kA, at(20));
  alarms->set(kB, at(20));
  alarms->set_earlier(kB, at(10));
  EXPECT_EQ(rung_at(at(10)), (Ids{kA, kB}));
  EXPECT_EQ(rung_at(at(20)), Ids{});
}

TEST_F(AlarmsTest, OneThatIsTakenAwayDoesNotRing) {
  begin();
  alarms->set(kA, at(10));
  alarms->set(kB, std::nullopt);
  alarms->set(kA, std::nullopt);
  EXPECT_EQ(rung_at(at(20)), Ids{});
}

TEST_F(AlarmsTest, WhatWasSetBeforeTheStartRings) {
  alarms.emplace(clock,
                 [this](ExecutorId id) { rung.change([&](auto& all) { all.push_back(id); }); });
  alarms->set(kA, at(0));
  alarms->start();
  EXPECT_EQ(rung_at(at(1)), Ids{kA});
}

TEST_F(AlarmsTest, ARingMaySetTheNextOne) {
  alarms.emplace(clock, [this](ExecutorId id) {
    if (id == kA) alarms->set(kB, at(20));
    rung.change([&](auto& all) { all.push_back(id); });
  });
  alarms->start();
  alarms->set(kA, at(10));
  EXPECT_EQ(rung_at(at(10)), Ids{kA});
  EXPECT_EQ(rung_at(at(20)), Ids{kB});
}

TEST_F(AlarmsTest, StoppingTwiceOrNeverStartedIsNothing) {
  begin();
  alarms->set(kA, at(10));
  alarms->stop();
  alarms->stop();
  Alarms never(clock, [](ExecutorId) {});
  never.stop();
}

TEST_F(AlarmsTest, NothingRingsAfterTheEnd) {
  begin();
  alarms->stop();
  alarms->set(kA, at(0));
  alarms->set_earlier(kB, at(0));
  EXPECT_EQ(rung.with([](auto& all) { return all.size(); }), 0U);
}

TEST_F(AlarmsTest, StopWaitsForTheRingThatIsUnderWay) {
  struct Bell {
    bool ringing = false;
    bool let_go = false;
  };
  Monitor<Bell> bell;
  std::atomic<int> returned{0};
  alarms.emplace(clock, [&](ExecutorId) {
    bell.change([](Bell& b) { b.ringing = true; });
    bell.wait([](const Bell& b) { return b.let_go; });
    ++returned;
  });
  alarms->start();
  alarms->set(kA, at(0));
  bell.wait([](const Bell& b) { return b.ringing; });
  std::atomic<bool> stopped{false};
  std::thread stop([&] {
    alarms->stop();
    stopped.store(true);
  });
  EXPECT_FALSE(stopped.load());
  bell.change([](Bell& b) { b.let_go = true; });
  stop.join();
  EXPECT_EQ(returned.load(), 1);
  alarms->set(kB, at(0));
  EXPECT_EQ(returned.load(), 1);
}

}  // namespace
}  // namespace choir
