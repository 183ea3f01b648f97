#include "serve/llama_values.h"

#include <gtest/gtest.h>

#include <string>

namespace choir::serve {
namespace {

TEST(LlamaValues, OfPiecesAreTextOrBytes) {
  EXPECT_EQ(pieces_json({5, 6}, {"\xc3\xa4", "\xc3"}),
            (Json{{{"id", 5}, {"piece", "\xc3\xa4"}}, {{"id", 6}, {"piece", {0xc3}}}}));
}

ExecutorInfo executor() {
  ExecutorInfo info;
  info.config.name = "m";
  info.config.path = "/models/m.gguf";
  info.config.sequences_max = 2;
  info.config.sequence_tokens_max = 256;
  return info;
}

RequestInfo request(const std::string& executor, RequestPhase phase) {
  RequestInfo info;
  info.executor = executor;
  info.phase = phase;
  return info;
}

TEST(LlamaValues, OfSlotsAreCountsOfRequestsThatCompute) {
  RequestInfo decodes = request("m", RequestPhase::kDecode);
  decodes.id = {7};
  decodes.output_tokens = 4;
  decodes.max_tokens = 20;
  const RequestInfo other = request("n", RequestPhase::kDecode);
  const RequestInfo waits = request("m", RequestPhase::kWaiting);
  const Json slots = slots_json({executor()}, {decodes, other, waits});
  ASSERT_EQ(slots.size(), 2U);
  EXPECT_EQ(slots[0]["id_task"], 7);
  EXPECT_EQ(slots[0]["n_ctx"], 256);
  EXPECT_EQ(slots[0]["next_token"][0]["n_remain"], 16);
  EXPECT_EQ(slots[0]["is_processing"], true);
  EXPECT_EQ(slots[1],
            (Json{{"id", 1}, {"n_ctx", 256}, {"speculative", false}, {"is_processing", false}}));
  EXPECT_EQ(slots_json({executor()}, {decodes, decodes, decodes}).size(), 2U);
}

TEST(LlamaValues, TheSlotsOfReplicasGoOnCounting) {
  ExecutorInfo second = executor();
  second.config.name = "m@2";
  const RequestInfo there = request("m@2", RequestPhase::kDecode);
  const Json slots = slots_json({executor(), second}, {there});
  ASSERT_EQ(slots.size(), 4U);
  for (std::size_t i = 0; i < slots.size(); ++i) {
    EXPECT_EQ(slots[i]["id"], i);
    EXPECT_EQ(slots[i]["is_processing"], i == 2) << i;
  }
}

TEST(LlamaValues, OfPropertiesSayWhatIsNotKnownBeforeTheLoad) {
  ExecutorInfo info = executor();
  info.loaded = false;
  const Json cold = props_json(info, {}, {}, "b");
  EXPECT_EQ(cold["is_sleeping"], true);
  EXPECT_EQ(cold["chat_template"], nullptr);
  EXPECT_EQ(cold["total_slots"], 2);
  EXPECT_EQ(cold["default_generation_settings"]["n_ctx"], 256);
  EXPECT_EQ(cold["model_path"], "/models/m.gguf");
  Asked defaults;
  defaults.seed_given = true;
  defaults.request.sampling.seed = 42;
  defaults.max_tokens_otherwise = 64;
  EXPECT_EQ(cold["default_generation_settings"]["params"]["seed"], 4294967295U);
  EXPECT_EQ(cold["default_generation_settings"]["params"]["n_predict"], -1);
  info.loaded = true;
  EXPECT_TRUE(props_json(info, defaults, {"<s>", "</s>"}, "b")["chat_template"].is_string());
  info.model.chat_template = "own";
  const Json warm = props_json(info, defaults, {"<s>", "</s>"}, "b");
  EXPECT_EQ(warm["chat_template"], "own");
  EXPECT_EQ(warm["bos_token"], "<s>");
  EXPECT_EQ(warm["is_sleeping"], false);
  EXPECT_EQ(warm["default_generation_settings"]["params"]["seed"], 42);
  EXPECT_EQ(warm["default_generation_settings"]["params"]["n_predict"], 64);
}

}  // namespace
}  // namespace choir::serve
