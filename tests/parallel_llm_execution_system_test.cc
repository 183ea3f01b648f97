// Lifecycle and requests of the parallel execution system, on real models. What each call does is
// seen through another one. Contexts, moves and the manager: tests/parallel_llm_execution_system/.
#define ERROR 0  // as a windows header has it
#include <spdlog/spdlog.h>

#include <chrono>
#include <latch>
#include <set>
#include <thread>

#include "tests/parallel_llm_execution_system/system_test.h"

using namespace choir::parallel;

namespace choir::parallel {

const auto* const kKeepers = testing::AddGlobalTestEnvironment(new KeepWeights);

TEST(Lifecycle, TheConstructorDoesNothingThatCanFail) {
  AdvancedLLMExecutor llm(config_of("x", "/no/such/file.gguf"));
  EXPECT_EQ(llm.getStatus(), LLMExecutionStatus::IDLE);
  EXPECT_FALSE(llm.isInitialized());
  EXPECT_FALSE(llm.initialize());
  EXPECT_EQ(llm.getStatus(), LLMExecutionStatus::FAILED);
  EXPECT_NE(llm.lastError().find("/no/such/file.gguf"), std::string::npos) << llm.lastError();
  EXPECT_EQ(llm.getResourceInfo()["last_error"], llm.lastError());
}

TEST(Lifecycle, InitializesAndShutsDownAgainAndAgain) {
  AdvancedLLMExecutor llm(config_of("x"));
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(llm.initialize()) << llm.lastError();
    EXPECT_TRUE(llm.initialize()) << "twice is no error";
    EXPECT_EQ(llm.getStatus(), LLMExecutionStatus::READY);
    EXPECT_TRUE(llm.execute(request_of("x", "Once")).success);
    llm.shutdown();
    llm.shutdown();
    EXPECT_EQ(llm.getStatus(), LLMExecutionStatus::IDLE);
    const auto refused = llm.execute(request_of("x", "Once"));
    EXPECT_FALSE(refused.success);
    EXPECT_NE(refused.error.find("initialize"), std::string::npos) << refused.error;
  }
}

TEST(Lifecycle, WhatOutlivesTheManagerStaysSafe) {
  std::shared_ptr<LLMExecutor> llm;
  std::future<LLMExecutionResponse> running;
  {
    ParallelLLMExecutionManager manager;
    ASSERT_TRUE(manager.initialize());
    llm = manager.createLLM(config_of("x"));
    ASSERT_NE(llm, nullptr);
    running = llm->executeAsync(request_of("x", "Once", 200));
  }
  (void)running.get();
  EXPECT_EQ(llm->getStatus(), LLMExecutionStatus::IDLE);
  EXPECT_FALSE(llm->execute(request_of("x", "Once")).success);
  EXPECT_TRUE(llm->getActiveRequests().empty());
}

TEST(Lifecycle, ATakenIdAndABadConfigurationAreRefusedWithTheReason) {
  ParallelLLMExecutionManager manager;
  EXPECT_EQ(manager.createLLM(config_of("x")), nullptr) << "not initialized yet";
  ASSERT_TRUE(manager.initialize());
  ASSERT_NE(manager.createLLM(config_of("x")), nullptr);
  EXPECT_EQ(manager.createLLM(config_of("x")), nullptr);
  EXPECT_NE(manager.lastError().find("'x' exists"), std::string::npos) << manager.lastError();
  LLMExecutionConfig config = config_of("y");
  config.batchSize = 0;
  EXPECT_EQ(manager.createLLM(config), nullptr);
  EXPECT_NE(manager.lastError().find("batchSize is 0"), std::string::npos) << manager.lastError();
  config = config_of("y");
  config.parameters["stroe"] = "/tmp/x";
  EXPECT_EQ(manager.createLLM(config), nullptr);
  EXPECT_NE(manager.lastError().find("'store'"), std::string::npos) << manager.lastError();
  config = config_of("y");
  config.parameters["kv_type"] = "q4_0";
  EXPECT_EQ(manager.createLLM(config), nullptr);
  EXPECT_NE(manager.lastError().find("'q4_0' is no type of KV cells, allowed f16 or q8_0"),
            std::string::npos)
      << manager.lastError();
  config.parameters["kv_type"] = "q8_0";
  EXPECT_EQ(manager.createLLM(config), nullptr);
  EXPECT_NE(manager.lastError().find("heads of 8; take f16"), std::string::npos)
      << manager.lastError();
  config = config_of("y");
  config.numLayers = 99;
  config.parameters["shape_check"] = "strict";
  EXPECT_EQ(manager.createLLM(config), nullptr);
  EXPECT_NE(manager.lastError().find("numLayers is 99"), std::string::npos);
  config.parameters.clear();
  EXPECT_NE(manager.createLLM(config), nullptr) << "a wrong belief is a warning";
  EXPECT_EQ(manager.getAllLLMs().size(), 2U);
}

