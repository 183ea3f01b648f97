// One executor over a fake engine, driven turn by turn, and prompts that begin the same.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/caught_engine.h"
#include "runtime/executor.h"
#include "sim/fake_engine.h"
#include "sim/null_engine.h"

namespace choir {

using Tokens = std::vector<TokenId>;

// A front that all have, then two tokens of its own.
inline Tokens with_front(std::int32_t front, TokenId mark) {
  Tokens tokens(static_cast<std::size_t>(front));
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<TokenId>(i * 7 % 80);
  tokens.push_back(80 + mark);
  tokens.push_back(mark);
  return tokens;
}

class Stage {
 public:
  struct Options {
    std::int32_t cells = 1000;
    std::int32_t slots = 8;
    std::int32_t batch = 400;
    bool prefix_cache = true;
    sim::FakeRules rules = {};
    std::uint64_t park_bytes_max = 1 << 20;
    bool adapt_threads = true;
    Nanos age_step = std::chrono::milliseconds(500);
    std::size_t stream_bytes_max = 64U << 10U;
    bool caught = false;  // as a node has its engines
  };
  explicit Stage(const Options& options) {
    auto fake =
        std::make_unique<sim::FakeEngine>(model_, engine_config(options), options.rules, &clock);
    engine = fake.get();
    std::unique_ptr<Engine> used = std::move(fake);
    if (options.caught) used = caught_engine(std::move(used));
    ExecutorConfig config;
    config.name = "stage";
    config.prefix_cache = options.prefix_cache;
    config.park_bytes_max = options.park_bytes_max;
    executor.emplace(ExecutorId{1}, config, model_, std::move(used),
                     ExecutorRules{.age_step = options.age_step,
                                   .stream_bytes_max = options.stream_bytes_max,
                                   .adapt_threads = options.adapt_threads},
                     clock, [this](const std::shared_ptr<RequestState>& r) {
                       if (on_notify) on_notify(*r);
                     });
  }
  Stage() : Stage(Options{}) {}

  static EngineConfig engine_config(const Options& o) {
    return {.context_tokens = o.cells, .sequences_max = o.slots, .batch_tokens_max = o.batch};
  }

  struct Ask {
    std::int32_t max_tokens = 4;
    Priority priority = Priority::kNormal;
    ConversationKey talk = {};
    Sampling sampling = {};
    std::string tenant = {};
    std::string scope = {};
    double weight = 1;
    Nanos deadline{0};  // 0: none
    bool reads = false;
  };
  std::uint64_t post(const Tokens& tokens, const Ask& ask, KvState kv = {}) {
    Sequence s;
    s.id = {++last_};
    s.request = {last_};
    s.tokens = tokens;
    s.prompt_tokens = s.known_tokens();
    s.max_tokens = ask.max_tokens;
    s.sampling = ask.sampling;
    s.sampling.bias.push_back({sim::FakeModel::kEnd, -1e9F});
    s.priority = ask.priority;
    s.tenant = ask.tenant;
    s.tenant_weight = ask.weight;
    s.reuse_scope = ask.scope;
    asked_.emplace(last_, s);
    Callbacks callbacks;
    if (ask.reads) callbacks.on_news = [](RequestId) {};
    const Instant deadline = ask.deadline > Nanos{0} ? clock.now() + ask.deadline : Instant{};
    auto state = std::make_shared<RequestState>(s.request, home_, executor->id(), clock.now(),
                                                deadline, std::move(callbacks));
    states.emplace(last_, state);
    EXPECT_TRUE(executor->post({s, state, ask.talk, std::move(kv)}));
    return last_;
  }
  std::uint64_t post(const Tokens& tokens) { return post(tokens, {}); }

  void cancel(std::uint64_t id) {
    states.at(id)->cancelled.store(true);
    executor->interrupt({id});
  }
  void turn() { last_turn = executor->turn(pool_, false); }
  void turns() {
    for (int i = 0; i < 1000 && executor->has_work(); ++i) turn();
    EXPECT_FALSE(executor->has_work()) << "something stands still";
  }
  // Its end, and its tokens are its own.
  Completion end_of(std::uint64_t id) {
    const std::optional<Completion> end = states.at(id)->take_end();
    EXPECT_TRUE(end) << "it has not ended";
    if (!end) return {};
    if (end->finish == Finish::kLength) {
      EXPECT_EQ(end->tokens, sim::generate_alone(asked_.at(id), 1000));
    }
    return *end;
  }
  Completion ask(const Tokens& tokens, const Ask& how) {
    const auto id = post(tokens, how);
    turns();
    return end_of(id);
  }
  Completion ask(const Tokens& tokens) { return ask(tokens, {}); }
  std::uint64_t prompt_tokens() const { return executor->stats().prompt_tokens.load(); }
  std::int32_t cells() const { return executor->stats().cells.load(); }
  std::int32_t cached() const { return executor->stats().cached_cells.load(); }

  ManualClock clock;
  TurnResult last_turn;
  sim::FakeEngine* engine = nullptr;
  std::function<void(const RequestState&)> on_notify;  // in a turn, as a dispatcher would be told
  std::optional<Executor> executor;
  std::map<std::uint64_t, std::shared_ptr<RequestState>> states;

 private:
  std::shared_ptr<const Model> model_ = std::make_shared<const sim::FakeModel>();
  sim::FakePool pool_{2};
  sim::NullHome home_;
  std::map<std::uint64_t, Sequence> asked_;
  std::uint64_t last_ = 0;
};

}  // namespace choir
