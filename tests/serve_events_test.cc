// Events of a node without models: who looks, when, and what a reader gets.
#include "serve/events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <thread>

#include "base/log.h"

namespace choir::serve {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class EventsTest : public testing::Test {
 protected:
  std::uint64_t join(Topics topics, Scopes scopes = kView) {
    return events->join(topics, {.scopes = scopes}, [this] { ++woken; });
  }
  // The loop: what was put off is done.
  void next_tick() {
    ASSERT_FALSE(later.empty());
    const auto work = std::move(later.front());
    later.pop_front();
    work();
  }
  std::string next_frame(std::uint64_t reader) {
    for (;;) {
      if (const Frame frame = events->take(reader)) return *frame;
      std::this_thread::yield();
    }
  }

  std::shared_ptr<Events> events_of(const Clock& time) {
    return std::make_shared<Events>(*node, replicas, *doors, time,
                                    [this](Nanos after, std::function<void()> work) {
                                      pause = after;
                                      later.push_back(std::move(work));
                                    });
  }

  std::atomic<int> woken{0};
  std::deque<std::function<void()>> later;
  Nanos pause{0};  // until the last of those
  ManualClock clock;
  std::unique_ptr<Node> node = *Node::create({});
  Replicas replicas{*node};
  std::unique_ptr<Doors> doors = *Doors::create();
  std::shared_ptr<Events> events = events_of(clock);
};

TEST_F(EventsTest, NobodyLooksWhereNobodyReads) {
  EXPECT_TRUE(later.empty());
  const std::uint64_t reader = join(kStateTopic);
  EXPECT_EQ(later.size(), 1U);
  next_frame(reader);
  events->leave(reader);
  next_tick();
  EXPECT_TRUE(later.empty());
}

TEST_F(EventsTest, AReaderOfTurnsBeginsWithThoseOfTheLastSeconds) {
  const std::uint64_t reader = join(kTurnsTopic);
  const std::string frame = next_frame(reader);
  EXPECT_THAT(frame, HasSubstr("event: turns\n"));
  EXPECT_THAT(frame, HasSubstr(R"("topic":"turns")"));
  EXPECT_THAT(frame, HasSubstr(R"("from_us":)"));
  const std::uint64_t other = join(kTurnsTopic);
  next_frame(other);
  EXPECT_EQ(events->take(reader), nullptr) << "nothing was computed";
}

TEST_F(EventsTest, OneWhoComesBetweenTwoLooksDoesNotWaitForTheNext) {
  const std::uint64_t one = join(kStateTopic);
  next_frame(one);
  const std::uint64_t two = join(kStateTopic);
  EXPECT_THAT(next_frame(two), HasSubstr("event: snapshot\n"));
  const std::uint64_t other_topics = join(kStateTopic | kRequestsTopic);
  next_frame(other_topics);
  EXPECT_THAT(next_frame(other_topics), HasSubstr(R"("topic":"requests","rows":[])"));
  EXPECT_EQ(later.size(), 1U) << "one timer, which has not gone off";
  EXPECT_EQ(events->take(one), nullptr) << "nothing has changed";
}

TEST_F(EventsTest, ARowSaysWhoseReplicaItIs) {
  for (const char* name : {"a", "a@2"})
    ASSERT_TRUE(node->declare({.name = name, .path = "a.gguf"}));
  const std::uint64_t reader = join(kStateTopic);
  EXPECT_THAT(next_frame(reader), Not(HasSubstr("replica")));
  replicas.join("a", {.executor = "a@2"});
  next_tick();
  EXPECT_THAT(next_frame(reader),
              AllOf(HasSubstr(R"("replica_of":"a")"), HasSubstr(R"("replicas":2)")));
  replicas.leave("a@2");
  next_tick();
  EXPECT_THAT(next_frame(reader), AllOf(HasSubstr(R"("a@2")"), Not(HasSubstr("replica_of"))));
}

TEST_F(EventsTest, TwoReadersHaveOneTimerAndShareTheBytes) {
  const std::uint64_t one = join(kStateTopic);
  next_frame(one);
  const std::uint64_t two = join(kStateTopic);
  const std::uint64_t three = join(kStateTopic);
  EXPECT_EQ(later.size(), 1U);
  next_frame(two);
  next_frame(three);
  EXPECT_EQ(events->take(one), nullptr) << "nothing has changed";
  ASSERT_TRUE(node->declare({.name = "a", .path = "a.gguf"}));
  next_tick();
  const auto taken = [&](std::uint64_t reader) {
    Frame frame;
    while (!(frame = events->take(reader))) std::this_thread::yield();
    return frame;
  };
  EXPECT_EQ(taken(two), taken(three));
  EXPECT_GT(woken.load(), 0);
}

TEST_F(EventsTest, ManyReadersAreToldLessOftenAndPartByPart) {
  constexpr std::size_t kReaders = 128;  // two ticks from look to look, and three with one more
  std::vector<std::uint64_t> all;
  std::array<std::atomic<bool>, kReaders> told{};
  const auto count = [&] {
    return std::ranges::count_if(told, [](const auto& t) { return t.load(); });
  };
  const auto wait_for = [&](std::ptrdiff_t readers) {
    while (count() < readers) std::this_thread::yield();
  };
  for (std::size_t i = 0; i < kReaders; ++i) {
    all.push_back(events->join(kStateTopic, {.scopes = kView}, [&told, i] { told.at(i) = true; }));
    if (i == 0) next_frame(all.front());  // the look that began with it has ended
  }
  for (std::size_t i = 1; i < kReaders; ++i) next_frame(all[i]);
  next_tick();
  const std::uint64_t after_the_look = join(kStateTopic);
  next_frame(after_the_look);
  events->leave(after_the_look);
  ASSERT_TRUE(node->declare({.name = "a", .path = "a.gguf"}));
  const std::uint64_t late = join(kStateTopic);
  EXPECT_THAT(next_frame(late), Not(HasSubstr(R"("name":"a")"))) << "the node is not looked at yet";
  next_tick();
  EXPECT_EQ(events->take(late), nullptr) << "nor in this tick";
  wait_for(kReaders);
  for (auto& one : told) one = false;
  next_tick();
  EXPECT_THAT(next_frame(late), HasSubstr(R"("name":"a")"));
  wait_for(43);
  EXPECT_EQ(count(), 43);
  next_tick();
  EXPECT_EQ(count(), 86);
  next_tick();
  EXPECT_EQ(count(), 128);
  for (const std::uint64_t reader : all) events->leave(reader);
}

// ---- what happens during a look -----------------------------------------------------------------

// Tells when it is read: by whoever posts a look, and by a look at requests while it is under way.
class WatchedClock final : public Clock {
 public:
  Instant now() const override {
    ++reads;
    if (during_look && std::this_thread::get_id() != owner_) during_look();
    return {};
  }

