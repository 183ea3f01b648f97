// Requests that come together: all of them are accepted, or none is. And the choices of one prompt.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "choir/node.h"
#include "tests/driven.h"
#include "tests/fake_node.h"
#include "tests/real_models.h"

namespace choir {
namespace {

using Choice = std::vector<TokenId>;

std::vector<Request> choices_of(const Request& request, std::uint32_t count) {
  std::vector<Request> all(count, request);
  for (std::uint32_t i = 0; i < count; ++i) all[i].stream = i;
  return all;
}

class SubmitAll : public testing::Test {
 protected:
  static NodeConfig config() {
    NodeConfig config;
    config.queue_max = 8;
    return config;
  }
  Request one() {
    Request r = request("a", "Once upon a time there was a girl", 12);
    r.sampling.seed = 7;
    return r;
  }
  std::vector<Completion> ends_of(std::vector<Submission>& submissions) {
    node.finish();
    std::vector<Completion> ends;
    for (Submission& s : submissions) ends.push_back(s.result.get());
    return ends;
  }
  Result<std::vector<Submission>> enqueue(std::uint32_t count) {
    const Prepared first = *node->prepare(one());
    std::vector<Prepared> all;
    for (std::uint32_t i = 0; i < count; ++i) all.push_back(first.choice(i));
    return node->enqueue_all(std::move(all), {});
  }

