#include "models/http_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace choir {
namespace {

struct UrlCase {
  std::string name;
  std::string url;
  std::string refused;  // part of the message; empty: allowed
};
void PrintTo(const UrlCase& c, std::ostream* out) { *out << c.name; }

class CheckUrl : public testing::TestWithParam<UrlCase> {};

TEST_P(CheckUrl, Decides) {
  const Status status = check_url(GetParam().url);
  EXPECT_EQ(status.has_value(), GetParam().refused.empty());
  if (status) return;
  EXPECT_EQ(status.error().code, Code::kInvalidArgument);
  EXPECT_THAT(status.error().message, testing::HasSubstr(GetParam().refused));
}

const UrlCase kUrlCases[] = {
    {"Https", "https://example.org/a.gguf", ""},
    {"HttpsInCapitals", "HTTPS://example.org/a.gguf", ""},
    {"HttpToLocalhost", "http://localhost:8080/a.gguf", ""},
    {"HttpToLoopback", "http://127.0.0.1/a.gguf", ""},
    {"HttpToAllOfLoopback", "http://127.9.8.7/a.gguf", ""},
    {"HttpToLoopback6", "http://[::1]:80/a.gguf", ""},
    {"HttpElsewhere", "http://example.org/a.gguf", "refusing http:// to 'example.org'"},
    {"HttpToTheLocalNetwork", "http://10.0.0.1/a.gguf", "refusing"},
    {"HttpNextToLoopback", "http://126.0.0.1/a.gguf", "refusing"},
    {"HttpToAllAddresses", "http://0.0.0.0/a.gguf", "refusing"},
    {"HttpToANameThatBeginsLikeIt", "http://localhost.example.org/a", "refusing"},
    {"HttpToANumberThatBeginsLikeIt", "http://127.0.0.1.example.org/a", "refusing"},
    {"HttpWithLocalhostAsUser", "http://localhost@example.org/a",
     "refusing http:// to 'example.org'"},
    {"HttpToOther6", "http://[::2]/a", "refusing"},
    {"OtherProtocol", "ftp://example.org/a", "cannot fetch over 'ftp:'"},
    {"NoUrl", "https://", "not a URL"},
};
INSTANTIATE_TEST_SUITE_P(, CheckUrl, testing::ValuesIn(kUrlCases),
                         [](const auto& c) { return c.param.name; });

TEST(ShownUrl, KeepsSecretsOut) {
  EXPECT_EQ(shown_url("https://me:secret@example.org/a.gguf?token=secret#x"),
            "https://example.org/a.gguf");
}

TEST(FileNameOfUrl, IsTheLastPartDecoded) {
  EXPECT_EQ(file_name_of_url("https://e.org/x/my%20model.gguf?download=1").value(),
            "my model.gguf");
  EXPECT_FALSE(file_name_of_url("https://e.org/"));
  EXPECT_FALSE(file_name_of_url("https://e.org/x/"));
  EXPECT_FALSE(file_name_of_url("https://e.org/x/%2e%2e"));
  EXPECT_FALSE(file_name_of_url("https://e.org/x/%2e"));
}

TEST(NoteHeader, ReadsWhatMatters) {
  HttpAnswer answer;
  for (const char* line :
       {"HTTP/1.1 206 Partial Content\r\n", "etag:\"a\"\r\n", "Last-Modified: Monday\r\n",
        "CONTENT-LENGTH: 5 \r\n", "Content-Range: bytes 5-9/10\r\n", "Other: 7\r\n", "nonsense\r\n",
        "\r\n"})
    note_header(line, answer);
  EXPECT_EQ(answer, (HttpAnswer{206, "\"a\"", "Monday", 5, 5}));
}

TEST(NoteHeader, AStatusLineStartsANewAnswer) {
  HttpAnswer answer;
  for (const char* line :
       {"HTTP/1.1 200 Connection established", "ETag: \"proxy\"", "", "HTTP/2 404"})
    note_header(line, answer);
  EXPECT_EQ(
      answer,
      (HttpAnswer{
          .status = 404, .etag = "", .last_modified = "", .content_bytes = {}, .range_begin = {}}));
}

TEST(NoteHeader, RubbishIsNoNumber) {
  HttpAnswer answer;
  for (const char* line : {"HTTP/1.1 ok", "Content-Length: -1", "Content-Range: bytes */10"})
    note_header(line, answer);
  EXPECT_EQ(answer, HttpAnswer{});
}

TEST(Validator, IsAStrongTagElseTheDate) {
  EXPECT_EQ((HttpAnswer{200, "\"a\"", "Monday", {}, {}}.validator()), "\"a\"");
  EXPECT_EQ((HttpAnswer{200, "W/\"a\"", "Monday", {}, {}}.validator()), "Monday");
  EXPECT_EQ((HttpAnswer{200, "W/\"a\"", "", {}, {}}.validator()), "");
}

struct AnswerCase {
  std::string name;
  HttpAnswer answer;
  std::uint64_t offset;
  std::optional<BodyUse> want;
  Code code = Code::kUnavailable;
};
void PrintTo(const AnswerCase& c, std::ostream* out) { *out << c.name; }

class JudgeAnswer : public testing::TestWithParam<AnswerCase> {};

TEST_P(JudgeAnswer, Gives) {
  const AnswerCase& c = GetParam();
  const auto use = judge_answer(c.answer, c.offset, "\"a\"", "https://e.org/x?secret");
  ASSERT_EQ(use.has_value(), c.want.has_value());
  if (use) {
    EXPECT_EQ(*use, *c.want);
  } else {
    EXPECT_EQ(use.error().code, c.code);
    EXPECT_THAT(use.error().message, testing::HasSubstr(std::to_string(c.answer.status)));
    EXPECT_THAT(use.error().message, testing::Not(testing::HasSubstr("secret")));
  }
}

HttpAnswer answer(int status, const std::string& etag = "",
                  std::optional<std::uint64_t> begin = {}) {
  return {status, etag, "", {}, begin};
}

const AnswerCase kAnswerCases[] = {
    {"Whole", answer(200, "\"b\""), 0, BodyUse::kFromStart},
    {"WholeThoughTheRestWasWanted", answer(200, "\"a\""), 5, BodyUse::kFromStart},
    {"TheRest", answer(206, "\"a\"", 5), 5, BodyUse::kAppend},
    {"TheRestWithoutAValidator", answer(206, "", 5), 5, BodyUse::kAppend},
    {"TheRestOfAnotherFile", answer(206, "\"b\"", 5), 5, BodyUse::kAskWhole},
    {"TheRestFromElsewhere", answer(206, "\"a\"", 4), 5, BodyUse::kAskWhole},
    {"TheRestFromNowhere", answer(206, "\"a\""), 5, BodyUse::kAskWhole},
    {"PartNobodyAskedFor", answer(206, "\"a\"", 5), 0, std::nullopt},
    {"NothingAfterTheOffset", answer(416), 5, BodyUse::kAskWhole},
    {"NothingAtAll", answer(416), 0, std::nullopt},
    {"Changed", answer(412), 5, BodyUse::kAskWhole},
    {"Moved", answer(302), 5, BodyUse::kRedirect},
    {"MovedForGood", answer(308), 0, BodyUse::kRedirect},
    {"NotModifiedIsNoRedirect", answer(304), 0, std::nullopt},
    {"Missing", answer(404), 0, std::nullopt, Code::kNotFound},
    {"Gone", answer(410), 5, std::nullopt, Code::kNotFound},
    {"Forbidden", answer(403), 0, std::nullopt},
    {"ServerError", answer(503), 5, std::nullopt},
    {"NoAnswer", answer(0), 0, std::nullopt},
};
INSTANTIATE_TEST_SUITE_P(, JudgeAnswer, testing::ValuesIn(kAnswerCases),
                         [](const auto& c) { return c.param.name; });

}  // namespace
}  // namespace choir
