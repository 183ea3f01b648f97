#include "serve/about_field.h"

#include <gtest/gtest.h>

#include <array>

namespace choir::serve {
namespace {

constexpr auto kFields = std::to_array<BodyField>({{"seconds", {Kind::kInteger, 1, 9}, ""}});

ApiError wrong(std::string message) {
  return api_error({Code::kInvalidArgument, std::move(message)});
}

TEST(AboutBody, NamesTheFieldThatTheMessageBeginsWith) {
  const ApiError error = about_body(wrong("'seconds' is 0"), kFields);
  EXPECT_EQ(error.param, "seconds");
  EXPECT_EQ(error.pointer, "/seconds");
  EXPECT_EQ(error.code, "invalid_value");
}

TEST(AboutBody, LeavesWhatIsAboutSomethingElse) {
  for (const ApiError& error :
       {wrong("'a model' is suspended"), wrong("'seconds"), wrong("seconds is 0"), wrong(""),
        api_error({Code::kAlreadyExists, "'seconds' is taken"})})
    EXPECT_EQ(about_body(error, kFields), error);
}

TEST(AboutQuery, HasNoPointer) {
  const ApiError error = about_query(wrong("'seconds' is 'a'"), kFields);
  EXPECT_EQ(error.param, "seconds");
  EXPECT_EQ(error.pointer, "");
}

TEST(AboutQuery, KnowsFieldsThatTheRouteDoesNotHave) {
  const ApiError error = about_query(wrong("'second' is no field of this route; ..."), kFields);
  EXPECT_EQ(error.param, "second");
  EXPECT_EQ(error.code, "unknown_field");
}

TEST(AboutPrompt, PointsToATokenOfAPrompt) {
  const ApiError error = about_prompt(
      {Code::kInvalidArgument, "token 9 is none", {Fact::of("token_index", 2)}}, "prompt");
  EXPECT_EQ(error.pointer, "/prompt/2");
  EXPECT_EQ(error.message, "'prompt.2': token 9 is none");
  EXPECT_TRUE(error.facts.empty());
}

TEST(AboutPrompt, PointsToATextOfSeveralUnderTheNameOfTheField) {
  const Error error{Code::kInvalidArgument, "texts[1]: it is empty", {Fact::of("text_index", 1)}};
  EXPECT_EQ(about_prompt(error, "input", Several::kYes).message, "'input.1': it is empty");
  EXPECT_EQ(about_prompt(error, "input", Several::kYes).pointer, "/input/1");
  EXPECT_EQ(about_prompt(error, "input", Several::kNo).pointer, "/input");
}

TEST(AboutPrompt, NamesWhatIsTooLong) {
  const ApiError error = about_prompt({Code::kTooLong, "it is too long"}, "messages");
  EXPECT_EQ(error.pointer, "/messages");
  EXPECT_EQ(error.code, "context_length_exceeded");
  EXPECT_EQ(about_prompt({Code::kOverloaded, "it is full"}, "messages").pointer, "");
}

}  // namespace
}  // namespace choir::serve
