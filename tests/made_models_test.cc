// Small files of all kinds that tools/make_test_models.py makes, through a node with the engine:
// each answers as it does alone, and one that computes no numbers says so.
#include <gtest/gtest.h>

#include <future>
#include <string>
#include <vector>

#include "choir/node.h"
#include "kernels/kernel_table.h"
#include "tests/made_models.h"
#include "tests/partly.h"

namespace choir {
namespace {

std::unique_ptr<Node> node(CheckFiles check = CheckFiles::kUnseen) {
  static const TempFolder cache;
  static Environment environment;
  environment.set("CHOIR_CACHE", cache.path());
  NodeConfig config;
  config.cores = 1;
  config.check_files = check;
  auto made = Node::create(config);
  EXPECT_TRUE(made) << made.error().message;
  return std::move(made).value_or(nullptr);
}

ExecutorConfig executor(const std::string& model) {
  ExecutorConfig config;
  config.name = model;
  config.path = made_model(model);
  config.context_tokens = 512;
  config.sequences_max = 4;
  config.batch_tokens_max = 64;
  return config;
}

Request request(const std::string& model, const std::string& text) {
  Request r;
  r.executor = model;
  r.text = text;
  r.max_tokens = 12;
  r.ignore_eos = true;
  r.sampling.temperature = 0;
  return r;
}

// ---- those that generate ----

const std::string kFront = "once there was a tale that was told again and again to all ";

class MadeModels : public testing::TestWithParam<const char*> {};

TEST_P(MadeModels, AnswerAsTheyDoAlone) {
  if (kernels::active_table() == nullptr) partly("that they answer: our kernels are off");
  const std::string model = GetParam();
  const std::vector<std::string> prompts = {kFront + "of us", kFront + "of them",
                                            "some other tale"};
  std::vector<std::vector<TokenId>> alone;
  for (const std::string& prompt : prompts) {
    const auto own = node();
    ASSERT_TRUE(own);
    const Status added = own->add(executor(model));
    ASSERT_TRUE(added) << added.error().message;
    const auto answer = own->run(request(model, prompt));
    ASSERT_TRUE(answer) << answer.error().message;
    ASSERT_EQ(answer->finish, Finish::kLength) << (answer->error ? answer->error->message : "");
    alone.push_back(answer->tokens);
  }
  const auto shared = node();
  ASSERT_TRUE(shared->add(executor(model)));
  for (int round = 0; round < 2; ++round) {  // the second one begins with cells of the first
    std::vector<std::future<Completion>> answers;
    for (const std::string& prompt : prompts)
      answers.push_back(shared->submit(request(model, prompt), {}).value().result);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      const Completion answer = answers[i].get();
      ASSERT_EQ(answer.finish, Finish::kLength) << (answer.error ? answer.error->message : "");
      if (kernels::active_table() != nullptr) {
        EXPECT_EQ(answer.tokens, alone[i]) << prompts[i] << ", round " << round;
      }
    }
  }
}

constexpr const char* kModels[] = {
    "llama-f16",    "llama-q4_0",    "llama-q4_1",  "llama-q5_0",   "llama-q5_1",  "llama-q8_0",
    "llama-q2_k",   "llama-q3_k",    "llama-q4_k",  "llama-q5_k",   "llama-q6_k",  "llama-iq2_xxs",
    "llama-iq2_xs", "llama-iq3_xxs", "llama-iq1_s", "llama-iq4_nl", "llama-iq3_s", "llama-iq2_s",
    "llama-iq4_xs", "llama-tq2_0",   "llama-nvfp4", "llama-scale",  "llama-split", "experts",
    "sliding",      "jamba",         "mamba",       "rwkv7"};
INSTANTIATE_TEST_SUITE_P(, MadeModels, testing::ValuesIn(kModels), [](const auto& row) {
  std::string name = row.param;
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

// ---- the others ----

TEST(MadeModel, ThatComputesNoNumbersFailsAndItsNeighboursDoNot) {
  const auto one = node(CheckFiles::kNever);
  ASSERT_TRUE(one->add(executor("llama-nan")));
  const auto before = one->run(request("llama-nan", "a good tale")).value();
  ASSERT_EQ(before.finish, Finish::kLength) << "without its broken token it computes";
  auto broken = one->submit(request("llama-nan", "x x x x"), {}).value().result;
  auto neighbour = one->submit(request("llama-nan", "a good tale"), {}).value().result;
  const Completion failed = broken.get();
  ASSERT_EQ(failed.finish, Finish::kFailed);
  EXPECT_EQ(failed.error->code, Code::kEngineFailed);
  EXPECT_NE(failed.error->message.find("not numbers"), std::string::npos) << failed.error->message;
  EXPECT_EQ(neighbour.get().tokens, before.tokens);
  EXPECT_EQ(one->run(request("llama-nan", "a good tale"))->tokens, before.tokens);
}

TEST(MadeModel, AnEncoderEmbedsATextTheSameBesideOthers) {
  const auto one = node();
  const Status added = one->add(executor("encoder"));
  ASSERT_TRUE(added) << added.error().message;
  const auto alone = one->embed("encoder", "a tale");
  ASSERT_TRUE(alone) << alone.error().message;
  EmbedRequest several;
  several.executor = "encoder";
  several.texts = {"another tale that is longer", "a tale", "once"};
  const auto all = one->submit_embed(several).value().result.get();
  ASSERT_FALSE(all.error) << all.error->message;
  ASSERT_EQ(all.embeddings.size(), 3U);
  EXPECT_EQ(all.embeddings[1].vector, *alone);
  EXPECT_NE(all.embeddings[0].vector, *alone);
  EXPECT_FALSE(one->run(request("encoder", "a tale")));
}

}  // namespace
}  // namespace choir
