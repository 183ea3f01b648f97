#include "core/sequence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <xxhash.h>

#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "core/cbor.h"

namespace choir {
namespace {

using Json = nlohmann::json;
using std::string_literals::operator""s;

Sequence simple() {
  Sequence s;
  s.id = {7};
  s.request = {3};
  s.model_fingerprint = "c0ffee";
  s.tokens = {5, 6, 7, 8};
  s.prompt_tokens = 3;
  s.max_tokens = 20;
  return s;
}

Sequence random_sequence(std::mt19937& rng) {
  auto upto = [&](unsigned n) { return rng() % (n + 1); };
  auto text = [&](unsigned most) {
    std::string bytes(upto(most), '\0');
    for (char& byte : bytes) byte = static_cast<char>(rng());
    return bytes;
  };
  auto real = [&](float least, float most) {
    return least + (most - least) * static_cast<float>(upto(1000)) / 1000;
  };
  Sequence s;
  s.id = {std::uint64_t{rng()} << upto(32)};
  s.request = {std::uint64_t{rng()} << upto(32)};
  s.model_fingerprint = text(64);
  s.tokens.resize(1 + upto(300));
  for (TokenId& token : s.tokens) token = static_cast<TokenId>(rng() & 0x7FFFFFFFU);
  s.prompt_tokens = static_cast<std::int32_t>(1 + rng() % s.tokens.size());
  s.max_tokens = s.output_tokens() + static_cast<std::int32_t>(upto(1000));
  s.sampling = {.temperature = real(0, 10),
                .top_k = static_cast<std::int32_t>(upto(100)),
                .top_p = real(0.1F, 1),
                .min_p = real(0, 1),
                .repeat_penalty = real(0.1F, 10),
                .frequency_penalty = real(-2, 2),
                .presence_penalty = real(-2, 2),
                .repeat_last_n = static_cast<std::int32_t>(upto(4096)),
                .seed = std::uint64_t{rng()} << upto(32),
                .bias = {}};
  for (auto i = upto(3); i > 0; --i)
    s.sampling.bias.push_back({static_cast<TokenId>(upto(1000)), i == 1 ? -INFINITY : real(-9, 9)});
  s.stream_index = static_cast<std::uint32_t>(rng());
  for (auto i = upto(3); i > 0; --i) s.stop.push_back("x" + text(200));
  s.ignore_eos = upto(1) == 1;
  s.priority = static_cast<Priority>(upto(3));
  s.tenant = text(30);
  s.reuse_scope = text(30);
  s.tenant_weight = 0.001 + 1e-7 * static_cast<double>(rng() % 1'000'000'000);
  s.carry = {.bytes = text(3), .pending = text(255)};
  s.next_event = rng();
  s.deadline_left_ns = static_cast<std::int64_t>(rng()) << 20;
  return s;
}

// Bytes with a right checksum around any payload: what a clever stranger would send.
std::string sealed(const std::string& payload, char version = 3) {
  std::string bytes = "CHSQ"s + version + "\0\0\0"s + payload;
  const XXH64_hash_t sum = XXH3_64bits(bytes.data(), bytes.size());
  for (unsigned i = 0; i < 8; ++i)
    bytes.push_back(static_cast<char>(static_cast<unsigned char>(sum >> 8U * i)));
  return bytes;
}

std::string payload_of(const Sequence& sequence) {
  const std::string bytes = serialize(sequence);
  return bytes.substr(8, bytes.size() - 16);
}

std::string changed(const std::function<void(Json&)>& change) {
  Json json = Json::from_cbor(payload_of(simple()));
  change(json);
  std::string payload;
  Json::to_cbor(json, payload);
  return payload;
}

std::string repeated(const std::string& text, std::size_t times) {
  std::string all;
  for (std::size_t i = 0; i < times; ++i) all += text;
  return all;
}

std::string error_of(const std::string& bytes) {
  const Result<Sequence> read = deserialize(bytes);
  if (read) return "read";
  EXPECT_EQ(read.error().code, Code::kInvalidArgument);
  return read.error().message;
}

TEST(Sequence, ComesBackEqual) {
  const Result<Sequence> read = deserialize(serialize(simple()));
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_EQ(*read, simple());
}

TEST(Sequence, LayoutChangesOnlyWithItsVersion) {
  const std::string bytes = serialize(simple());
  EXPECT_EQ(bytes.size(), 387U);
  EXPECT_EQ(XXH3_64bits(bytes.data(), bytes.size()), 1671004971897408252U);
}

TEST(Sequence, ThatIsTooLargeIsNotLookedAt) {
  EXPECT_THAT(error_of(std::string(130U << 20U, 'a')),
              testing::HasSubstr("bytes, at most 135266304"));
}

TEST(Sequence, OfAMillionTokensTakesFourBytesEach) {
  Sequence s = simple();
  s.tokens.assign(1'000'000, 77);
  s.max_tokens = 1'000'000;
  const std::string bytes = serialize(s);
  EXPECT_LT(bytes.size(), 4'001'000U);
  EXPECT_EQ(deserialize(bytes), s);
}

TEST(SequenceProperty, AnySequenceComesBackEqual) {
  for (std::uint32_t seed = 1; seed <= 1000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 rng(seed);
    const Sequence s = random_sequence(rng);
    const std::string bytes = serialize(s);
    const Result<Sequence> read = deserialize(bytes);
    ASSERT_TRUE(read.has_value()) << read.error().message;
    ASSERT_EQ(*read, s);
    ASSERT_EQ(serialize(*read), bytes);
  }
}

TEST(SequenceProperty, EveryTruncationIsRefused) {
  std::mt19937 rng(1);
  const std::string bytes = serialize(random_sequence(rng));
  for (std::size_t size = 0; size < bytes.size(); ++size)
    ASSERT_NE(error_of(bytes.substr(0, size)), "read") << size;
  ASSERT_NE(error_of(bytes + '\0'), "read");
}

TEST(SequenceProperty, EveryChangedByteIsRefused) {
  std::mt19937 rng(1);
  const std::string bytes = serialize(random_sequence(rng));
  for (int round = 0; round < 10'000; ++round) {
    std::string torn = bytes;
    char& byte = torn[rng() % torn.size()];
    byte = static_cast<char>(byte ^ static_cast<char>(1 + rng() % 255));
    ASSERT_NE(error_of(torn), "read") << "seed 1, round " << round;
  }
}

// The checksum is right, so the parser sees it all: it must refuse, or what it reads is a sequence
// that would be written like that.
TEST(SequenceProperty, AnyPayloadUnderARightChecksumIsRefusedOrCanonical) {
  const std::string payload = payload_of(simple());
  for (std::uint32_t seed = 1; seed <= 20'000; ++seed) {
    std::mt19937 rng(seed);
    std::string torn = payload;
    for (auto changes = 1 + rng() % 4; changes > 0; --changes) {
      const auto at = rng() % torn.size();
      if (rng() % 4 == 0)
        torn.erase(at, 1 + rng() % 3);
      else if (rng() % 4 == 0)
        torn.insert(at, 1, static_cast<char>(rng()));
      else
        torn[at] = static_cast<char>(rng());
    }
    const std::string bytes = sealed(torn);
    const Result<Sequence> read = deserialize(bytes);
    ASSERT_EQ(read ? serialize(*read) : bytes, bytes) << "seed " << seed;
  }
}

struct Case {
  std::string name;
  std::string bytes;
  std::string want;  // part of the message
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Deserialize : public testing::TestWithParam<Case> {};

TEST_P(Deserialize, Refuses) {
  EXPECT_THAT(error_of(GetParam().bytes), testing::HasSubstr(GetParam().want));
}

const Case kEnvelope[] = {
    {"Nothing", "", "does not begin with CHSQ"},
    {"AnotherFile", "GGUF and so on and so on and so on", "does not begin with CHSQ"},
    {"OnlyTheMagic", "CHSQ", "cut off after 4 bytes"},
    {"OnlyTheHeader", "CHSQ\1\0\0\0"s, "cut off after 8 bytes"},
    {"ALaterVersion", sealed(payload_of(simple()), 4), "format version 4, this build reads 3"},
    {"AnEarlierVersion", sealed(payload_of(simple()), 2), "format version 2, this build reads 3"},
    {"AWrongChecksum", serialize(simple()).replace(30, 1, "!"), "checksum does not match"},
};
INSTANTIATE_TEST_SUITE_P(Envelope, Deserialize, testing::ValuesIn(kEnvelope),
                         [](const auto& c) { return c.param.name; });

const Case kCbor[] = {
    {"EmptyPayload", sealed(""), "cut off"},
    {"ACutNumber", sealed("\x1B\x01"), "cut off"},
    {"NotAMap", sealed("\x80"), "not a map"},
    {"TwoItems", sealed("\xA0\xA0"), "followed by more bytes"},
    {"AMillionNestedArrays", sealed(std::string(1'000'000, '\x81')), "nested too deep"},
    {"AMillionNestedMaps", sealed(repeated("\xA1\x01"s, 1'000'000)), "nested too deep"},
    {"AMillionNestedStringChunks", sealed(std::string(1'000'000, '\x7F')), "a form not used here"},
    {"AMillionTags", sealed(std::string(1'000'000, '\xC1')), "a form not used here"},
    {"ALengthBeyondTheEnd", sealed("\x5B\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"s),
     "longer than what is there"},
    {"ACountBeyondTheEnd", sealed("\x9B\x0F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"s),
     "longer than what is there"},
    {"AMapWhoseCountTwiceWraps", sealed("\xBB\x80\x00\x00\x00\x00\x00\x00\x00"s),
     "longer than what is there"},
    {"AMillionItems", sealed("\x9A\x00\x0F\x42\x40"s + std::string(1'000'000, '\x00')),
     "too many items"},
};
INSTANTIATE_TEST_SUITE_P(Cbor, Deserialize, testing::ValuesIn(kCbor),
                         [](const auto& c) { return c.param.name; });

std::string with(const std::function<void(Sequence&)>& change) {
  Sequence s = simple();
  change(s);
  return serialize(s);
}

const Case kValues[] = {
    {"AFieldMissing", sealed(changed([](Json& j) { j.erase("seed"); })), "field seed is missing"},
    {"AFieldOfAnotherKind", sealed(changed([](Json& j) { j["tenant"] = 5; })), "field tenant"},
    {"AnIntegerTooWide", sealed(changed([](Json& j) { j["top_k"] = 1ULL << 40U; })), "field top_k"},
    {"ANegativeUnsigned", sealed(changed([](Json& j) { j["next_event"] = -1; })),
     "field next_event"},
    {"ADoubleBeyondFloat", sealed(changed([](Json& j) { j["min_p"] = 1e300; })), "field min_p"},
    {"APriorityOutOfTheEnum", sealed(changed([](Json& j) { j["priority"] = 4; })),
     "field priority"},
    {"ABiasOfThree", sealed(changed([](Json& j) {
       j["bias"] = {{1, 2.0, 3}};
     })),
     "field bias"},
    {"PartOfAToken", sealed(changed([](Json& j) {
       j["tokens"] = Json::binary({1, 2, 3});
     })),
     "field tokens"},
    {"AnUnknownField", sealed(changed([](Json& j) { j["more"] = 1; })),
     "not in its canonical form"},
    {"ADoubleThatIsNoFloat", sealed(changed([](Json& j) { j["min_p"] = 0.1; })),
     "not in its canonical form"},
    {"NoTokens", with([](Sequence& s) { s.tokens.clear(); }), "has 0 tokens"},
    {"ANegativeToken", with([](Sequence& s) { s.tokens[1] = -2; }), "token -2 is negative"},
    {"NoPrompt", with([](Sequence& s) { s.prompt_tokens = 0; }),
     "prompt_tokens is 0, allowed 1 .. 4"},
    {"APromptBeyondTheTokens", with([](Sequence& s) { s.prompt_tokens = 5; }),
     "prompt_tokens is 5"},
    {"MoreOutputThanAsked", with([](Sequence& s) { s.max_tokens = 0; }), "fewer than its 1 output"},
    {"ANegativeDeadline", with([](Sequence& s) { s.deadline_left_ns = -1; }), "deadline_left_ns"},
    {"AnEmptyStop", with([](Sequence& s) { s.stop = {""}; }), "stop string"},
    {"ALongStop", with([](Sequence& s) { s.stop = {std::string(257, 'a')}; }), "stop string"},
    {"TooManyStops", with([](Sequence& s) { s.stop.assign(17, "a"); }), "too many stop strings"},
    {"ALongTenant", with([](Sequence& s) { s.tenant.assign(257, 'a'); }), "tenant"},
    {"AWeightOfNothing", with([](Sequence& s) { s.tenant_weight = 0; }), "tenant_weight"},
    {"AWeightThatIsNoNumber", with([](Sequence& s) { s.tenant_weight = NAN; }), "tenant_weight"},
    {"AWholeNumberAsWeight", sealed(changed([](Json& j) { j["tenant_weight"] = 1; })),
     "field tenant_weight"},
    {"ALongReuseScope", with([](Sequence& s) { s.reuse_scope.assign(257, 'a'); }), "reuse_scope"},
    {"ALongCarry", with([](Sequence& s) { s.carry.pending.assign(70'000, 'a'); }),
     "carry is too long"},
    {"SamplingThatIsNoNumber", with([](Sequence& s) { s.sampling.top_p = NAN; }),
     "sequence: sampling: top_p is nan"},
};
INSTANTIATE_TEST_SUITE_P(Values, Deserialize, testing::ValuesIn(kValues),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace choir
