#include "core/frozen_executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <random>
#include <string>

#include "core/cbor_fields.h"

namespace choir {
namespace {

FrozenSequence sequence() {
  FrozenSequence s;
  s.value.id = {7};
  s.value.request = {7};
  s.value.model_fingerprint = "c0ffee";
  s.value.tokens = {5, 6, 7, 8};
  s.value.prompt_tokens = 3;
  s.value.max_tokens = 20;
  s.value.deadline_left_ns = 9;
  s.lifted = Priority::kHigh;
  s.begun = true;
  s.age_ns = 100;
  s.idle_ns = 50;
  s.behind_ns = 3;
  s.text = "told \xC3";
  s.usage = {.prompt_tokens = 3,
             .output_tokens = 1,
             .reused_tokens = 2,
             .recomputed_tokens = 1,
             .queue_seconds = 0.25,
             .held_seconds = 0.125,
             .parked_seconds = 0.0625,
             .first_token_seconds = 0.5,
             .total_seconds = 0};
  s.first_token_ns = 11;
  s.conversation = {1000};
  s.kv = std::string("\0kv\xFF", 4);
  s.kv_tokens = 4;
  s.kv_use = 3;
  s.reusing = true;
  return s;
}

FrozenExecutor full() {
  FrozenExecutor frozen;
  frozen.key = {"a", {77}};
  frozen.model_fingerprint = "c0ffee";
  frozen.suspended = true;
  frozen.counts = {.steps = 1,
                   .prompt_tokens = 2,
                   .output_tokens = 3,
                   .requests_done = 4,
                   .requests_failed = 5,
                   .preemptions = 6,
                   .aborts = 7,
                   .reused_tokens = 8,
                   .seconds_per_prompt_token = 0.1,
                   .seconds_per_output_token = 0.2,
                   .compute_seconds = 0.3};
  frozen.sequences.push_back(sequence());
  frozen.leases = {{"school", 5'000'000'000}, {"", -1}};
  frozen.let_go = true;
  frozen.embeddings.push_back({.request = {9},
                               .texts = {{1, 2}, {3}},
                               .embeddings = {{.vector = {0.5F, -1e-30F}, .tokens = 2},
                                              {.vector = {}, .tokens = 1, .truncated = true}},
                               .next = 1,
                               .gated = true});
  Request chat;
  chat.executor = "a";
  chat.messages = {{"user", "hello"}};
  chat.priority = Priority::kHigh;
  chat.deadline = std::chrono::milliseconds(5);
  chat.sampling.bias = {{3, -1.5F}};
  chat.stop = {"stop"};
  chat.parse_special = true;
  chat.default_template = true;
  chat.max_tokens = 17;
  chat.sampling.temperature = 0.5F;
  chat.sampling.seed = 1ULL << 40;
  chat.ignore_eos = true;
  chat.stream = 3;
  chat.tenant = "school";
  chat.tenant_weight = 2.5;
  chat.reuse_scope = "class";
  frozen.arrivals.push_back(
      {.id = {10}, .request = chat, .tokens = {1, 2}, .model_fingerprint = "c"});
  Request text;
  text.text = "as it stands";
  frozen.arrivals.push_back({.id = {11},
                             .request = text,
                             .conversation = {3},
                             .kv = {.blob = "kv", .tokens = {7}, .kv_type = KvType::kQ80},
                             .late = true,
                             .awaited = true});
  EmbedRequest texts{.executor = "a",
                     .texts = {"one", "two \xC3\xA9"},
                     .tokens = {},
                     .truncate = true,
                     .priority = Priority::kLow,
                     .deadline = std::chrono::milliseconds(6),
                     .tenant = "school"};
  frozen.arrivals.push_back({.id = {12}, .request = {}, .embed = texts});
  frozen.arrivals.push_back(
      {.id = {13},
       .request = {},
       .embed = EmbedRequest{.executor = "a", .texts = {}, .tokens = {{1, 2}, {3}}}});
  frozen.kept[{1001}] = {
      .blob = "state", .tokens = {4, 5}, .kv_type = KvType::kQ80, .reuse_scope = "school"};
  return frozen;
}

std::string error_of(const std::string& bytes) {
  const auto read = deserialize_frozen(bytes);
  if (read) return "read";
  EXPECT_EQ(read.error().code, Code::kInvalidArgument);
  return read.error().message;
}

TEST(FrozenExecutor, ComesBackEqual) {
  const auto read = deserialize_frozen(serialize(full()));
  ASSERT_TRUE(read) << read.error().message;
  const FrozenExecutor want = full();
  EXPECT_EQ(read->key, want.key);
  EXPECT_EQ(read->model_fingerprint, want.model_fingerprint);
  EXPECT_EQ(read->suspended, want.suspended);
  EXPECT_EQ(read->counts, want.counts);
  EXPECT_EQ(read->sequences, want.sequences);
  EXPECT_EQ(read->embeddings, want.embeddings);
  EXPECT_EQ(read->arrivals, want.arrivals);
  EXPECT_EQ(read->leases, want.leases);
  EXPECT_EQ(read->let_go, want.let_go);
  EXPECT_EQ(*read, want);
  ASSERT_EQ(read->kept.size(), 1U);
  const KvState& kept = read->kept.at({1001});
  EXPECT_EQ(kept.blob, "state");
  EXPECT_EQ(kept.tokens, (std::vector<TokenId>{4, 5}));
  EXPECT_EQ(kept.kv_type, KvType::kQ80);
  EXPECT_EQ(kept.reuse_scope, "school");
  EXPECT_TRUE(deserialize_frozen(serialize(FrozenExecutor())));
}

TEST(FrozenExecutor, AMoveComesBackEqual) {
  ExecutorMove move{.epoch = {5}, .config = {}};
  move.config.name = "a";
  move.config.path = "a.gguf";
  move.config.context_tokens = 123;
  move.config.sequence_tokens_max = 77;
  move.config.shares = 2.5;
  move.config.priority = Priority::kHigh;
  move.config.park_bytes_max = 1ULL << 40;
  move.config.batching = Batching::kCollectBusy;
  move.config.pinned = true;
  move.config.prefix_cache = false;
  move.config.kv_type = KvType::kQ80;
  const auto read = deserialize_move(serialize(move));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, move);
  EXPECT_FALSE(deserialize_move(serialize(FrozenExecutor())));
  EXPECT_FALSE(deserialize_frozen(serialize(move)));
}

TEST(FrozenExecutor, KvStateIsNotPutIntoTheMapOfFields) {
  FrozenExecutor big;
  big.sequences.push_back(sequence());
  const std::size_t before = serialize(big).size();
  big.sequences[0].kv.assign(1'000'000, 'k');
  EXPECT_EQ(serialize(big).size(), before + 1'000'000 - 4);
}

TEST(FrozenExecutorProperty, EveryTruncationAndEveryChangedByteIsRefused) {
  const std::string bytes = serialize(full());
  for (std::size_t size = 0; size < bytes.size(); ++size)
    ASSERT_NE(error_of(bytes.substr(0, size)), "read") << size;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::string changed = bytes;
    changed[at] = static_cast<char>(changed[at] ^ 0x10);
    ASSERT_NE(error_of(changed), "read") << at;
  }
}

// With a right checksum: what a clever stranger would send.
TEST(FrozenExecutorProperty, ChangedBytesWithARightChecksumDoNoHarm) {
  const std::string bytes = serialize(full());
  std::mt19937 dice(1);
  int read = 0;
  for (int i = 0; i < 5000; ++i) {
    SCOPED_TRACE(i);
    std::string changed = bytes.substr(0, bytes.size() - 8);
    for (auto n = 1 + dice() % 3; n > 0; --n)
      changed[8 + dice() % (changed.size() - 8)] = static_cast<char>(dice());
    cbor_fields::append_le(changed, cbor_fields::checksum(changed));
    if (const auto frozen = deserialize_frozen(changed)) {
      ASSERT_EQ(serialize(*frozen), changed);
      ++read;
    }
  }
  EXPECT_GT(read, 100) << "numbers may differ";
}

struct Wrong {
  std::string name;
  std::function<void(FrozenExecutor&)> change;
  std::string says;
};
void PrintTo(const Wrong& wrong, std::ostream* out) { *out << wrong.name; }

class FrozenExecutorWrong : public testing::TestWithParam<Wrong> {};

TEST_P(FrozenExecutorWrong, IsRefused) {
  FrozenExecutor frozen = full();
  GetParam().change(frozen);
  EXPECT_THAT(error_of(serialize(frozen)), testing::HasSubstr(GetParam().says));
}

const Wrong kWrong[] = {
    {"MoreKvThanTokens", [](FrozenExecutor& f) { f.sequences[0].kv_use = 5; }, "numbers"},
    {"KvOfNoTokens", [](FrozenExecutor& f) { f.sequences[0].kv_tokens = 0; }, "numbers"},
    {"NoKvOfTokens", [](FrozenExecutor& f) { f.sequences[0].kv.clear(); }, "numbers"},
    {"NegativeAge", [](FrozenExecutor& f) { f.sequences[0].age_ns = -1; }, "numbers"},
    {"NegativeUsage", [](FrozenExecutor& f) { f.sequences[0].usage.reused_tokens = -1; },
     "numbers"},
    {"EndlessSeconds",
     [](FrozenExecutor& f) {
       f.sequences[0].usage.queue_seconds = std::numeric_limits<double>::infinity();
     },
     "numbers"},
    {"MoreOutputThanTokens", [](FrozenExecutor& f) { f.sequences[0].usage.output_tokens = 2; },
     "numbers"},
    {"NegativeToken", [](FrozenExecutor& f) { f.sequences[0].value.tokens[0] = -1; }, "negative"},
    {"TextThatIsEmpty", [](FrozenExecutor& f) { f.embeddings[0].texts[1].clear(); }, "embed"},
    {"MoreComputedThanTexts", [](FrozenExecutor& f) { f.embeddings[0].next = 3; }, "embed"},
    {"FewerVectorsThanTexts", [](FrozenExecutor& f) { f.embeddings[0].embeddings.pop_back(); },
     "embed"},
    {"WrongRequest", [](FrozenExecutor& f) { f.arrivals[0].request.max_tokens = 0; }, "max_tokens"},
    {"NegativePreparedToken", [](FrozenExecutor& f) { f.arrivals[0].tokens[0] = -1; }, "negative"},
    {"WrongRequestToEmbed", [](FrozenExecutor& f) { f.arrivals[2].embed->texts.clear(); },
     "nothing to embed"},
    {"NegativeTokenToEmbed", [](FrozenExecutor& f) { f.arrivals[3].embed->tokens[1][0] = -1; },
     "tokens[1][0] is -1"},
    {"KvOfNoConversation", [](FrozenExecutor& f) { f.kept[{0}] = {.blob = "b", .tokens = {1}}; },
     "no conversation"},
    {"LeaseThatIsOver", [](FrozenExecutor& f) { f.leases[0].left_ns = -2; }, "lease"},
    {"LeaseOfAYear", [](FrozenExecutor& f) { f.leases[0].left_ns = 32'000'000'000'000'000; },
     "lease"},
    {"NegativeSpeed", [](FrozenExecutor& f) { f.counts.seconds_per_prompt_token = -1; }, "counts"},
};
INSTANTIATE_TEST_SUITE_P(, FrozenExecutorWrong, testing::ValuesIn(kWrong),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace choir
