#include "choir/request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <string_view>

namespace choir {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

Request valid() {
  Request request;
  request.text = "Once upon a time";
  return request;
}

struct Case {
  std::string name;
  std::function<void(Request&)> change;
  std::string want;  // the message; empty: allowed
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Validate : public testing::TestWithParam<Case> {};

TEST_P(Validate, Says) {
  Request request = valid();
  GetParam().change(request);
  const Status status = validate(request);
  EXPECT_EQ(status.has_value() ? "" : status.error().message, GetParam().want);
  EXPECT_EQ(status.has_value() ? Code::kInvalidArgument : status.error().code,
            Code::kInvalidArgument);
}

const Case kPrompts[] = {
    {"Text", [](Request&) {}, ""},
    {"Tokens",
     [](Request& r) {
       r.text = "", r.tokens = {0, 7};
     },
     ""},
    {"Messages",
     [](Request& r) {
       r.text = "", r.messages = {{"system", ""}, {"user", "hi"}};
     },
     ""},
    {"NoPrompt", [](Request& r) { r.text = ""; },
     "the prompt is empty: set one of messages, text, tokens"},
    {"TwoPrompts", [](Request& r) { r.tokens = {1}; },
     "the prompt is given 2 times: set only one of messages, text, tokens"},
    {"MessagesWithoutContent",
     [](Request& r) {
       r.text = "", r.messages = {{"user", ""}};
     },
     "the prompt is empty: no message has content"},
    {"UnknownRole",
     [](Request& r) {
       r.text = "", r.messages = {{"user", "a"}, {"robot", "b"}};
     },
     "messages[1].role is 'robot', allowed system, user, assistant"},
    {"RoleThatIsNotUtf8",
     [](Request& r) {
       r.text = "", r.messages = {{"u\xFF", "b"}};
     },
     "messages[0].role is not UTF-8 at byte 1 of 2"},
    {"ContentThatIsNotUtf8",
     [](Request& r) {
       r.text = "", r.messages = {{"user", "ab\xC3"}};
     },
     "messages[0].content is not UTF-8 at byte 2 of 3"},
    {"TextThatIsNotUtf8", [](Request& r) { r.text = "naïve \xED\xA0\x80"; },
     "text is not UTF-8 at byte 7 of 10"},
    {"TooMuchText", [](Request& r) { r.text.assign(kPromptBytesMax + 1, 'a'); },
     "text has 67108865 bytes, allowed at most 67108864"},
    {"NegativeToken",
     [](Request& r) {
       r.text = "", r.tokens = {1, -1};
     },
     "tokens[1] is -1, allowed 0 .. 2147483647"},
    {"TooManyMessages",
     [](Request& r) {
       r.text = "", r.messages.assign(kMessagesMax + 1, {"user", "a"});
     },
     "messages has 16385 entries, allowed at most 16384"},
};
INSTANTIATE_TEST_SUITE_P(Prompt, Validate, testing::ValuesIn(kPrompts),
                         [](const auto& c) { return c.param.name; });

const Case kSettings[] = {
    {"ExtremesAreAllowed",
     [](Request& r) {
       r.sampling = {.temperature = 10,
                     .top_k = 0,
                     .top_p = 1,
                     .min_p = 1,
                     .repeat_penalty = 10,
                     .frequency_penalty = -2,
                     .presence_penalty = 2,
                     .repeat_last_n = 4096,
                     .seed = UINT64_MAX,
                     .bias = {{3, -kInf}}};
       r.stop.assign(kStopStringsMax, std::string(kStopBytesMax, 'x'));
       r.deadline = kDeadlineMax;
       r.priority = Priority::kLow;
       r.max_tokens = INT32_MAX;
     },
     ""},
    {"MaxTokensZero", [](Request& r) { r.max_tokens = 0; },
     "max_tokens is 0, allowed 1 .. 2147483647"},
    {"Temperature", [](Request& r) { r.sampling.temperature = 10.5F; },
     "sampling: temperature is 10.5, allowed 0 .. 10"},
    {"TemperatureNan", [](Request& r) { r.sampling.temperature = kNan; },
     "sampling: temperature is nan, allowed 0 .. 10"},
    {"TemperatureInf", [](Request& r) { r.sampling.temperature = kInf; },
     "sampling: temperature is inf, allowed 0 .. 10"},
    {"TopK", [](Request& r) { r.sampling.top_k = -1; },
     "sampling: top_k is -1, allowed 0 .. 2147483647"},
    {"TopPZero", [](Request& r) { r.sampling.top_p = 0; },
     "sampling: top_p is 0, allowed above 0 and at most 1"},
    {"TopPNan", [](Request& r) { r.sampling.top_p = kNan; },
     "sampling: top_p is nan, allowed above 0 and at most 1"},
    {"MinP", [](Request& r) { r.sampling.min_p = 1.01F; },
     "sampling: min_p is 1.01, allowed 0 .. 1"},
    {"RepeatPenalty", [](Request& r) { r.sampling.repeat_penalty = 0; },
     "sampling: repeat_penalty is 0, allowed above 0 and at most 10"},
    {"FrequencyPenalty", [](Request& r) { r.sampling.frequency_penalty = -2.1F; },
     "sampling: frequency_penalty is -2.1, allowed -2 .. 2"},
    {"PresencePenalty", [](Request& r) { r.sampling.presence_penalty = -kInf; },
     "sampling: presence_penalty is -inf, allowed -2 .. 2"},
    {"RepeatLastN", [](Request& r) { r.sampling.repeat_last_n = 4097; },
     "sampling: repeat_last_n is 4097, allowed 0 .. 4096"},
    {"BiasToken",
     [](Request& r) {
       r.sampling.bias = {{-4, 1}};
     },
     "sampling: bias[0].token is -4, allowed 0 .. 2147483647"},
    {"BiasPlusInfinity",
     [](Request& r) {
       r.sampling.bias = {{1, 0}, {2, kInf}};
     },
     "sampling: bias[1].bias is inf, allowed a finite number or -infinity"},
    {"BiasTooMany", [](Request& r) { r.sampling.bias.resize(1025); },
     "sampling: bias has 1025 entries, allowed at most 1024"},
    {"StopEmpty",
     [](Request& r) {
       r.stop = {"a", ""};
     },
     "stop[1] is empty, allowed 1 .. 256 bytes"},
    {"StopTooLong", [](Request& r) { r.stop = {std::string(257, 'a')}; },
     "stop[0] has 257 bytes, allowed at most 256"},
    {"StopTooMany", [](Request& r) { r.stop.assign(17, "a"); },
     "stop has 17 entries, allowed at most 16"},
    {"StopThatIsNotUtf8", [](Request& r) { r.stop = {"\x80"}; },
     "stop[0] is not UTF-8 at byte 0 of 1"},
    {"PriorityOutOfTheEnum", [](Request& r) { r.priority = static_cast<Priority>(4); },
     "priority is 4, allowed 0 .. 3"},
    {"DeadlineNegative", [](Request& r) { r.deadline = std::chrono::milliseconds(-1); },
     "deadline (ms) is -1, allowed 0 .. 2592000000"},
    {"DeadlineTooLong", [](Request& r) { r.deadline = std::chrono::milliseconds::max(); },
     "deadline (ms) is 9223372036854775807, allowed 0 .. 2592000000"},
    {"ExecutorTooLong", [](Request& r) { r.executor.assign(257, 'a'); },
     "executor has 257 bytes, allowed at most 256"},
    {"TenantThatIsNotUtf8", [](Request& r) { r.tenant = "\xF5"; },
     "tenant is not UTF-8 at byte 0 of 1"},
    {"TenantWeightZero", [](Request& r) { r.tenant_weight = 0; },
     "tenant_weight is 0, allowed 0.001 .. 1000"},
    {"TenantWeightNegative", [](Request& r) { r.tenant_weight = -1; },
     "tenant_weight is -1, allowed 0.001 .. 1000"},
    {"TenantWeightTooLarge", [](Request& r) { r.tenant_weight = 1001; },
     "tenant_weight is 1001, allowed 0.001 .. 1000"},
    {"TenantWeightThatIsNoNumber", [](Request& r) { r.tenant_weight = NAN; },
     "tenant_weight is nan, allowed 0.001 .. 1000"},
    {"TenantWeightInfinite", [](Request& r) { r.tenant_weight = INFINITY; },
     "tenant_weight is inf, allowed 0.001 .. 1000"},
    {"ReuseScopeTooLong", [](Request& r) { r.reuse_scope.assign(257, 'a'); },
     "reuse_scope has 257 bytes, allowed at most 256"},
    {"ReuseScopeThatIsNotUtf8", [](Request& r) { r.reuse_scope = "a\xF5"; },
     "reuse_scope is not UTF-8 at byte 1 of 2"},
};
INSTANTIATE_TEST_SUITE_P(Settings, Validate, testing::ValuesIn(kSettings),
                         [](const auto& c) { return c.param.name; });

TEST(Finish, HasANameForEveryReason) {
  EXPECT_EQ(to_string(Finish::kStop), "stop");
  EXPECT_EQ(to_string(Finish::kLength), "length");
  EXPECT_EQ(to_string(Finish::kCancelled), "cancelled");
  EXPECT_EQ(to_string(Finish::kDeadline), "deadline");
  EXPECT_EQ(to_string(Finish::kStalled), "stalled");
  EXPECT_EQ(to_string(Finish::kFailed), "failed");
}

}  // namespace
}  // namespace choir