TEST(Lifecycle, UpdateConfigChangesWhatCanChangeLiveAndRefusesTheRestByName) {
  AdvancedLLMExecutor llm(config_of("x"));
  ASSERT_TRUE(llm.initialize());
  LLMExecutionConfig config = llm.getConfig();
  config.priority = LLMPriority::HIGH;
  config.mode = LLMExecutionMode::SEQUENTIAL;
  ASSERT_TRUE(llm.updateConfig(config)) << llm.lastError();
  EXPECT_EQ(llm.getPriority(), LLMPriority::HIGH);
  EXPECT_EQ(llm.getResourceInfo()["mode"], "SEQUENTIAL");
  config.modelPath = "other.gguf";
  EXPECT_FALSE(llm.updateConfig(config));
  EXPECT_NE(llm.lastError().find("modelPath"), std::string::npos);
  EXPECT_EQ(llm.getResourceInfo()["kv_type"], "f16");
  config = llm.getConfig();
  config.parameters["kv_type"] = "q8_0";
  EXPECT_FALSE(llm.updateConfig(config));
  EXPECT_NE(llm.lastError().find("kv_type"), std::string::npos);
  config = llm.getConfig();
  config.batchSize = 8;
  EXPECT_FALSE(llm.updateConfig(config));
  EXPECT_NE(llm.lastError().find("scale()"), std::string::npos);
  ASSERT_TRUE(llm.setExecutionMode(LLMExecutionMode::PARALLEL));
  EXPECT_EQ(llm.getExecutionMode(), LLMExecutionMode::PARALLEL);
  ASSERT_TRUE(llm.setPriority(LLMPriority::LOW));
  EXPECT_EQ(llm.getConfig().priority, LLMPriority::LOW);
}

// ---- requests

TEST_P(OnEachModel, AnswersWithLengthsLatencyAndPieces) {
  const auto response = a->execute(request_of("a", "Once upon a time", 10));
  ASSERT_TRUE(response.success) << response.error;
  EXPECT_EQ(response.llmId, "a");
  EXPECT_FALSE(response.requestId.empty());
  EXPECT_EQ(response.outputLength, 10U);
  EXPECT_EQ(response.outputTokens.size(), 10U);
  std::string pieces;
  for (const std::string& piece : response.outputTokens) pieces += piece;
  EXPECT_EQ(pieces, response.outputText);
  EXPECT_GT(response.inputLength, 0U);
  EXPECT_GT(response.latency, 0.0F);
  EXPECT_GT(response.throughput, 0.0F);
  EXPECT_EQ(a->getPerformanceMetrics()["request_count"], 1);
  EXPECT_EQ(a->getPerformanceMetrics()["output_tokens"], 10);
}

TEST_P(OnEachModel, TokensInsteadOfTextGiveTheSameAnswer) {
  LLMExecutionRequest raw = request_of("a", "Once upon", 8);
  raw.parameters["template"] = "none";
  const auto by_text = a->execute(raw);
  ASSERT_TRUE(by_text.success) << by_text.error;
  LLMExecutionRequest pieces = raw;
  pieces.inputText = "ignored: tokens win";
  pieces.inputTokens = {"1", by_text.outputTokens.front()};
  const auto by_pieces = a->execute(pieces);
  ASSERT_TRUE(by_pieces.success) << by_pieces.error;
  EXPECT_EQ(by_pieces.inputLength, 2U);
  pieces.inputTokens = {"999999999"};
  EXPECT_NE(a->execute(pieces).error.find("999999999"), std::string::npos);
  pieces.inputTokens = {"no such piece at all"};
  EXPECT_NE(a->execute(pieces).error.find("no token"), std::string::npos);
}

TEST_P(OnEachModel, TheSameSeedGivesTheSameTextAndAnotherAnotherOne) {
  LLMExecutionRequest request = request_of("a", "Once upon a time", 24);
  request.temperature = 1.0F;
  request.parameters["seed"] = "7";
  const auto first = a->execute(request);
  EXPECT_EQ(a->execute(request).outputText, first.outputText);
  request.parameters["seed"] = "8";
  EXPECT_NE(a->execute(request).outputText, first.outputText);
}

