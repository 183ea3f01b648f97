// Where requests are found: by id in any node of the process, until their end was told.
#include "runtime/request_directory.h"

#include <gtest/gtest.h>

#include <set>

#include "runtime/request_state.h"
#include "tests/fake_node.h"

namespace choir {
namespace {

class CountingHome final : public RequestHome {
 public:
  ~CountingHome() override { link()->close(); }
  void drained(const RequestState&) override {}
  void ended(const RequestState&, const Completion&) override {}
  void cancelled(const RequestState&) override { ++told; }
  bool post(const RequestState& request, const RequestJob&) override { return take(request); }
  bool open(const RequestState& request, const Opener&) override { return take(request); }
  bool refuse(const RequestState& request, const Error&) override { return take(request); }
  bool take(const RequestState& request) {
    ++posted;
    if (moves_to != nullptr) const_cast<RequestState&>(request).move_to(*moves_to, {7});
    return moves_to == nullptr;
  }
  int told = 0;
  int posted = 0;
  CountingHome* moves_to = nullptr;
};

std::shared_ptr<RequestState> state_of(RequestHome& home, std::uint64_t id) {
  return std::make_shared<RequestState>(RequestId{id}, home, ExecutorId{1}, Instant{}, Instant{},
                                        Callbacks{});
}

TEST(RequestDirectory, FindsWhatHasEnteredUntilItLeaves) {
  RequestDirectory directory(1);
  CountingHome home;
  const auto state = state_of(home, 5);
  EXPECT_EQ(directory.find({5}), nullptr);
  directory.enter(state);
  EXPECT_EQ(directory.find({5}), state);
  directory.leave({5});
  EXPECT_EQ(directory.find({5}), nullptr);
}

TEST(RequestDirectory, KeepsNoRequestAlive) {
  RequestDirectory directory(1);
  CountingHome home;
  directory.enter(state_of(home, 5));
  EXPECT_EQ(directory.find({5}), nullptr);
}

TEST(RequestDirectory, IdsGoOnPastTwoToThe32) {
  constexpr std::uint64_t kLow = (std::uint64_t{7} << 32U) | 0xFFFFFFFEU;
  RequestDirectory directory(kLow);
  for (std::uint64_t i = 0; i < 4; ++i) EXPECT_EQ(directory.next_id().value, kLow + i);
}

TEST(RequestDirectory, IdsBeginWhereTwoToThe63AreLeft) {
  const auto directory = RequestDirectory::of_process();
  const std::uint64_t id = directory->next_id().value;
  EXPECT_GT(id, 0U);
  EXPECT_LT(id, std::uint64_t{1} << 63U);
}

TEST(RequestDirectory, NodesOfAProcessShareOneAndSoTheirIdsDiffer) {
  const auto one = start();
  const auto other = start();
  std::set<RequestId> ids;
  for (const auto& node : {one, other}) ASSERT_TRUE(node->add(executor("a")));
  for (int i = 0; i < 4; ++i)
    for (const auto& node : {one, other}) {
      auto submission = node->submit(request("a", "hello"), {});
      ASSERT_TRUE(submission);
      EXPECT_TRUE(ids.empty() || *ids.rbegin() < submission->id) << "in the order of calls";
      EXPECT_TRUE(ids.insert(submission->id).second);
      (void)submission->result.get();
    }
}

TEST(RequestDirectory, OneThatHasEndedIsNotActive) {
  const auto node = start();
  ASSERT_TRUE(node->add(executor("a")));
  auto submission = node->submit(request("a", "hello"), {});
  (void)submission->result.get();
  EXPECT_EQ(node->cancel(submission->id).error().code, Code::kNotFound);
  EXPECT_EQ(RequestDirectory::of_process()->find(submission->id), nullptr);
}

TEST(RequestPlace, ACancelIsToldToTheNodeThatHasIt) {
  CountingHome from;
  CountingHome to;
  const auto state = state_of(from, 5);
  state->move_to(to, {2});
  cancel_wherever_it_is(*state);
  EXPECT_TRUE(state->cancelled.load());
  EXPECT_EQ(from.told, 0);
  EXPECT_EQ(to.told, 1);
}

TEST(RequestPlace, AJobFollowsARequestThatMovesMeanwhile) {
  CountingHome from;
  CountingHome to;
  from.moves_to = &to;
  const auto state = state_of(from, 5);
  EXPECT_TRUE(post_wherever_it_is(*state, [](Executor&) {}));
  EXPECT_EQ(from.posted, 1);
  EXPECT_EQ(to.posted, 1);
}

TEST(RequestPlace, APromptAndARefusalFollowItToo) {
  CountingHome from;
  CountingHome to;
  from.moves_to = &to;
  open_wherever_it_is(*state_of(from, 5), nullptr);
  EXPECT_EQ(to.posted, 1);
  refuse_wherever_it_is(*state_of(from, 6), {Code::kCancelled, "on purpose"});
  EXPECT_EQ(from.posted, 2);
  EXPECT_EQ(to.posted, 2);
}

TEST(RequestPlace, ANodeThatHasEndedTakesNothing) {
  std::shared_ptr<RequestState> state;
  {
    CountingHome home;
    state = state_of(home, 5);
  }
  cancel_wherever_it_is(*state);
  EXPECT_TRUE(state->cancelled.load());
  EXPECT_FALSE(post_wherever_it_is(*state, [](Executor&) {}));
}

TEST(RequestPlace, OneThatHasEndedTakesNoJob) {
  CountingHome home;
  const auto state = state_of(home, 5);
  state->finish({});
  EXPECT_FALSE(post_wherever_it_is(*state, [](Executor&) {}));
  EXPECT_EQ(home.posted, 0);
}

}  // namespace
}  // namespace choir