  mutable std::atomic<int> reads{0};
  std::function<void()> during_look;

 private:
  const std::thread::id owner_ = std::this_thread::get_id();
};

class EventsDuringALook : public EventsTest {
 protected:
  EventsDuringALook() {
    events = events_of(watched);
    for (std::size_t i = 0; i < 65; ++i)  // two ticks from look to look
      next_frame(join(kRequestsTopic));
    next_tick();
    look_at("a");
  }
  ~EventsDuringALook() override {  // all that reads the clock ends before it
    later.clear();
    doors.reset();
    events.reset();
  }
  // A look that begins with a reader of requests of a tenant that none has watched.
  void look_at(const std::string& tenant) {
    next_frame(
        events->join(kRequestsTopic, {.tenant = tenant, .scopes = kView}, [this] { ++woken; }));
    watched.during_look = {};
  }
  bool looks_in_next_tick() {
    const int before = watched.reads;
    next_tick();
    return watched.reads > before;
  }

  WatchedClock watched;
};

TEST_F(EventsDuringALook, AReaderThatAsksForItsFirstFrameMakesNoOther) {
  const std::uint64_t last = join(kRequestsTopic);
  next_frame(last);
  watched.during_look = [&] { EXPECT_EQ(events->take(last + 1), nullptr); };
  look_at("b");
  EXPECT_FALSE(looks_in_next_tick());
  EXPECT_TRUE(looks_in_next_tick());
}

TEST_F(EventsDuringALook, TicksCount) {
  watched.during_look = [&] { next_tick(); };
  look_at("b");
  EXPECT_TRUE(looks_in_next_tick());
}

TEST_F(EventsTest, LookHalfAsOftenWhereNothingHappens) {
  const std::uint64_t reader = join(kStateTopic);
  next_frame(reader);
  // The snapshot of one who comes is there when the look that was under way has ended.
  const auto tick_and_look = [&] {
    next_tick();
    const std::uint64_t other = join(kStateTopic);
    next_frame(other);
    events->leave(other);
  };
  for (int i = 0; i <= kQuietLooks; ++i) {
    EXPECT_EQ(pause, kEventTick) << i;
    tick_and_look();
  }
  EXPECT_EQ(pause, kQuietTick);
  ASSERT_TRUE(node->declare({.name = "a", .path = "a.gguf"}));
  tick_and_look();
  tick_and_look();
  EXPECT_EQ(pause, kEventTick);
}

TEST(EventPace, GrowsWithTheReaders) {
  struct Row {
    std::size_t readers;
    int ticks;
  };
  for (const Row& row : {Row{0, 1}, Row{1, 1}, Row{64, 1}, Row{65, 2}, Row{128, 2}, Row{640, 10},
                         Row{2048, 32}, Row{8000, 32}, Row{1'000'000, 32}})
    EXPECT_EQ(ticks_between_looks(row.readers), row.ticks) << row.readers;
  EXPECT_EQ(kEventTick * ticks_between_looks(8000), std::chrono::seconds(8));
}

TEST_F(EventsTest, TellWhatChanges) {
  const std::uint64_t reader = join(kStateTopic | kRequestsTopic);
  EXPECT_THAT(next_frame(reader), HasSubstr(R"("topic":"state","rows":[])"));
  EXPECT_THAT(next_frame(reader), HasSubstr(R"("topic":"requests","rows":[])"));
  ASSERT_TRUE(node->declare({.name = "a", .path = "a.gguf"}));
  next_tick();
  const std::string delta = next_frame(reader);
  EXPECT_THAT(delta, HasSubstr("event: delta\n"));
  EXPECT_THAT(delta, HasSubstr(R"("name":"a")"));
  ASSERT_TRUE(node->remove("a", Drain::kCancel));
  next_tick();
  EXPECT_THAT(next_frame(reader), HasSubstr(R"("gone":["a"])"));
}

TEST_F(EventsTest, TellLinesOfTheLog) {
  const std::uint64_t reader = join(kLogTopic, kAdmin);
  log(LogLevel::kWarn, "a line");
  std::string frame;
  while (frame.empty()) {
    next_tick();
    for (int i = 0; i < 1000 && frame.empty(); ++i) {
      if (const Frame some = events->take(reader)) frame = *some;
      std::this_thread::yield();
    }
  }
  EXPECT_THAT(frame, HasSubstr(R"("text":"a line")"));
  events->leave(reader);
}

// ---- readers that come back --------------------------------------------------------------------

class EventsAgain : public EventsTest {
 protected:
  static std::uint64_t number_of(const std::string& frame) {
    const std::size_t id = frame.find("\nid: ");
    return id == std::string::npos ? 0 : std::stoull(frame.substr(id + 5));
  }
  void declare(const std::string& name) {
    ASSERT_TRUE(node->declare({.name = name, .path = "a.gguf"}));
  }
  // The change of one look.
  std::string next_change(std::uint64_t reader) {
    next_tick();
    return next_frame(reader);
  }
  std::uint64_t again(std::uint64_t since, Topics topics = kStateTopic, Client client = {}) {
    return events->join(
        topics, client, [this] { ++woken; }, since);
  }
};

TEST_F(EventsAgain, GetOnlyWhatTheyHaveMissed) {
  const std::uint64_t stays = join(kStateTopic);
  next_frame(stays);
  const std::uint64_t leaves = join(kStateTopic);
  const std::uint64_t since = number_of(next_frame(leaves));
  EXPECT_GT(since, 0U);
  events->leave(leaves);
  declare("a");
  const std::string one = next_change(stays);
  declare("b");
  const std::string two = next_change(stays);
  const std::uint64_t back = again(since);
  EXPECT_TRUE(events->resumed(back));
  EXPECT_EQ(next_frame(back), one);
  EXPECT_EQ(next_frame(back), two);
  EXPECT_EQ(events->take(back), nullptr);
  declare("c");
  const std::string three = next_change(stays);
  EXPECT_EQ(next_frame(back), three);
}

TEST_F(EventsAgain, GetWhatHappenedWhileNobodyRead) {
  const std::uint64_t reader = join(kStateTopic);
  const std::uint64_t since = number_of(next_frame(reader));
  events->leave(reader);
  next_tick();
  declare("a");
  clock.advance(std::chrono::hours(1));
  const std::uint64_t back = again(since);
  EXPECT_TRUE(events->resumed(back));
  EXPECT_THAT(next_frame(back), HasSubstr(R"("set":[{)"));
}

TEST_F(EventsAgain, GetASnapshotAfterThirtySeconds) {
  const std::uint64_t stays = join(kStateTopic);
  const std::uint64_t since = number_of(next_frame(stays));
  declare("a");
  next_change(stays);
  clock.advance(kFramesKept + std::chrono::seconds(1));
  const std::uint64_t back = again(since);
  EXPECT_FALSE(events->resumed(back));
  EXPECT_THAT(next_frame(back), HasSubstr("event: snapshot"));
}

TEST_F(EventsAgain, GetASnapshotForANumberThatThereWasNot) {
  const std::uint64_t stays = join(kStateTopic);
  next_frame(stays);
  EXPECT_FALSE(events->resumed(again(1'000'000)));
  EXPECT_FALSE(events->resumed(again(0)));
}

TEST_F(EventsAgain, GetASnapshotOfRequestsThatNobodyOfTheirTenantWatched) {
  const std::uint64_t stays = join(kStateTopic);
  next_frame(stays);
  const std::uint64_t reader = join(kRequestsTopic);
  const std::uint64_t since = number_of(next_frame(reader));
  EXPECT_TRUE(events->resumed(again(since, kRequestsTopic)));
  EXPECT_FALSE(events->resumed(again(since, kRequestsTopic, {.tenant = "other"})));
}

TEST_F(EventsAgain, CannotGoOnBehindTheFirstPartOfASnapshot) {
  const std::uint64_t reader = join(kStateTopic | kRequestsTopic);
  EXPECT_EQ(number_of(next_frame(reader)), 0U);
  EXPECT_GT(number_of(next_frame(reader)), 0U);
}

TEST_F(EventsTest, EndWithTheDaemon) {
  const std::uint64_t reader = join(kStateTopic);
  next_frame(reader);
  EXPECT_FALSE(events->ended());
  node->close_door();
  next_tick();
  next_frame(reader);  // the node is draining
  EXPECT_TRUE(events->ended());
}

}  // namespace
}  // namespace choir::serve
