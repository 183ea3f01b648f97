// Executors that move between nodes over links that lose, repeat and delay: on the fake engine, in
// virtual time.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/fake_node.h"
#include "tests/house.h"
#include "tests/loopback_node.h"

namespace choir {
namespace {

struct Asked {
  Request request;
  ConversationKey conversation;
  bool gated = false;
  std::vector<TokenId> provided;  // of one that is awaited
  bool streamed = false;
  bool cancelled = false;
  std::string pieces;
  int ends = 0;
  Submission submission;
};

std::vector<Asked> workload(std::mt19937& dice) {
  const auto upto = [&](unsigned n) { return static_cast<std::int32_t>(1 + dice() % n); };
  std::vector<Asked> all(3 + dice() % 8);
  for (std::size_t i = 0; i < all.size(); ++i) {
    Asked& one = all[i];
    std::string text;
    for (auto n = upto(60); n > 0; --n) text += static_cast<char>('a' + dice() % 26);
    one.request = request("a", text, upto(60));
    one.request.ignore_eos = dice() % 2 == 0;
    one.request.sampling.seed = dice();
    one.request.priority = static_cast<Priority>(dice() % 4);
    one.request.tenant = "t" + std::to_string(dice() % 3);
    if (dice() % 3 == 0) one.request.stop = {"e"};
    one.streamed = dice() % 3 == 0;
    switch (dice() % 5) {
      case 0:
        one.conversation = {2000 + i};
        break;
      case 1:
        one.conversation = {2000 + i};
        for (auto n = upto(30); n > 0; --n) one.provided.push_back(upto(89));
        break;
      case 2:
        one.gated = true;
        break;
      default:
        break;
    }
  }
  return all;
}

class Linked {
 public:
  explicit Linked(std::uint32_t seed) : dice_(seed), all_(workload(dice_)) {
    for (std::size_t i = 0; i < house_.size(); ++i)
      nodes_.push_back(std::make_unique<LoopbackNode>(house_[i], dice_));
    ExecutorConfig config = executor("a", 3);
    config.context_tokens = 160;
    config.park_bytes_max = dice_() % 2 == 0 ? 0 : 4096;
    EXPECT_TRUE(house_[0].add(config));
  }

  // Each request by the order of the workload: how it ended.
  std::vector<Completion> run(bool moving) {
    std::size_t submitted = 0;
    for (int round = 0; round < 60 || submitted < all_.size(); ++round) {
      if (moving && dice_() % 3 == 0) set_links(dice_() % 2 == 0);
      if (submitted < all_.size() && dice_() % 2 == 0 && submit(all_[submitted])) ++submitted;
      for (auto n = dice_() % 6; n > 0; --n) house_.step();
      if (moving && dice_() % 4 == 0) move();
      if (moving && dice_() % 10 == 0) cancel_one(submitted);
      let_some_begin(dice_() % 4 == 0);
    }
    if (moving) settle();
    let_some_begin(true);
    house_.finish();
    std::vector<Completion> ends;
    for (Asked& one : all_) {
      EXPECT_EQ(one.ends, 1);
      if (one.ends != 1) return {};
      ends.push_back(one.submission.result.get());
      if (one.streamed) {
        EXPECT_EQ(one.pieces, ends.back().text);
      }
    }
    for (std::size_t i = 0; i < house_.size(); ++i) {
      EXPECT_EQ(house_[i].info().requests_active, 0);
      EXPECT_EQ(house_[i].executors().size(), i == at_ ? 1U : 0U) << "node " << i;
    }
    return ends;
  }
  const std::vector<Asked>& all() const { return all_; }
  int moved = 0;
  int refused = 0;
  int unsettled = 0;
  int lost() const {
    int sum = 0;
    for (const auto& node : nodes_) sum += node->counts.lost + node->counts.late;
    return sum;
  }
  int repeated() const {
    int sum = 0;
    for (const auto& node : nodes_) sum += node->counts.repeated;
    return sum;
  }

