// The numbers of errors, and where a code is translated.
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <set>
#include <string>

#include "apps/exit_code.h"
#include "engine/probe_process.h"
#include "policy/admit.h"
#include "tests/executor_stage.h"
#include "tests/fake_node.h"

namespace choir {
namespace {

using Facts = std::vector<Fact>;

Error sampled(const std::function<void(Sampling&)>& change) {
  Sampling sampling;
  change(sampling);
  return validate(sampling).error();
}

Error asked(const std::function<void(Request&)>& change) {
  Request asked = request("a", "text");
  change(asked);
  return validate(asked).error();
}

Error configured(const std::function<void(ExecutorConfig&)>& change) {
  ExecutorConfig config = executor("a");
  change(config);
  return validate(config).error();
}

Error node_of(const std::function<void(NodeConfig&)>& change) {
  NodeConfig config;
  change(config);
  return validate(config).error();
}

// Its context takes 512 tokens.
Error submitted(const Request& request) {
  const auto runtime = start();
  EXPECT_TRUE(runtime->add(executor("a")));
  return runtime->submit(request, {}).error();
}

Error of_tokens(std::size_t count) {
  Request many = request("a", "");
  many.tokens.assign(count, 1);
  return submitted(many);
}

Error embedded(std::size_t bytes) {
  const auto runtime = start();
  EXPECT_TRUE(runtime->add(executor("encoder")));
  return runtime->embed("encoder", std::string(bytes, 'x')).error();
}

Error of_a_full_queue() {
  const auto runtime = start({.queue_max = 2});
  EXPECT_TRUE(runtime->add(executor("a")));
  EXPECT_TRUE(runtime->suspend("a"));
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(runtime->submit(request("a", "x"), {}));
  return runtime->submit(request("a", "x"), {}).error();
}

Error of_a_full_part_of_the_queue() {
  const auto runtime = start({.queue_max = 40});
  EXPECT_TRUE(runtime->add(executor("a")));
  EXPECT_TRUE(runtime->suspend("a"));
  Request r = request("a", "x");
  EXPECT_TRUE(runtime->submit(r, {}));
  r.tenant = "t";
  r.tenant_weight = 0.5;
  for (int i = 0; i < 13; ++i) EXPECT_TRUE(runtime->submit(r, {}));
  return runtime->submit(r, {}).error();
}

// Of a sequence that is longer than the executor that gets it.
Error of_a_smaller_executor() {
  Stage stage({.cells = 20});
  const auto id = stage.post(Tokens(30, 1));
  stage.turn();
  return stage.end_of(id).error.value();
}

Error of_the_probe(const std::string& facts) {
  return judge_trial({.status = 1 << 8,
                      .output = "choir-probe: {\"ok\":false,\"code\":\"out_of_memory\",\"message\":"
                                "\"no\",\"facts\":" +
                                facts + "}\n"},
                     "/m.gguf")
      .error();
}

struct Case {
  std::string name;
  std::function<Error()> make;
  Code code;
  Facts want;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class FactsOf : public testing::TestWithParam<Case> {};

TEST_P(FactsOf, AreThese) {
  const Error error = GetParam().make();
  EXPECT_EQ(error.code, GetParam().code) << error.message;
  EXPECT_EQ(error.facts, GetParam().want) << error.message;
}

const Case kCases[] = {
    {"Prompt",
     [] { return of_tokens(512); },
     Code::kTooLong,
     {{"n_prompt_tokens", 512}, {"n_ctx", 512}}},
    {"TextOfManyBytes",
     [] { return submitted(request("a", std::string(512 * 256 + 1, 'x'))); },
     Code::kTooLong,
     {{"n_prompt_bytes", 512 * 256 + 1}, {"n_ctx", 512}}},
    {"SmallerExecutor",
     of_a_smaller_executor,
     Code::kTooLong,
     {{"n_prompt_tokens", 30}, {"n_ctx", 20}}},
    {"Embedding",
     [] { return embedded(600); },
     Code::kTooLong,
     {{"n_prompt_tokens", 600}, {"n_ctx", 512}, {"text_index", 0}}},
    {"EmbeddingOfManyBytes",
     [] { return embedded(512 * 256 + 1); },
     Code::kTooLong,
     {{"n_prompt_bytes", 512 * 256 + 1}, {"n_ctx", 512}, {"text_index", 0}}},
    {"QueueFull", of_a_full_queue, Code::kOverloaded, {{"waiting", 2}, {"queue_max", 2}}},
    {"PartOfTheQueueFull",
     of_a_full_part_of_the_queue,
     Code::kOverloaded,
     {{"waiting", 14}, {"queue_max", 40}, {"tenant_waiting", 13}, {"tenant_share", 13}}},
    {"OverTheMemoryLimit",
     [] {
       return admit("a", {.weights = 70, .kv = 30}, {.limit = 90, .promised = 20, .free = 1000})
           .error();
     },
     Code::kOutOfMemory,
     {{"need_bytes", 100}, {"free_bytes", 70}}},
    {"MoreThanTheMachineHas",
     [] {
       return admit("a", {.weights = 70, .kv = 30}, {.limit = 900, .promised = 20, .free = 99})
           .error();
     },
     Code::kOutOfMemory,
     {{"need_bytes", 100}, {"free_bytes", 99}}},
    {"MoreThanAnyMachineHas",
     [] { return admit("a", {.weights = UINT64_MAX, .kv = 1}, {.limit = 1, .free = 1}).error(); },
     Code::kOutOfMemory,
     {{"need_bytes", std::numeric_limits<std::int64_t>::max()}, {"free_bytes", 1}}},
    {"ProbeOutOfMemory",
     [] { return of_the_probe(R"({"need_bytes":5,"free_bytes":4,"odd":"text"})"); },
     Code::kOutOfMemory,
     {{"free_bytes", 4}, {"need_bytes", 5}}},
    {"ProbeWithoutNumbers", [] { return of_the_probe("7"); }, Code::kOutOfMemory, {}},
    {"BelowTheLeast",
     [] { return asked([](Request& r) { r.max_tokens = 0; }); },
     Code::kInvalidArgument,
     {{"value", 0}, {"limit", 1}}},
    {"AboveTheMost",
     [] { return sampled([](Sampling& s) { s.repeat_last_n = 5000; }); },
     Code::kInvalidArgument,
     {{"value", 5000}, {"limit", 4096}}},
    {"TooMany",
     [] { return asked([](Request& r) { r.stop.assign(17, "x"); }); },
     Code::kInvalidArgument,
     {{"value", 17}, {"limit", 16}}},
    {"InsideSampling",
     [] { return asked([](Request& r) { r.sampling.top_k = -1; }); },
     Code::kInvalidArgument,
     {{"value", -1}, {"limit", 0}}},
    {"Fraction",
     [] { return sampled([](Sampling& s) { s.temperature = 11; }); },
     Code::kInvalidArgument,
     {}},
    {"Sequences",
     [] { return configured([](ExecutorConfig& c) { c.sequences_max = 300; }); },
     Code::kInvalidArgument,
     {{"value", 300}, {"limit", 256}}},
    {"BatchOfSequences",
     [] { return configured([](ExecutorConfig& c) { c.batch_tokens_max = 3; }); },
     Code::kInvalidArgument,
     {{"value", 3}, {"limit", 4}}},
    {"Shares",
     [] { return configured([](ExecutorConfig& c) { c.shares = 0; }); },
     Code::kInvalidArgument,
     {}},
    {"Queue",
     [] { return node_of([](NodeConfig& c) { c.queue_max = 0; }); },
     Code::kInvalidArgument,
     {{"value", 0}, {"limit", 1}}},
    {"LanesOfCores",
     [] { return node_of([](NodeConfig& c) { c.cores = 2, c.lanes_max = 3; }); },
     Code::kInvalidArgument,
     {{"value", 3}, {"limit", 2}}},
};
INSTANTIATE_TEST_SUITE_P(, FactsOf, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(Facts, AreFoundByName) {
  const Error error{Code::kTooLong, "long", {{"n_prompt_tokens", 9}, {"n_ctx", 8}}};
  EXPECT_EQ(error.fact("n_ctx"), 8);
  EXPECT_EQ(error.fact("limit"), std::nullopt);
}

TEST(Facts, ArePartOfTheValue) {
  const Error error{Code::kTooLong, "long", {{"n_ctx", 8}}};
  EXPECT_EQ(error, Error(error));
  EXPECT_NE(error, (Error{Code::kTooLong, "long", {{"n_ctx", 9}}}));
  EXPECT_NE(error, (Error{Code::kTooLong, "long"}));
}

TEST(Facts, StayWhenTheCallersNounIsPutInFront) {
  EXPECT_EQ((Error{Code::kTooLong, "long", {{"n_ctx", 8}}}).in("a").fact("n_ctx"), 8);
}

TEST(Codes, AllHaveNamesOfTheirOwn) {
  std::set<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(Code::kDraining); ++code)
    names.insert(to_string(static_cast<Code>(code)));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(Code::kDraining) + 1);
  EXPECT_FALSE(names.contains("unknown"));
  EXPECT_EQ(to_string(Code::kTooLong), "too_long");
}

TEST(Codes, APromptThatIsTooLongHasAnExitCodeOfItsOwn) {
  EXPECT_EQ(app::exit_code(Code::kTooLong), 3);
  EXPECT_EQ(app::exit_code(Code::kCancelled), 130);
  EXPECT_EQ(app::exit_code(Code::kInvalidArgument), 1);
}

}  // namespace
}  // namespace choir
