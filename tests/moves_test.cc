// The calls of a move, one by one: late, twice, in another order. On the fake engine, in virtual
// time.
#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/fake_node.h"
#include "tests/house.h"

namespace choir {
namespace {

class MoveCalls : public testing::Test {
 protected:
  MoveCalls() { EXPECT_TRUE(here_.add(executor("a"))); }
  Submission ask(std::int32_t max_tokens = 40) {
    return here_.submit(request("a", "hello", max_tokens), {}).value();
  }
  std::vector<TokenId> alone(std::int32_t max_tokens = 40) {
    House other(1);
    EXPECT_TRUE(other[0].add(executor("a")));
    auto asked = other[0].submit(request("a", "hello", max_tokens), {}).value();
    other.finish();
    return asked.result.get().tokens;
  }
  void steps(int count) {
    for (int i = 0; i < count; ++i) house_.step();
  }
  MoveKey begin() {
    const ExecutorMove move = here_.begin_move("a", there_.node()).value();
    EXPECT_TRUE(there_.expect(move));
    return move.key();
  }
  std::shared_ptr<FrozenExecutor> freeze(const MoveKey& key) {
    return house_.waiting([&] { return here_.freeze(key); }).value();
  }
  static FrozenExecutor copy_of(const FrozenExecutor& frozen) {
    return deserialize_frozen(serialize(frozen)).value();
  }

