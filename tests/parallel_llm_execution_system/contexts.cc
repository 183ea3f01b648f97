// Conversations: continued, serialized, trimmed, rewritten, stored; the same tokens however their
// KV state came about.
#include <filesystem>
#include <functional>

#include "tests/parallel_llm_execution_system/system_test.h"
#include "tests/temp_folder.h"

namespace choir::parallel {
namespace {

class Contexts : public OnEachModel {
 protected:
  LLMExecutionRequest turn(const std::string& context, const std::string& text,
                           std::size_t tokens = 10) {
    LLMExecutionRequest request = request_of("a", text, tokens);
    request.parameters["context_id"] = context;
    return request;
  }
  std::string say(const std::shared_ptr<LLMExecutor>& llm, const std::string& context,
                  const std::string& text) {
    const auto response = llm->execute(turn(context, text));
    EXPECT_TRUE(response.success) << response.error;
    return response.outputText;
  }
  double reused(const std::shared_ptr<LLMExecutor>& llm) {
    return llm->getPerformanceMetrics()["reused_tokens"];
  }
};

TEST_P(Contexts, AreMadeReadChangedAndDeleted) {
  LLMExecutionContext context;
  context.contextId = "c";
  context.conversationHistory = {"Hello", "Hi there"};
  context.metadata["topic"] = "tests";
  EXPECT_EQ(a->createContext(context), "c");
  EXPECT_EQ(a->createContext(context), "") << "taken";
  const std::string made = a->createContext({});
  EXPECT_FALSE(made.empty());
  EXPECT_EQ(a->getAllContexts().size(), 2U);
  LLMExecutionContext read = a->getContext("c");
  EXPECT_EQ(read.conversationHistory, context.conversationHistory);
  EXPECT_EQ(read.metadata["topic"], "tests");
  EXPECT_EQ(read.llmId, "a");
  read.conversationHistory.emplace_back("How are you?");
  EXPECT_TRUE(a->updateContext("c", read));
  EXPECT_EQ(a->getContext("c").conversationHistory.size(), 3U);
  EXPECT_FALSE(a->updateContext("none", read));
  EXPECT_TRUE(a->deleteContext("c"));
  EXPECT_FALSE(a->deleteContext("c"));
  EXPECT_EQ(a->getContext("c").contextId, "");
  EXPECT_EQ(a->getAllContexts(), std::vector<std::string>{made});
}

TEST_P(Contexts, ComputeOnlyWhatIsNew) {
  const std::string c = a->createContext({});
  const std::string first = say(a, c, "Once upon a time there was a dog");
  EXPECT_EQ(reused(a), 0);
  const auto second = a->execute(turn(c, "And then"));
  ASSERT_TRUE(second.success) << second.error;
  // All that the first turn left but its last token, which has no cell yet.
  EXPECT_GT(reused(a), 10);
  const auto history = a->getContext(c).conversationHistory;
  EXPECT_EQ(history, (std::vector<std::string>{"Once upon a time there was a dog", first,
                                               "And then", second.outputText}));
}

// The conversation with its KV state kept, restored from bytes, moved and pushed out. (Computed
// again: SurviveTheirProcessInAStore.)
TEST_P(Contexts, TheSameTokensHoweverTheKvStateCameAbout) {
  const std::vector<std::string> texts = {"Once upon a time", "The dog", "The end of it"};
  const auto talk = [&](const std::function<void(const std::string&)>& between) {
    const std::string c = a->createContext({});
    std::string all;
    for (const std::string& text : texts) {
      all += say(a, c, text) + "|";
      between(c);
    }
    return all;
  };
  const std::string kept = talk([](const auto&) {});
  EXPECT_EQ(talk([&](const auto&) { ASSERT_TRUE(a->unloadModel()) << a->lastError(); }), kept);
  EXPECT_EQ(talk([&](const auto&) { ASSERT_TRUE(a->scale(3, 250)) << a->lastError(); }), kept);
  EXPECT_EQ(talk([&](const std::string& c) {
              // Others take the cells: the state is parked, or computed again.
              for (int i = 0; i < 3; ++i) say(a, a->createContext({}), "Somebody else");
              (void)c;
            }),
            kept);
}

TEST_P(Contexts, RequestsInOneContextGoOneAfterTheOther) {
  const std::string c = a->createContext({});
  ASSERT_TRUE(a->suspend());
  std::vector<std::future<LLMExecutionResponse>> futures;
  for (const char* text : {"One", "Two", "Three"})
    futures.push_back(a->executeAsync(turn(c, text, 6)));
  ASSERT_TRUE(a->resume());
  std::vector<std::string> expected;
  for (const char* text : {"One", "Two", "Three"}) {
    const auto response = futures[expected.size() / 2].get();
    ASSERT_TRUE(response.success) << response.error;
    expected.emplace_back(text);
    expected.push_back(response.outputText);
  }
  EXPECT_EQ(a->getContext(c).conversationHistory, expected);
}

TEST_P(Contexts, ACancelledTurnLeavesNoTraceAndTheNextOneRuns) {
  const std::string c = a->createContext({});
  const std::string first = say(a, c, "Once");
  ASSERT_TRUE(a->suspend());
  LLMExecutionRequest request = turn(c, "Never");
  request.requestId = "never";
  auto cancelled = a->executeAsync(request);
  auto next = a->executeAsync(turn(c, "Then"));
  EXPECT_TRUE(a->cancelExecution("never"));
  EXPECT_FALSE(cancelled.get().success);
  ASSERT_TRUE(a->resume());
  const auto answer = next.get();
  ASSERT_TRUE(answer.success) << answer.error;
  EXPECT_EQ(a->getContext(c).conversationHistory,
            (std::vector<std::string>{"Once", first, "Then", answer.outputText}));
}

TEST_P(Contexts, TheOldestTurnsLeaveAtTheLimitAndTheSystemMessageStays) {
  LLMExecutionContext context;
  context.maxContextLength = 120;
  context.metadata["system"] = "Be brief.";
  const std::string c = a->createContext(context);
  std::size_t longest = 0;
  for (int i = 0; i < 12; ++i) {
    say(a, c, "This is message number " + std::to_string(i));
    longest = std::max(longest, a->getContext(c).conversationHistory.size());
  }
  LLMExecutionContext now = a->getContext(c);
  EXPECT_LT(now.conversationHistory.size(), 24U);
  EXPECT_EQ(now.conversationHistory[now.conversationHistory.size() - 2],
            "This is message number 11");
  EXPECT_EQ(now.metadata["system"], "Be brief.");
  EXPECT_LE(std::stoi(now.metadata["tokens"]), 120);
  const auto too_long = a->execute(turn(c, std::string(2000, 'x')));
  EXPECT_FALSE(too_long.success);
  EXPECT_EQ(a->getContext(c).conversationHistory, now.conversationHistory);
}

TEST_P(Contexts, ARewrittenHistoryReusesWhatItHasInCommon) {
  const std::string c = a->createContext({});
  say(a, c, "Once upon a time there was a little dog who liked to play");
  const std::string second = say(a, c, "And what did it do?");
  LLMExecutionContext context = a->getContext(c);
  context.conversationHistory.back() = "Something else entirely";
  ASSERT_TRUE(a->updateContext(c, context));
  const double before = reused(a);
  say(a, c, "Go on");
  EXPECT_GT(reused(a) - before, 10) << "the first turn is the same";
  context = a->getContext(c);
  EXPECT_EQ(context.conversationHistory[3], "Something else entirely");
}

TEST_P(Contexts, WithoutMaintainEveryRequestBeginsAnew) {
  LLMExecutionContext context;
  context.conversationHistory = {"Hello", "Hi"};
  context.maintainContext = false;
  const std::string c = a->createContext(context);
  const std::string once = say(a, c, "Tell me");
  EXPECT_EQ(say(a, c, "Tell me"), once);
  EXPECT_EQ(a->getContext(c).conversationHistory.size(), 2U);
}

TEST_P(Contexts, SurviveTheirProcessInAStore) {
  const TempFolder folder;
  LLMExecutionConfig config = config_of("stored", GetParam());
  config.parameters["store"] = folder.path() + "/talks";
  const std::vector<std::string> texts = {"Once upon a time", "The dog", "The end of it"};
  std::string uninterrupted;
  {
    const std::string c = a->createContext({});
    for (const std::string& text : texts) uninterrupted += say(a, c, text) + "|";
  }
  for (const bool keep_snapshot : {true, false}) {
    std::string all;
    const std::string id = keep_snapshot ? "with" : "without";
    for (std::size_t i = 0; i < texts.size(); ++i) {  // a manager for each turn
      ParallelLLMExecutionManager other;
      ASSERT_TRUE(other.initialize());
      const auto llm = other.createLLM(config);
      ASSERT_NE(llm, nullptr) << other.lastError();
      LLMExecutionContext context;
      context.contextId = id;
      if (i == 0) {
        ASSERT_EQ(llm->createContext(context), id) << llm->lastError();
      }
      EXPECT_EQ(llm->getContext(id).conversationHistory.size(), 2 * i);
      all += say(llm, id, texts[i]) + "|";
      if (i > 0) {
        EXPECT_EQ(reused(llm) > 0, keep_snapshot);
      }
      other.shutdown();
      if (!keep_snapshot) std::filesystem::remove_all(folder.path() + "/talks/kv");
    }
    EXPECT_EQ(all, uninterrupted);
  }
}

TEST_P(Contexts, ATornSnapshotIsComputedAgain) {
  const TempFolder folder;
  LLMExecutionConfig config = config_of("stored", GetParam());
  config.parameters["store"] = folder.path() + "/talks";
  LLMExecutionContext context;
  context.contextId = "c";
  const std::string reference = [&] {
    const std::string c = a->createContext({});
    say(a, c, "Once upon a time");
    return say(a, c, "The dog");
  }();
  for (int round = 0; round < 2; ++round) {
    ParallelLLMExecutionManager other;
    ASSERT_TRUE(other.initialize());
    const auto llm = other.createLLM(config);
    ASSERT_NE(llm, nullptr) << other.lastError();
    if (round == 0) {
      ASSERT_EQ(llm->createContext(context), "c");
      say(llm, "c", "Once upon a time");
    } else {
      EXPECT_EQ(say(llm, "c", "The dog"), reference);
      EXPECT_EQ(reused(llm), 0);
    }
    other.shutdown();
    for (const auto& file : std::filesystem::directory_iterator(folder.path() + "/talks/kv"))
      std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
  }
}

TEST_P(Contexts, ASnapshotOfAnotherKvTypeIsComputedAgain) {
  if (GetParam() != smollm2()) GTEST_SKIP() << "one model whose heads are whole blocks is enough";
  const TempFolder folder;
  LLMExecutionConfig config = config_of("stored", GetParam());
  config.parameters["store"] = folder.path() + "/talks";
  LLMExecutionContext context;
  context.contextId = "c";
  const struct {
    const char* kv_type;
    bool reuses;
  } turns[] = {{"f16", false}, {"q8_0", false}, {"q8_0", true}, {"f16", false}};
  for (const auto& turn : turns) {
    ParallelLLMExecutionManager other;
    ASSERT_TRUE(other.initialize());
    config.parameters["kv_type"] = turn.kv_type;
    const auto llm = other.createLLM(config);
    ASSERT_NE(llm, nullptr) << other.lastError();
    if (llm->getContext("c").contextId.empty()) {
      ASSERT_EQ(llm->createContext(context), "c") << llm->lastError();
    }
    say(llm, "c", "Once upon a time");
    EXPECT_EQ(reused(llm) > 0, turn.reuses) << turn.kv_type;
    other.shutdown();
  }
}

INSTANTIATE_TEST_SUITE_P(, Contexts, testing::ValuesIn(all_models()), model_name);

}  // namespace
}  // namespace choir::parallel
