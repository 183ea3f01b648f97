#include "serve/request_head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>

namespace choir::serve {
namespace {

constexpr std::string_view kGet = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n";

struct Case {
  std::string name;
  std::string head;
  int status;  // 0: accepted
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

std::string get(std::string_view more) { return std::string(kGet).append(more).append("\r\n"); }
std::string post(std::string_view more) {
  return std::string("POST /v1/completions HTTP/1.1\r\nHost: a\r\n").append(more).append("\r\n");
}

class CheckHead : public testing::TestWithParam<Case> {};

TEST_P(CheckHead, Decides) {
  const auto fault = check_head(GetParam().head);
  EXPECT_EQ(fault ? fault->status : 0, GetParam().status) << (fault ? fault->message : "");
}

const Case kCases[] = {
    {"Plain", get(""), 0},
    {"WithHeaders", get("Accept: */*\r\nX-A: b c\t\xc3\xa4\r\n"), 0},
    {"EmptyValue", get("X-A:\r\n"), 0},
    {"Http10WithoutHost", "GET / HTTP/1.0\r\n\r\n", 0},
    {"Length", post("Content-Length: 5\r\n"), 0},
    {"Chunked", post("Transfer-Encoding: Chunked\r\n"), 0},
    {"NoHost", "GET / HTTP/1.1\r\n\r\n", 400},
    {"TwoHosts", get("Host: b\r\n"), 400},
    {"BareLf", "GET / HTTP/1.1\nHost: a\n\n", 400},
    {"BareLfInTheMiddle", get("X-A: b\nX-B: c\r\n"), 400},
    {"BareCr", get("X-A: b\rX-B: c\r\n"), 400},
    {"Nul", get(std::string_view("X-A: b\0c\r\n", 10)), 400},
    {"Folded", get("X-A: b\r\n c\r\n"), 400},
    {"BlankBeforeColon", get("X-A : b\r\n"), 400},
    {"NoColon", get("X-A\r\n"), 400},
    {"EmptyName", get(": b\r\n"), 400},
    {"TwoLengths", post("Content-Length: 5\r\nContent-Length: 5\r\n"), 400},
    {"ListOfLengths", post("Content-Length: 5, 5\r\n"), 400},
    {"NegativeLength", post("Content-Length: -5\r\n"), 400},
    {"SignedLength", post("Content-Length: +5\r\n"), 400},
    {"HexLength", post("Content-Length: 0x5\r\n"), 400},
    {"HugeLength", post("Content-Length: 9999999999999999999\r\n"), 400},
    {"EmptyLength", post("Content-Length:\r\n"), 400},
    {"BothLengths", post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400},
    {"OtherEncoding", post("Transfer-Encoding: gzip\r\n"), 501},
    {"EncodingsInAList", post("Transfer-Encoding: gzip, chunked\r\n"), 501},
    {"PackedBody", post("Content-Encoding: gzip\r\n"), 415},
    {"PackedBodyInAList", post("Content-Encoding: identity, br\r\n"), 415},
    {"PlainBody", post("Content-Encoding: Identity\r\n"), 0},
    {"ChunkedTwice", post("Transfer-Encoding: chunked, chunked\r\n"), 501},
    {"TwoEncodings", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
    {"ChunkedInQuotes", post("Transfer-Encoding: \"chunked\"\r\n"), 501},
    {"ChunkedInHttp10", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"OtherVersion", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
    {"NoVersion", "GET /\r\nHost: a\r\n\r\n", 400},
    {"LowerCaseVersion", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
    {"TwoBlanks", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"AbsoluteTarget", "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"StarTarget", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"TargetWithBytes", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"MethodWithBracket", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"LongMethod", "GETGETGETGETGETGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"TlsHello", std::string("\x16\x03\x01\x02\x00\n\r\n", 8), 400},
    {"LongTarget", "GET /" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
    {"LongHeaders", get("X-A: " + std::string(33000, 'a') + "\r\n"), 431},
};
INSTANTIATE_TEST_SUITE_P(, CheckHead, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(CheckHeadOfMany, RefusesMoreHeadersThanAllowed) {
  std::string headers;
  for (int i = 0; i < 63; ++i) headers += "X-" + std::to_string(i) + ": a\r\n";
  EXPECT_EQ(check_head(get(headers)), std::nullopt);  // with Host 64
  headers += "X-63: a\r\n";
  ASSERT_TRUE(check_head(get(headers)));
  EXPECT_EQ(check_head(get(headers))->status, 431);
}

TEST(HeadBytes, EndsAtTheEmptyLine) {
  const std::string head = get("");
  EXPECT_EQ(head_bytes(head + "body"), head.size());
  for (std::size_t cut = 0; cut < head.size(); ++cut)
    EXPECT_EQ(head_bytes(std::string_view(head).substr(0, cut)), 0U) << cut;
}

TEST(HeadBytes, SeesBareLinesSoThatNobodyWaits) {
  EXPECT_EQ(head_bytes("GET / HTTP/1.1\nHost: a\n\nrest"), 24U);
}

TEST(CheckUnfinished, IsTheLimitOfWhatHasNoEnd) {
  EXPECT_EQ(check_unfinished(std::string(8192, 'a')), std::nullopt);
  EXPECT_EQ(check_unfinished(std::string(8193, 'a'))->status, 414);
  EXPECT_EQ(check_unfinished("GET / HTTP/1.1\r\n" + std::string(32769, 'a'))->status, 431);
}

}  // namespace
}  // namespace choir::serve
