// A tenant's part of an executor's queue, on its way through a node, in virtual time.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/driven.h"
#include "tests/fake_node.h"

namespace choir {
namespace {

constexpr int kQueueMax = 40;

class TenantQueue : public testing::Test {
 protected:
  static NodeConfig config() {
    NodeConfig config;
    config.queue_max = kQueueMax;
    return config;
  }
  static Request of(const std::string& tenant, double weight = 1) {
    Request r = request("a", "hello", 3);
    r.tenant = tenant;
    r.tenant_weight = weight;
    return r;
  }
  // How many more requests of the tenant come in.
  int room_for(const std::string& tenant, double weight = 1) {
    int came = 0;
    while (came <= kQueueMax && node->submit(of(tenant, weight), {})) ++came;
    return came;
  }
  void only_waiting() {
    ASSERT_TRUE(node->add(executor("a")));
    ASSERT_TRUE(node.waiting([&] { return node->suspend("a"); }));
  }

  Driven node{config()};
};

TEST_F(TenantQueue, OneThatIsAloneMayFillIt) {
  only_waiting();
  EXPECT_EQ(room_for("t"), kQueueMax);
}

TEST_F(TenantQueue, BesideAnotherOneItHasHalf) {
  only_waiting();
  ASSERT_TRUE(node->submit(of("u"), {}));
  EXPECT_EQ(room_for("t"), kQueueMax / 2);
  EXPECT_EQ(room_for("u"), kQueueMax / 2 - 1);
  EXPECT_EQ(room_for("v"), 0) << "it is full";
}

TEST_F(TenantQueue, ItsPartGoesByWeights) {
  only_waiting();
  ASSERT_TRUE(node->submit(of("u", 2), {}));
  EXPECT_EQ(room_for("t"), 13);
  EXPECT_EQ(room_for("u", 2), kQueueMax / 2 - 1) << "at most half";
  EXPECT_EQ(room_for("v", 0.001), kQueueMax - 13 - kQueueMax / 2);
}

TEST_F(TenantQueue, WhatItHasBeyondItsPartStaysAndTheOtherOneComesIn) {
  only_waiting();
  ASSERT_EQ(room_for("t"), kQueueMax);
  const auto ids = node->requests();
  const auto full = node->submit(of("u"), {});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().facts,
            (std::vector<Fact>{{"waiting", kQueueMax}, {"queue_max", kQueueMax}}));
  ASSERT_TRUE(node->cancel(ids.front().id));
  node.finish();
  const auto refused = node->submit(of("t"), {});
  ASSERT_FALSE(refused) << "it took the place that u was waiting for";
  EXPECT_EQ(refused.error().fact("tenant_share"), kQueueMax / 2);
  EXPECT_TRUE(node->submit(of("u"), {}));
  EXPECT_EQ(node->executor("a")->active, kQueueMax);
}

TEST_F(TenantQueue, CountsWhatWaitsForALoad) {
  ASSERT_TRUE(node->declare(executor("a")));
  const auto enqueue = [&](const std::string& tenant) {
    return node->enqueue(*node->prepare(of(tenant)), {});
  };
  ASSERT_TRUE(enqueue("u"));
  for (int i = 0; i < kQueueMax / 2; ++i) ASSERT_TRUE(enqueue("t"));
  EXPECT_EQ(enqueue("t").error().fact("tenant_waiting"), kQueueMax / 2);
  node->parts().background.run_here();
  EXPECT_EQ(enqueue("t").error().code, Code::kOverloaded);
  node.finish();
  EXPECT_EQ(room_for("t"), kQueueMax) << "all have left";
}

TEST_F(TenantQueue, CountsEmbeddings) {
  ASSERT_TRUE(node->add(executor("encoder")));
  ASSERT_TRUE(node.waiting([&] { return node->suspend("encoder"); }));
  const auto embed = [&](const std::string& tenant) {
    return node->submit_embed({.executor = "encoder", .texts = {"hello"}, .tenant = tenant}, {});
  };
  ASSERT_TRUE(embed("u"));
  for (int i = 0; i < kQueueMax / 2; ++i) ASSERT_TRUE(embed("t"));
  EXPECT_EQ(embed("t").error().fact("tenant_share"), kQueueMax / 2);
}

TEST_F(TenantQueue, GoesAlongWhenTheExecutorMoves) {
  Driven there(config());
  only_waiting();
  ASSERT_TRUE(node->submit(of("u"), {}));
  ASSERT_EQ(room_for("t"), kQueueMax / 2);
  ASSERT_TRUE(node->migrate("a", *there));
  EXPECT_EQ(there->submit(of("t"), {}).error().fact("tenant_waiting"), kQueueMax / 2);
  ASSERT_TRUE(there->resume("a"));
  there.finish();
  EXPECT_EQ(there->executor("a")->active, 0);
  for (int i = 0; i < kQueueMax; ++i) ASSERT_TRUE(there->submit(of("t"), {}));
}

TEST_F(TenantQueue, GoesAlongWhenRequestsMoveToAReplica) {
  ExecutorConfig replica = executor("b", 1);
  replica.path = "a.gguf";
  ASSERT_TRUE(node->add(executor("a", 1)));
  ASSERT_TRUE(node->add(replica));
  for (int i = 0; i < 12; ++i) ASSERT_TRUE(node->submit(of(i % 2 == 0 ? "t" : "u"), {}));
  const auto moved = node.waiting([&] { return node->spread_queues({"a", "b"}); });
  ASSERT_TRUE(moved);
  EXPECT_GT(*moved, 0);
  node.finish();
  EXPECT_EQ(node->info().requests_active, 0);
  EXPECT_EQ(room_for("t"), kQueueMax);
}

}  // namespace
}  // namespace choir