TEST_P(OnEachModel, StreamsToTheCallbackWhatTheResponseHas) {
  std::string streamed;
  const auto response = a->executeStreaming(request_of("a", "Once", 20),
                                            [&](const std::string& id, const std::string& text) {
                                              EXPECT_FALSE(id.empty());
                                              streamed += text;
                                            });
  EXPECT_EQ(streamed, response.outputText);
  streamed.clear();
  a->onToken([&](const std::string&, const std::string& text) { streamed += text; });
  LLMExecutionRequest request = request_of("a", "Once", 20);
  a->execute(request);
  EXPECT_EQ(streamed, "") << "only where streamOutput is set";
  request.streamOutput = true;
  EXPECT_EQ(a->execute(request).outputText, streamed);
  streamed.clear();
  ASSERT_TRUE(a->setExecutionMode(LLMExecutionMode::STREAMING));
  request.streamOutput = false;
  EXPECT_EQ(a->execute(request).outputText, streamed) << "or the mode is STREAMING";
  a->onToken(nullptr);
}

TEST_P(OnEachModel, ADeadlineKeepsThePartialText) {
  LLMExecutionRequest request = request_of("a", "Once", 230);
  request.timeout = std::chrono::milliseconds(1);
  const auto response = a->execute(request);
  if (response.success) GTEST_SKIP() << "done within a millisecond";
  EXPECT_NE(response.error.find("deadline exceeded"), std::string::npos) << response.error;
  EXPECT_LT(response.outputLength, 230U);
  EXPECT_EQ(a->getPerformanceMetrics()["error_count"], 1);
}

TEST_P(OnEachModel, CancelsWhileItRunsAndWhileItWaits) {
  ASSERT_TRUE(a->setExecutionMode(LLMExecutionMode::SEQUENTIAL));
  LLMExecutionRequest request = request_of("a", "Once", 250);
  request.requestId = "first";
  std::latch began(1);
  bool told = false;
  a->onToken([&](const std::string&, const std::string&) {
    if (!std::exchange(told, true)) began.count_down();
  });
  request.streamOutput = true;
  ASSERT_TRUE(a->suspend());
  auto first = a->executeAsync(request);
  request.requestId = "second";
  request.streamOutput = false;
  auto second = a->executeAsync(request);
  EXPECT_EQ(a->getActiveRequests(), (std::vector<std::string>{"first", "second"}));
  EXPECT_TRUE(a->isRequestActive("second"));
  EXPECT_TRUE(a->cancelExecution("second")) << "while it waits";
  EXPECT_FALSE(second.get().success);
  EXPECT_FALSE(a->isRequestActive("second"));
  ASSERT_TRUE(a->resume());
  began.wait();
  const bool cancelled = a->cancelExecution("first");
  const auto response = first.get();
  EXPECT_TRUE(cancelled != response.success) << "cancelled, or just over";
  EXPECT_FALSE(a->cancelExecution("first"));
  EXPECT_NE(a->lastError().find("first"), std::string::npos);
  EXPECT_TRUE(a->execute(request_of("a", "Once")).success) << "nothing is left of it";
  a->onToken(nullptr);
}