  Driven node{config()};
};

TEST_F(SubmitAll, AChoiceHasTheTokensThatItsStreamHasAlone) {
  ASSERT_TRUE(node->add(executor("a")));
  auto together = node->submit_all(choices_of(one(), 4), {});
  ASSERT_TRUE(together) << together.error().message;
  const auto ends = ends_of(*together);
  std::set<Choice> different;
  for (std::uint32_t i = 0; i < 4; ++i) {
    Request alone = one();
    alone.stream = i;
    auto submission = node->submit(alone, {});
    node.finish();
    EXPECT_EQ(ends[i].tokens, submission->result.get().tokens) << "stream " << i;
    different.insert(ends[i].tokens);
  }
  EXPECT_EQ(different.size(), 4U);
}

TEST_F(SubmitAll, GreedyChoicesAreTheSame) {
  ASSERT_TRUE(node->add(executor("a")));
  Request greedy = one();
  greedy.sampling.temperature = 0;
  auto together = *node->submit_all(choices_of(greedy, 2), {});
  const auto ends = ends_of(together);
  EXPECT_EQ(ends[0].tokens, ends[1].tokens);
}

TEST_F(SubmitAll, TheirPromptIsComputedOnce) {
  ASSERT_TRUE(node->add(executor("a")));
  auto together = *node->submit_all(choices_of(one(), 4), {});
  const auto ends = ends_of(together);
  const std::int32_t prompt = ends[0].usage.prompt_tokens;
  EXPECT_EQ(ends[0].usage.reused_tokens, 0);
  for (int i = 1; i < 4; ++i) EXPECT_EQ(ends[i].usage.reused_tokens, prompt - 1);
  EXPECT_EQ(node->executor("a")->prompt_tokens, static_cast<std::uint64_t>(prompt));
}

TEST_F(SubmitAll, EachCountsForTheQueueAndNoneComesInWhereNotAllDo) {
  ASSERT_TRUE(node->add(executor("a")));
  ASSERT_TRUE(node->submit_all(choices_of(one(), 3), {}));
  EXPECT_EQ(node->executor("a")->active, 3);
  for (const auto& refused : {node->submit_all(choices_of(one(), 6), {}), enqueue(6)}) {
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kOverloaded);
    EXPECT_EQ(refused.error().facts, (std::vector<Fact>{{"waiting", 3}, {"queue_max", 8}}));
    EXPECT_EQ(node->executor("a")->active, 3);
    EXPECT_EQ(node->requests().size(), 3U);
  }
  EXPECT_TRUE(node->submit_all(choices_of(one(), 5), {})) << "as many as there is room for";
  node.finish();
  EXPECT_EQ(node->executor("a")->requests_done, 8U);
}

TEST_F(SubmitAll, EachCountsForItsTenantsPartOfTheQueue) {
  ASSERT_TRUE(node->add(executor("a")));
  Request other = one();
  other.tenant = "u";
  ASSERT_TRUE(node->submit(other, {}));
  const auto refused = node->submit_all(choices_of(one(), 5), {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fact("tenant_share"), 4);
  EXPECT_EQ(refused.error().fact("tenant_waiting"), 0);
  EXPECT_TRUE(node->submit_all(choices_of(one(), 4), {}));
}

TEST_F(SubmitAll, NoMoreRunAtOnceThanTheExecutorHasSequences) {
  ASSERT_TRUE(node->add(executor("a", 2)));
  auto together = *node->submit_all(choices_of(one(), 5), {});
  std::int32_t most = 0;
  while (node.step()) most = std::max(most, node->executor("a")->running);
  EXPECT_EQ(most, 2);
  for (const Completion& end : ends_of(together)) EXPECT_EQ(end.finish, Finish::kLength);
}

TEST_F(SubmitAll, CriticalOnesAreCounted) {
  ASSERT_TRUE(node->add(executor("a")));
  Request urgent = one();
  urgent.priority = Priority::kCritical;
  std::vector<Request> requests = choices_of(urgent, 3);
  requests[1].priority = Priority::kLow;
  auto together = *node->submit_all(requests, {});
  for (const Completion& end : ends_of(together)) EXPECT_EQ(end.finish, Finish::kLength);
}

TEST_F(SubmitAll, EnqueuedForAColdExecutorTheyShareItsLoad) {
  ASSERT_TRUE(node->declare(executor("a")));
  auto together = enqueue(4);
  ASSERT_TRUE(together);
  EXPECT_EQ(node->executor("a")->active, 4);
  EXPECT_FALSE(enqueue(5)) << "those that wait for a load count";
  EXPECT_EQ(node->executor("a")->active, 4);
  node->parts().background.run_here();
  const auto cold = ends_of(*together);
  auto warm = enqueue(4);
  ASSERT_TRUE(warm);
  const auto ends = ends_of(*warm);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(ends[i].tokens, cold[i].tokens);
}

TEST_F(SubmitAll, EachIsToldAndCancelledByItself) {
  ASSERT_TRUE(node->add(executor("a")));
  std::vector<int> told(3);
  std::vector<Callbacks> callbacks(3);
  for (std::size_t i = 0; i < 3; ++i)
    callbacks[i].on_done = [&told, i](const Completion&) { ++told[i]; };
  auto together = *node->submit_all(choices_of(one(), 3), std::move(callbacks));
  ASSERT_TRUE(node->cancel(together[1].id));
  const auto ends = ends_of(together);
  EXPECT_EQ(ends[0].finish, Finish::kLength);
  EXPECT_EQ(ends[1].finish, Finish::kCancelled);
  EXPECT_EQ(ends[2].finish, Finish::kLength);
  EXPECT_EQ(told, (std::vector<int>{1, 1, 1}));
}

TEST_F(SubmitAll, WrongOnesAreRefusedWithTheirNumberAndNoneComesIn) {
  ASSERT_TRUE(node->add(executor("a")));
  const auto refused = [&](const std::vector<Request>& requests,
                           std::vector<Callbacks> callbacks = {}) {
    const auto result = node->submit_all(requests, std::move(callbacks));
    EXPECT_FALSE(result);
    EXPECT_EQ(node->executor("a")->active, 0);
    return result ? Error{} : result.error();
  };
  EXPECT_EQ(refused({}).code, Code::kInvalidArgument);
  EXPECT_EQ(refused(choices_of(one(), 3), std::vector<Callbacks>(2)).code, Code::kInvalidArgument);
  const Error many = refused(choices_of(one(), 9));
  EXPECT_EQ(many.code, Code::kInvalidArgument);
  EXPECT_EQ(many.facts, (std::vector<Fact>{{"value", 9}, {"limit", 8}}));
  auto requests = choices_of(one(), 3);
  requests[2].max_tokens = 0;
  EXPECT_EQ(refused(requests).message.substr(0, 11), "requests[2]");
  requests = choices_of(one(), 3);
  requests[1].text = std::string(600, 'x');
  EXPECT_EQ(refused(requests).code, Code::kTooLong);
  EXPECT_EQ(refused(requests).message.substr(0, 11), "requests[1]");
  requests = choices_of(one(), 3);
  requests[2].tenant = "u";
  EXPECT_EQ(refused(requests).message.substr(0, 11), "requests[2]");
  requests[2] = requests[1];
  requests[2].executor = "b";
  EXPECT_EQ(refused(requests).message.substr(0, 11), "requests[2]");
}

TEST_F(SubmitAll, DifferentPromptsAreTheirOwn) {
  ASSERT_TRUE(node->add(executor("a")));
  std::vector<Request> requests = {one(), one(), one()};
  requests[1].text = "another one";
  auto together = *node->submit_all(requests, {});
  const auto ends = ends_of(together);
  EXPECT_EQ(ends[1].usage.prompt_tokens, 11);
  EXPECT_EQ(ends[0].tokens, ends[2].tokens);
  auto alone = node->submit(requests[1], {});
  node.finish();
  EXPECT_EQ(ends[1].tokens, alone->result.get().tokens);
}

// With a real model as "a"; null: it could not be loaded.
std::unique_ptr<Node> node_of_stories() {
  auto node = Node::create({}).value();
  ExecutorConfig config;
  config.name = "a";
  config.path = stories();
  config.context_tokens = 1024;
  return node->add(config) ? std::move(node) : nullptr;
}

// The model has no template of its own.
TEST(Choices, WithAndWithoutADefaultTemplateHavePromptsOfTheirOwn) {
  const auto node = node_of_stories();
  ASSERT_TRUE(node);
  Request request;
  request.messages = {{"user", "Once upon a time"}};
  request.max_tokens = 1;
  std::vector<Request> requests = {request, request};
  requests[1].default_template = true;
  std::vector<std::int32_t> alone;
  for (const Request& one : requests) alone.push_back(node->run(one)->usage.prompt_tokens);
  ASSERT_NE(alone[0], alone[1]);
  auto together = node->submit_all(requests);
  ASSERT_TRUE(together) << together.error().message;
  for (std::size_t i = 0; i < 2; ++i)
    EXPECT_EQ((*together)[i].result.get().usage.prompt_tokens, alone[i]);
}

TEST(Choices, OfARealModelAreThoseOfTheirStreamsAlone) {
  const auto node = node_of_stories();
  ASSERT_TRUE(node);
  Request request;
  request.text = "Once upon a time there was a little girl who had a red ball and a small dog";
  request.max_tokens = 20;
  request.ignore_eos = true;
  request.sampling.seed = 42;
  std::vector<Choice> alone;
  for (const Request& choice : choices_of(request, 4)) alone.push_back(node->run(choice)->tokens);
  EXPECT_EQ(std::set<Choice>(alone.begin(), alone.end()).size(), 4U);

  request.reuse_scope = "another one";  // in which nothing is computed yet
  auto together = node->submit_all(choices_of(request, 4));
  ASSERT_TRUE(together) << together.error().message;
  std::int32_t prompt = 0;
  std::int32_t reused = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const Completion end = (*together)[i].result.get();
    EXPECT_EQ(end.tokens, alone[i]) << "stream " << i;
    prompt = end.usage.prompt_tokens;
    reused += end.usage.reused_tokens;
  }
  EXPECT_EQ(reused, 3 * (prompt - 1)) << "the prompt was computed once";
}

}  // namespace
}  // namespace choir
