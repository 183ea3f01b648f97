// Fields and values that clients of llama.cpp and vLLM send.
#include <gtest/gtest.h>

#include <string>

#include "serve/fields.h"

namespace choir::serve {
namespace {

ApiResult<Asked> chat(const std::string& more) {
  return read_fields(
      kChat, Json::parse(R"({"messages": [{"role": "user", "content": "a"}], )" + more + "}"));
}

TEST(ReadFields, TakesWhatOthersHaveForOffAndForNoSeed) {
  const auto asked = [](const std::string& fields) {
    const auto read = chat("\"model\": \"a\", " + fields);
    EXPECT_TRUE(read) << fields << ": " << read.error().message;
    return read.value_or(Asked{});
  };
  EXPECT_EQ(asked(R"("top_k": -1)").request.sampling.top_k, 0);
  EXPECT_GT(asked(R"("top_p": 0)").request.sampling.top_p, 0);
  EXPECT_FALSE(asked(R"("seed": 4294967295)").seed_given);
  EXPECT_TRUE(asked(R"("seed": 4294967294)").seed_given);
  EXPECT_TRUE(asked(R"("min_tokens": 0, "stop_token_ids": [], "skip_special_tokens": true)")
                  .ignored.empty());
}

TEST(ReadFields, RefusesWhatWouldGiveAnotherAnswerUnderTheNamesOfVllm) {
  for (const char* field :
       {R"("guided_json": {})", R"("guided_regex": "a+")", R"("guided_choice": ["a"])",
        R"("structured_outputs": {"json": {}})", R"("stop_token_ids": [2])", R"("min_tokens": 5)",
        R"("use_beam_search": true)", R"("skip_special_tokens": false)",
        R"("chat_template": "{{ x }}")", R"("prompt_logprobs": 1)"})
    EXPECT_FALSE(chat("\"model\": \"a\", " + std::string(field))) << field;
}

// What llama.cpp's clients send.
TEST(ReadFields, OfLlamaAreRefusedUnlessTheyAreOff) {
  const auto asked = [](const std::string& more) {
    return read_fields(kLlamaCompletion, Json::parse(R"({"prompt": "a", )" + more + "}"));
  };
  const auto off = asked(R"("n_predict": 9, "n_keep": 0, "n_discard": 0, "id_slot": -1,
      "cache_prompt": false, "n_probs": 0, "t_max_predict_ms": -1, "lora": [], "top_n_sigma": -1,
      "samplers": ["penalties", "temperature", "top_k", "top_p", "min_p"], "min_keep": 0,
      "post_sampling_probs": false, "grammar": "", "mirostat": 0, "mirostat_tau": 5, "n_cmpl": 2,
      "return_tokens": true, "response_fields": ["content", "timings/prompt_n"])");
  ASSERT_TRUE(off) << off.error().message;
  EXPECT_TRUE(off->ignored.empty());
  EXPECT_EQ(off->request.max_tokens, 9);
  EXPECT_EQ(off->choices, 2);
  EXPECT_TRUE(off->return_tokens);
  EXPECT_EQ(off->response_fields.size(), 2U);
  for (const char* field :
       {"n_keep", "n_discard", "id_slot", "n_probs", "t_max_predict_ms", "top_n_sigma", "min_keep"})
    EXPECT_FALSE(asked("\"" + std::string(field) + "\": 5")) << field;
  for (const char* field : {"samplers", "lora", "grammar_triggers", "preserved_tokens"})
    EXPECT_FALSE(asked("\"" + std::string(field) + "\": [\"top_k\"]")) << field;
}

}  // namespace
}  // namespace choir::serve
