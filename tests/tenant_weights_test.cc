// Tenants with weights on a real model: what each gets of 1,000 passes and more.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "choir/node.h"
#include "tests/real_models.h"

namespace choir {
namespace {

constexpr int kRequests = 400;  // of each tenant
constexpr std::int32_t kSlots = 4;

struct Counted {
  std::map<std::string, int> left = {{"three", kRequests}, {"one", kRequests}};
  std::map<std::string, double> tokens;  // while both wait for more
  std::uint64_t passes = 0;              // until then
};

TEST(TenantWeights, ThreeBesideOneGetsThreePartsOfFourOfARealModel) {
  NodeConfig config;
  config.queue_max = 4 * kRequests;  // so that all of weight 1 are a quarter
  const auto node = Node::create(config).value();
  ExecutorConfig executor;
  executor.name = "a";
  executor.path = stories();
  executor.sequences_max = kSlots;
  executor.context_tokens = kSlots * 64;
  executor.prefix_cache = false;
  ASSERT_TRUE(node->add(executor));
  ASSERT_TRUE(node->suspend("a"));  // until all are there

  Guarded<Counted> counted;
  std::vector<Submission> submissions;
  for (int i = 0; i < kRequests; ++i)
    for (const std::string tenant : {"one", "three"}) {
      Request request;
      request.executor = "a";
      request.text = tenant == "one" ? "Once upon a time there was a little girl" : "Once";
      request.max_tokens = tenant == "one" ? 8 : 12;
      request.ignore_eos = true;
      request.tenant = tenant;
      request.tenant_weight = tenant == "three" ? 3 : 1;
      const auto count = [&counted, &node, tenant](const Completion& completion) {
        counted.with([&](Counted& c) {
          --c.left[tenant];
          if (c.left["one"] <= kSlots || c.left["three"] <= kSlots) return;
          c.passes = node->executor("a")->steps;
          c.tokens[tenant] += completion.usage.prompt_tokens + completion.usage.output_tokens - 1;
        });
      };
      auto submission = node->submit(request, {.on_event = {}, .on_done = count});
      ASSERT_TRUE(submission) << submission.error().message;
      submissions.push_back(std::move(*submission));
    }
  ASSERT_TRUE(node->resume("a"));
  for (Submission& submission : submissions)
    EXPECT_EQ(submission.result.get().finish, Finish::kLength);
  const Counted all = counted.with([](const Counted& c) { return c; });
  const double three = all.tokens.at("three");
  const double one = all.tokens.at("one");
  std::printf("weight 3: %.0f tokens, weight 1: %.0f tokens, %.4f of all; %llu passes\n", three,
              one, three / (three + one), static_cast<unsigned long long>(all.passes));
  EXPECT_GE(all.passes, 1000U);
  EXPECT_NEAR(three / (three + one), 0.75, 0.75 * 0.05);
}

}  // namespace
}  // namespace choir
