// What clients of the daemon do at the same time as others change its models, cancel requests and
// end it. The counts are small: the thread sanitizer looks at the order, not at luck.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "serve/json_in.h"
#include "tests/fake_served.h"

namespace choir::serve {
namespace {

constexpr int kRounds = 30;
const std::string kPrompt = R"({"model": "writer", "prompt": "Once", "ignore_eos": true, )";

// Threads of a test, and what they did not expect.
class Clients {
 public:
  ~Clients() { join(); }
  void start(std::function<void()> work) { threads_.emplace_back(std::move(work)); }
  void join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  void expect(const Result<ClientReply>& reply, std::initializer_list<int> statuses,
              const std::string& what) {
    if (reply && std::ranges::find(statuses, reply->status) != statuses.end()) return;
    wrong_.with([&](std::string& all) {
      all += what + ": " +
             (reply ? std::to_string(reply->status) + " " + reply->body : reply.error().message) +
             "\n";
    });
  }
  std::string wrong() const {
    return wrong_.with([](const std::string& all) { return all; });
  }

 private:
  std::vector<std::thread> threads_;
  Guarded<std::string> wrong_;
};

TEST(ServeRaces, TokensAndVectorsComeWhileTheirModelsLeaveAndReturn) {
  FakeServed served;
  Clients clients;
  std::atomic<bool> over{false};
  const auto repeat = [&](std::function<void()> work) {
    clients.start([&over, work = std::move(work)] {
      while (!over.load()) work();
    });
  };
  for (int i = 0; i < 2; ++i) {
    repeat([&] {
      clients.expect(served.ask("POST", "/tokenize", R"({"model": "writer", "content": "Once"})"),
                     {200}, "tokenize");
    });
    repeat([&] {
      clients.expect(
          served.ask("POST", "/v1/embeddings", R"({"model": "encoder", "input": ["a", "b"]})"),
          {200}, "embeddings");
    });
  }
  repeat([&] {
    clients.expect(served.ask("POST", "/v1/completions", kPrompt + R"("max_tokens": 4})"), {200},
                   "completions");
  });
  // 409: it has requests, or is just being loaded.
  for (int round = 0; round < kRounds; ++round)
    for (const char* action : {"unload", "load"})
      for (const char* model : {"writer", "encoder"})
        clients.expect(
            served.ask("POST", "/choir/v1/models/" + std::string(model) + "/" + action, "{}"),
            {200, 409}, action);
  over.store(true);
  clients.join();
  EXPECT_EQ(clients.wrong(), "");
}

TEST(ServeRaces, CancelsMeetEndsAndClientsThatLeave) {
  FakeServed served;
  Clients clients;
  std::atomic<int> running{4};
  for (int client = 0; client < 4; ++client)
    clients.start([&, client] {
      for (int round = 0; round < kRounds; ++round) {
        int events = 0;
        const bool leaves = (client + round) % 2 == 0;
        const auto reply = served.stream("/v1/completions",
                                         kPrompt + R"("max_tokens": 400, "n": 2, "stream": true})",
                                         {.on_event = [&](std::string_view) { ++events; },
                                          .go_on = [&] { return !leaves || events < round; }});
        // 503: it was cancelled before its stream began.
        if (reply || reply.error().code != Code::kCancelled)
          clients.expect(reply, {200, 503}, "stream");
      }
      --running;
    });
  while (running.load() > 0) {
    const auto all = served.ask("GET", "/choir/v1/requests");
    clients.expect(all, {200}, "requests");
    if (!all) break;
    const Json json = Json::parse(all->body);
    for (const Json& request : json["requests"])
      clients.expect(served.ask("DELETE", "/choir/v1/requests/" + request["id"].get<std::string>()),
                     {200, 404}, "cancel");
  }
  clients.join();
  EXPECT_EQ(clients.wrong(), "");
  EXPECT_TRUE(served.node().wait_idle(std::chrono::minutes(1)));
}

TEST(ServeRaces, ADrainEndsWhatRunsAndWhatStandsStill) {
  FakeServed served;
  ASSERT_TRUE(served.node().load("still"));
  ASSERT_TRUE(served.node().suspend("still"));
  Clients clients;
  for (int client = 0; client < 2; ++client) {
    clients.start([&] {
      const auto reply =
          served.stream("/v1/completions",
                        R"({"model": "still", "prompt": "Once", "max_tokens": 4, "stream": true})",
                        {.on_event = [](std::string_view) {}});
      clients.expect(reply, {503}, "a stream that stands still");
      EXPECT_TRUE(reply && reply->body.find("draining") != std::string::npos);
    });
    // Until it is refused, or nobody answers any more.
    clients.start([&] {
      for (;;) {
        const auto reply =
            served.stream("/v1/completions", kPrompt + R"("max_tokens": 400, "stream": true})",
                          {.on_event = [](std::string_view) {}});
        if (!reply || reply->status != 200) return;
      }
    });
  }
  const auto stand_still = [&] {
    return std::ranges::count(served.node().requests(), "still", &RequestInfo::executor);
  };
  while (stand_still() < 2) std::this_thread::yield();
  served.node().close_door();
  Server& server = served.server();
  server.drain([&server] { server.stop(); });
  server.post([&server] {
    server.end_all({.status = 503, .message = "it ends", .code = "draining"});
    server.after(kTimeToTell, [&server] { server.stop(); });
  });
  served.wait();
  clients.join();
  EXPECT_EQ(clients.wrong(), "");
  EXPECT_TRUE(served.node().wait_idle(std::chrono::minutes(1)));
}

}  // namespace
}  // namespace choir::serve