 private:
  void set_links(bool bad) {
    for (const auto& node : nodes_)
      node->link = bad ? LoopbackNode::Link{.lost = static_cast<unsigned>(dice_() % 70),
                                            .answer_lost = static_cast<unsigned>(dice_() % 70),
                                            .repeated = static_cast<unsigned>(dice_() % 50),
                                            .late = static_cast<unsigned>(dice_() % 40),
                                            .answer_twice = 50}
                       : LoopbackNode::Link{};
  }
  bool submit(Asked& one) {
    Callbacks callbacks;
    callbacks.on_done = [&one](const Completion&) { ++one.ends; };
    if (one.streamed)
      callbacks.on_event = [&one](const StreamEvent& event) { one.pieces += event.text; };
    // While it is frozen a caller waits at its door.
    if (open_) return false;
    auto submission = house_.waiting([&]() -> Result<Submission> {
      const Continuation how{.key = one.conversation, .kv = {}};
      if (one.provided.empty())
        return nodes_[at_]->submit(one.request, std::move(callbacks), how,
                                   one.gated ? Gated::kYes : Gated::kNo);
      Runtime& node = house_[at_];
      return node.enqueue(CHOIR_TRY(node.prepare(one.request, Runtime::Prompt::kLater)),
                          std::move(callbacks), how, {.open = {}, .awaited = true});
    });
    EXPECT_TRUE(submission) << submission.error().message;
    if (!submission) return false;
    one.submission = std::move(*submission);
    return true;
  }
  void let_some_begin(bool now) {
    if (!now) return;
    std::vector<RequestId> gated;
    for (Asked& one : all_) {
      if (!one.submission.result.valid()) continue;
      if (!one.provided.empty())
        house_[0].open(one.submission.id,
                       [tokens = std::exchange(one.provided, {})](const Executor&) {
                         return Result<Opening>(Opening{.tokens = tokens, .kv = {}});
                       });
      if (std::exchange(one.gated, false)) gated.push_back(one.submission.id);
    }
    if (!gated.empty()) house_[dice_() % house_.size()].open_gate(gated);
  }
  void cancel_one(std::size_t submitted) {
    if (submitted == 0) return;
    Asked& one = all_[dice_() % submitted];
    one.cancelled = true;
    LoopbackNode& node = *nodes_[dice_() % nodes_.size()];
    (void)house_.waiting([&] { return node.cancel(one.submission.id); });
  }
  // One that is open, and else a new one.
  void move() {
    std::size_t to = dice_() % nodes_.size();
    if (open_) to = *open_;
    const Status moved_there = house_.waiting(
        [&] { return move_executor(*nodes_[at_], *nodes_[to], "a", [&] { reached_ = true; }); });
    EXPECT_TRUE(!moved_there || reached_ || at_ == to);
    if (moved_there || (reached_ && moved_there.error().code == Code::kNotFound)) {
      // Also where the last answer was lost, and the old node knows nothing of it any more.
      moved += at_ == to ? 0 : 1;
      at_ = to;
      open_.reset();
      reached_ = false;
    } else if (is_unanswered(moved_there.error())) {
      ++unsettled;
      open_ = to;
    } else {
      EXPECT_FALSE(reached_) << moved_there.error().message;
      ++refused;
      open_.reset();
    }
  }
  void settle() {
    set_links(false);
    for (int i = 0; open_ && i < 10; ++i) move();
    EXPECT_FALSE(open_);
    for (const auto& node : nodes_) house_.waiting([&] { return node->deliver_late(), 0; });
    house_.step();
  }

  std::mt19937 dice_;
  House house_{3};
  std::vector<std::unique_ptr<LoopbackNode>> nodes_;
  std::vector<Asked> all_;
  std::size_t at_ = 0;
  std::optional<std::size_t> open_;  // the node of a move that has not ended
  bool reached_ = false;             // that move has told so
};

TEST(MovesProperty, WhateverIsLostOrRepeatedEachRequestEndsOnceWithItsTokens) {
  int moved = 0;
  int unsettled = 0;
  int refused = 0;
  int lost = 0;
  int repeated = 0;
  int cancelled = 0;
  for (std::uint32_t seed = 1; seed <= 400; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Linked still(seed);
    const std::vector<Completion> want = still.run(false);
    Linked moving(seed);
    const std::vector<Completion> got = moving.run(true);
    ASSERT_EQ(got.size(), want.size());
    ASSERT_FALSE(testing::Test::HasFailure());
    for (std::size_t i = 0; i < got.size(); ++i) {
      SCOPED_TRACE("request " + std::to_string(i));
      if (moving.all()[i].cancelled && got[i].finish == Finish::kCancelled) {
        ++cancelled;
        ASSERT_TRUE(std::ranges::equal(got[i].tokens,
                                       std::span(want[i].tokens).first(got[i].tokens.size())));
        continue;
      }
      ASSERT_EQ(got[i].finish, want[i].finish);
      ASSERT_EQ(got[i].tokens, want[i].tokens);
      ASSERT_EQ(got[i].text, want[i].text);
      ASSERT_EQ(got[i].usage.prompt_tokens, want[i].usage.prompt_tokens);
      ASSERT_EQ(got[i].usage.output_tokens, want[i].usage.output_tokens);
    }
    moved += moving.moved;
    unsettled += moving.unsettled;
    refused += moving.refused;
    lost += moving.lost();
    repeated += moving.repeated();
  }
  // That all of it was tried.
  EXPECT_GT(moved, 500);
  EXPECT_GT(unsettled, 100);
  EXPECT_GT(refused, 10);
  EXPECT_GT(lost, 1000);
  EXPECT_GT(repeated, 500);
  EXPECT_GT(cancelled, 50);
}

}  // namespace
}  // namespace choir