TEST_P(OnEachModel, StatusFollowsWhatItDoes) {
  EXPECT_EQ(a->getStatus(), LLMExecutionStatus::READY);
  ASSERT_TRUE(a->suspend());
  EXPECT_EQ(a->getStatus(), LLMExecutionStatus::SUSPENDED);
  auto waiting = a->executeAsync(request_of("a", "Once", 200));
  EXPECT_EQ(waiting.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  ASSERT_TRUE(a->resume());
  const auto status = a->getStatus();
  EXPECT_TRUE(status == LLMExecutionStatus::EXECUTING || status == LLMExecutionStatus::READY);
  EXPECT_TRUE(waiting.get().success);
  EXPECT_EQ(a->getStatus(), LLMExecutionStatus::READY) << "COMPLETED never hides it";
  ASSERT_TRUE(a->unloadModel());
  EXPECT_EQ(a->getStatus(), LLMExecutionStatus::IDLE);
}

INSTANTIATE_TEST_SUITE_P(Requests, OnEachModel, testing::ValuesIn(all_models()), model_name);

struct BadRequest {
  const char* name;
  void (*spoil)(LLMExecutionRequest&);
  const char* says;
};

class BadRequests : public testing::TestWithParam<BadRequest> {
 protected:
  static void SetUpTestSuite() {
    llm = std::make_unique<AdvancedLLMExecutor>(config_of("x"));
    ASSERT_TRUE(llm->initialize());
  }
  static void TearDownTestSuite() { llm.reset(); }
  static inline std::unique_ptr<AdvancedLLMExecutor> llm;
};

TEST_P(BadRequests, AreRefusedWithFieldValueAndRange) {
  LLMExecutionRequest request = request_of("x", "Once");
  GetParam().spoil(request);
  const auto response = llm->execute(request);
  EXPECT_FALSE(response.success);
  EXPECT_NE(response.error.find(GetParam().says), std::string::npos) << response.error;
  EXPECT_TRUE(llm->getActiveRequests().empty());
}

const BadRequest kBadRequests[] = {
    {"NoText", [](auto& r) { r.inputText.clear(); }, "inputText is empty"},
    {"NoTokens", [](auto& r) { r.maxOutputLength = 0; }, "maxOutputLength is 0"},
    {"Temperature", [](auto& r) { r.temperature = 11; }, "temperature"},
    {"TopP", [](auto& r) { r.topP = 0; }, "top_p"},
    {"TopK", [](auto& r) { r.topK = -1; }, "top_k"},
    {"Timeout", [](auto& r) { r.timeout = std::chrono::milliseconds(-5); }, "timeout is -5"},
    {"UnknownKey", [](auto& r) { r.parameters["sead"] = "1"; }, "did you mean 'seed'"},
    {"Seed", [](auto& r) { r.parameters["seed"] = "many"; }, "parameters[\"seed\"]: 'many'"},
    {"Priority", [](auto& r) { r.parameters["priority"] = "top"; }, "critical, high"},
    {"Stop", [](auto& r) { r.parameters["stop"] = "[1]"; }, "JSON list"},
    {"Grammar", [](auto& r) { r.parameters["grammar"] = "root ::= x"; }, "not supported yet"},
    {"Context", [](auto& r) { r.parameters["context_id"] = "none"; }, "no conversation 'none'"},
    {"Pipeline", [](auto& r) { r.parameters["pipeline_input"] = "previous"; }, "executePipelined"},
    {"TooLong",
     [](auto& r) {
       for (int i = 0; i < 400; ++i) r.inputText += " word";
     },
     "takes"},
    {"Utf8", [](auto& r) { r.inputText = "\xff"; }, "UTF-8"}};

INSTANTIATE_TEST_SUITE_P(, BadRequests, testing::ValuesIn(kBadRequests),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(Requests, ADuplicateOfAnActiveIdIsRefused) {
  AdvancedLLMExecutor llm(config_of("x"));
  ASSERT_TRUE(llm.initialize());
  ASSERT_TRUE(llm.suspend());
  LLMExecutionRequest request = request_of("x", "Once");
  request.requestId = "same";
  auto first = llm.executeAsync(request);
  const auto second = llm.execute(request);
  EXPECT_FALSE(second.success);
  EXPECT_NE(second.error.find("'same'"), std::string::npos) << second.error;
  ASSERT_TRUE(llm.resume());
  EXPECT_TRUE(first.get().success);
  EXPECT_TRUE(llm.execute(request).success) << "free again";
}

TEST(Requests, ABlockingCallInsideACallbackIsRefusedAndTheAsynchronousOneWorks) {
  AdvancedLLMExecutor llm(config_of("x"));
  ASSERT_TRUE(llm.initialize());
  std::future<LLMExecutionResponse> inner;
  std::string error;
  bool asked = false;
  llm.executeStreaming(request_of("x", "Once"), [&](const std::string&, const std::string&) {
    if (std::exchange(asked, true)) return;
    error = llm.execute(request_of("x", "Twice")).error;
    inner = llm.executeAsync(request_of("x", "Thrice"));
  });
  EXPECT_NE(error.find("executeAsync"), std::string::npos) << error;
  EXPECT_TRUE(inner.get().success);
}

TEST(Encoder, EmbedsAsTextAndAsFloats) {
  const std::string path = models_folder() + "/all-minilm-l6-v2.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "tools/convert_minilm.py makes " << path;
  LLMExecutionConfig config = config_of("e", path);
  config.modelType = "BERT";
  AdvancedLLMExecutor llm(config);
  ASSERT_TRUE(llm.initialize()) << llm.lastError();
  const std::vector<float> vector = llm.embed("A man is eating food.");
  ASSERT_EQ(vector.size(), 384U);
  const auto response = llm.execute(request_of("e", "A man is eating food."));
  ASSERT_TRUE(response.success) << response.error;
  EXPECT_EQ(response.outputText.front(), '[');
  EXPECT_GT(response.inputLength, 5U);
  EXPECT_FALSE(llm.execute(request_of("e", "")).success);
  EXPECT_TRUE(llm.embed("").empty());
  EXPECT_TRUE(llm.createContext({}).empty()) << "an encoder has no conversations";
}

}  // namespace choir::parallel