  House house_{3};
  Runtime& here_ = house_[0];
  Runtime& there_ = house_[1];
};

TEST_F(MoveCalls, WhatIsFrozenHasAllThatWasTold) {
  auto asked = ask();
  steps(12);
  const auto frozen = freeze(begin());
  ASSERT_EQ(frozen->sequences.size(), 1U);
  const FrozenSequence& s = frozen->sequences[0];
  EXPECT_EQ(s.value.request, asked.id);
  EXPECT_GT(s.usage.output_tokens, 0);
  EXPECT_EQ(s.usage.output_tokens, s.value.output_tokens());
  EXPECT_FALSE(s.text.empty());
  EXPECT_GT(s.kv_tokens, 0);
  EXPECT_EQ(here_.info().requests_active, 1) << "it is here until it is known to be there";
}

TEST_F(MoveCalls, ASecondFreezeGivesTheSameValue) {
  auto asked = ask();
  steps(5);
  const MoveKey key = begin();
  const auto frozen = freeze(key);
  EXPECT_EQ(here_.freeze(key).value(), frozen);
}

TEST_F(MoveCalls, AnAdoptionThatComesTwiceIsOne) {
  auto asked = ask();
  steps(5);
  const MoveKey key = begin();
  FrozenExecutor first = copy_of(*freeze(key));
  FrozenExecutor second = copy_of(first);
  ASSERT_TRUE(there_.adopt(first));
  steps(3);
  ASSERT_TRUE(there_.adopt(second)) << "the answer to the first was lost";
  ASSERT_TRUE(there_.expect({.epoch = key.epoch, .config = executor("a")}));
  ASSERT_TRUE(house_.waiting([&] { return here_.forget(key); }));
  ASSERT_TRUE(here_.forget(key));
  EXPECT_EQ(there_.info().requests_active, 1);
  EXPECT_EQ(here_.info().requests_active, 0);
  house_.finish();
  EXPECT_EQ(asked.result.get().tokens, alone());
}

TEST_F(MoveCalls, ARequestThatHasEndedThereBeforeItIsForgottenHereEndsOnce) {
  auto asked = ask();
  steps(5);
  const MoveKey key = begin();
  ASSERT_TRUE(there_.adopt(*freeze(key)));
  house_.finish();
  EXPECT_EQ(asked.result.get().tokens, alone());
  ASSERT_TRUE(house_.waiting([&] { return here_.forget(key); }));
  EXPECT_EQ(here_.info().requests_active, 0);
  EXPECT_FALSE(here_.executor("a"));
}

TEST_F(MoveCalls, AfterAWithdrawalNothingIsAdoptedAndTheOldNodeGoesOn) {
  auto asked = ask();
  steps(5);
  const MoveKey key = begin();
  const auto frozen = freeze(key);
  FrozenExecutor late = copy_of(*frozen);
  EXPECT_EQ(there_.withdraw(key).value(), NodeSeam::Withdrawn::kYes);
  EXPECT_FALSE(there_.executor("a"));
  ASSERT_TRUE(here_.thaw(key));
  ASSERT_TRUE(here_.thaw(key));
  EXPECT_EQ(there_.adopt(late).error().code, Code::kCancelled);
  EXPECT_EQ(there_.expect({.epoch = key.epoch, .config = executor("a")}).error().code,
            Code::kCancelled);
  EXPECT_EQ(there_.withdraw(key).value(), NodeSeam::Withdrawn::kYes);
  house_.finish();
  EXPECT_EQ(asked.result.get().tokens, alone());
  EXPECT_EQ(here_.executor("a")->requests_done, 1U);
}

TEST_F(MoveCalls, AWithdrawalThatComesTooLateSaysSo) {
  auto asked = ask();
  const MoveKey key = begin();
  ASSERT_TRUE(there_.adopt(*freeze(key)));
  EXPECT_EQ(there_.withdraw(key).value(), NodeSeam::Withdrawn::kAdopted);
  EXPECT_TRUE(there_.executor("a"));
  ASSERT_TRUE(house_.waiting([&] { return here_.forget(key); }));
  house_.finish();
  EXPECT_EQ(asked.result.get().tokens, alone());
}

TEST_F(MoveCalls, AWithdrawalThatComesBeforeItsMoveEndsIt) {
  const ExecutorMove move = here_.begin_move("a", there_.node()).value();
  EXPECT_EQ(there_.withdraw(move.key()).value(), NodeSeam::Withdrawn::kYes);
  EXPECT_EQ(there_.expect(move).error().code, Code::kCancelled);
  EXPECT_FALSE(there_.executor("a"));
}

TEST_F(MoveCalls, MessagesOfAnEarlierMoveAreRefused) {
  auto asked = ask();
  steps(5);
  const MoveKey first = begin();
  const auto frozen = freeze(first);
  FrozenExecutor late = copy_of(*frozen);
  const ExecutorMove old_move{.epoch = first.epoch, .config = executor("a")};
  ASSERT_EQ(there_.withdraw(first).value(), NodeSeam::Withdrawn::kYes);
  ASSERT_TRUE(here_.thaw(first));
  const MoveKey second = begin();
  EXPECT_LT(first.epoch, second.epoch);
  EXPECT_EQ(there_.adopt(late).error().code, Code::kCancelled);
  EXPECT_EQ(there_.expect(old_move).error().code, Code::kCancelled);
  EXPECT_EQ(here_.freeze(first).error().code, Code::kNotFound);
  ASSERT_TRUE(here_.forget(first));
  ASSERT_TRUE(here_.thaw(first));
  ASSERT_TRUE(there_.adopt(*freeze(second)));
  ASSERT_TRUE(house_.waiting([&] { return here_.forget(second); }));
  house_.finish();
  EXPECT_EQ(asked.result.get().tokens, alone());
}

TEST_F(MoveCalls, OfTwoMovesToANodeTheLaterOneCounts) {
  const MoveKey first = begin();
  ExecutorMove later{.epoch = {first.epoch.value + 1}, .config = executor("a", 2)};
  ASSERT_TRUE(there_.expect(later));
  EXPECT_EQ(there_.executor("a")->config.sequences_max, 2);
  const auto frozen = freeze(first);
  EXPECT_EQ(there_.adopt(*frozen).error().code, Code::kCancelled);
  EXPECT_EQ(there_.withdraw(first).value(), NodeSeam::Withdrawn::kYes);
  EXPECT_TRUE(there_.executor("a")) << "that of the later move";
  ASSERT_TRUE(here_.thaw(first));
}

TEST_F(MoveCalls, OtherWeightsAreRefusedAndNothingIsTakenOut) {
  auto asked = ask();
  steps(5);
  const MoveKey key = begin();
  const auto frozen = freeze(key);
  frozen->model_fingerprint = "another file";
  const std::string before = serialize(*frozen);
  EXPECT_EQ(there_.adopt(*frozen).error().code, Code::kInvalidArgument);
  EXPECT_EQ(serialize(*frozen), before);
  ASSERT_EQ(there_.withdraw(key).value(), NodeSeam::Withdrawn::kYes);
  ASSERT_TRUE(here_.thaw(key));
  house_.finish();
  EXPECT_EQ(asked.result.get().tokens, alone());
}

TEST_F(MoveCalls, AFrozenExecutorGoesToNoOtherNode) {
  const MoveKey key = begin();
  (void)freeze(key);
  EXPECT_EQ(here_.begin_move("a", house_[2].node()).error().code, Code::kOverloaded);
  EXPECT_EQ(here_.begin_move("a", there_.node()).value().epoch, key.epoch) << "it goes on";
}

TEST_F(MoveCalls, ACancelWhileItIsFrozenReachesIt) {
  auto there_cancelled = ask();
  auto here_cancelled = ask();
  steps(3);
  const MoveKey key = begin();
  const auto frozen = freeze(key);
  ASSERT_TRUE(there_.cancel(there_cancelled.id));
  ASSERT_TRUE(there_.adopt(*frozen));
  ASSERT_TRUE(here_.cancel(here_cancelled.id)) << "it is adopted, and not forgotten yet";
  house_.finish();
  ASSERT_TRUE(house_.waiting([&] { return here_.forget(key); }));
  EXPECT_EQ(there_cancelled.result.get().finish, Finish::kCancelled);
  EXPECT_EQ(here_cancelled.result.get().finish, Finish::kCancelled);
}

TEST_F(MoveCalls, TokensThatComeWhileItIsFrozenFollowIt) {
  for (const bool moves : {true, false}) {
    SCOPED_TRACE(moves);
    auto asked = here_
                     .enqueue(*here_.prepare(request("a", "x", 5), Runtime::Prompt::kLater), {},
                              {.key = {1000}, .kv = {}}, {.open = {}, .awaited = true})
                     .value();
    steps(3);
    const MoveKey key = begin();
    const auto frozen = freeze(key);
    here_.open(asked.id, [](const Executor&) -> Result<Opening> {
      return Opening{.tokens = {1, 2, 3}, .kv = {}};
    });
    if (moves) {
      ASSERT_TRUE(there_.adopt(*frozen));
      ASSERT_TRUE(house_.waiting([&] { return here_.forget(key); }));
    } else {
      ASSERT_TRUE(there_.withdraw(key));
      ASSERT_TRUE(here_.thaw(key));
    }
    house_.finish();
    EXPECT_EQ(asked.result.get().usage.prompt_tokens, 3);
    if (moves) {
      ASSERT_TRUE(house_.waiting([&] { return there_.migrate("a", here_); }));
    }
  }
}

TEST_F(MoveCalls, WhatWaitsForItsExecutorGoesAlongOrStays) {
  for (const bool moves : {false, true}) {
    SCOPED_TRACE(moves);
    ASSERT_TRUE(here_.unload("a"));
    auto asked = here_.enqueue(*here_.prepare(request("a", "hello", 5)), {}).value();
    const MoveKey key = begin();
    const auto frozen = freeze(key);
    EXPECT_EQ(frozen->arrivals.size(), 1U);
    EXPECT_EQ(here_.enqueue(*here_.prepare(request("a", "hello", 5)), {}).error().code,
              Code::kNotFound)
        << "it could not go along";
    if (moves) {
      FrozenExecutor sent = copy_of(*frozen);
      ASSERT_TRUE(there_.adopt(sent));
      ASSERT_TRUE(house_.waiting([&] { return here_.forget(key); }));
    } else {
      ASSERT_TRUE(there_.withdraw(key));
      ASSERT_TRUE(here_.thaw(key));
    }
    house_.finish();
    EXPECT_EQ(asked.result.get().tokens, alone(5));
  }
}

TEST_F(MoveCalls, WhoComesToTheNewNodeTooEarlyWaits) {
  auto asked = ask();
  const MoveKey key = begin();
  EXPECT_FALSE(there_.unload("a"));
  const auto frozen = freeze(key);
  auto early = there_.enqueue(*there_.prepare(request("a", "hello", 5)), {}).value();
  EXPECT_EQ(there_.info().requests_active, 1);
  steps(5);
  EXPECT_EQ(there_.executor("a")->steps, 0U);
  ASSERT_TRUE(there_.adopt(*frozen));
  ASSERT_TRUE(house_.waiting([&] { return here_.forget(key); }));
  house_.finish();
  EXPECT_EQ(early.result.get().tokens, alone(5));
  EXPECT_EQ(asked.result.get().tokens, alone());
}

TEST_F(MoveCalls, APromptThatIsMadeLateIsMadeInTheNewNode) {
  ASSERT_TRUE(here_.unload("a"));
  auto asked = here_
                   .enqueue(*here_.prepare(request("a", "x", 5), Runtime::Prompt::kLater), {}, {},
                            {.open = [](const Executor&) -> Result<Opening> {
                              return Opening{.tokens = {1, 2, 3}, .kv = {}};
                            }})
                   .value();
  const MoveKey key = begin();
  FrozenExecutor sent = copy_of(*freeze(key));
  ASSERT_TRUE(there_.adopt(sent));
  ASSERT_TRUE(house_.waiting([&] { return here_.forget(key); }));
  house_.finish();
  EXPECT_EQ(asked.result.get().usage.prompt_tokens, 3);
}

TEST_F(MoveCalls, ARefusalWhileItIsFrozenReachesIt) {
  auto asked = here_
                   .enqueue(*here_.prepare(request("a", "x", 5), Runtime::Prompt::kLater), {}, {},
                            {.open = {}, .awaited = true})
                   .value();
  const MoveKey key = begin();
  const auto frozen = freeze(key);
  here_.refuse(asked.id, {Code::kCancelled, "it was deleted"});
  ASSERT_TRUE(there_.adopt(*frozen));
  ASSERT_TRUE(house_.waiting([&] { return here_.forget(key); }));
  house_.finish();
  EXPECT_EQ(asked.result.get().error->message, "it was deleted");
}

TEST_F(MoveCalls, LeasesGoAlongWithTheTimeThatIsLeft) {
  ASSERT_TRUE(here_.hold("a", "school", std::chrono::seconds(10)));
  ASSERT_TRUE(here_.hold("a", "clinic", std::chrono::milliseconds::max()));
  house_.clock().advance(std::chrono::seconds(4));
  const MoveKey key = begin();
  FrozenExecutor sent = copy_of(*freeze(key));
  ASSERT_TRUE(there_.adopt(sent));
  ASSERT_TRUE(house_.waiting([&] { return here_.forget(key); }));
  const auto leases = there_.executor("a")->leases;
  ASSERT_EQ(leases.size(), 2U);
  EXPECT_EQ(leases[0].tenant, "clinic");
  EXPECT_EQ(leases[0].seconds_left, std::numeric_limits<double>::infinity());
  EXPECT_EQ(leases[1].tenant, "school");
  EXPECT_NEAR(leases[1].seconds_left, 6, 0.01);
}

TEST_F(MoveCalls, WhatWasCountedGoesOn) {
  auto asked = ask(10);
  house_.finish();
  const auto before = *here_.executor("a");
  ASSERT_TRUE(house_.waiting([&] { return here_.migrate("a", there_); }));
  const auto after = *there_.executor("a");
  EXPECT_EQ(after.output_tokens, before.output_tokens);
  EXPECT_EQ(after.requests_done, 1U);
  EXPECT_EQ(after.compute_seconds, before.compute_seconds);
  EXPECT_EQ(after.seconds_per_output_token, before.seconds_per_output_token);
}

}  // namespace
}  // namespace choir
