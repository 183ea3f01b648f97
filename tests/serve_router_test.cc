#include "serve/router.h"

#include <gtest/gtest.h>

#include <ostream>
#include <string>

namespace choir::serve {
namespace {

struct Case {
  std::string name;
  std::string method;
  std::string path;
  std::string host;
  std::string origin;
  int status;  // 0: found
  bool over_unix_socket = false;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

Router table() {
  Router router({.hosts = {"choir.example"}, .origins = {"https://chat.example"}});
  const Handler none = [](HttpRequest, const Wake&) { return reply_with_json(200, "{}"); };
  router.add({.method = "GET", .path = "/v1/models", .handler = none});
  router.add({.method = "GET", .path = "/v1/models/*", .handler = none});
  router.add({.method = "POST", .path = "/v1/completions", .handler = none});
  return router;
}

class Find : public testing::TestWithParam<Case> {};

TEST_P(Find, Decides) {
  const Case& c = GetParam();
  HttpRequest request{.method = c.method,
                      .path = c.path,
                      .headers = {{"host", c.host}},
                      .over_unix_socket = c.over_unix_socket};
  if (!c.origin.empty()) request.headers.push_back({"origin", c.origin});
  const auto found = table().find(request);
  const auto* refusal = std::get_if<Refusal>(&found);
  EXPECT_EQ(refusal == nullptr ? 0 : refusal->status, c.status);
}

const Case kCases[] = {
    {"Known", "GET", "/v1/models", "localhost:8411", "", 0},
    {"HeadOfGet", "HEAD", "/v1/models", "127.0.0.1", "", 0},
    {"Rest", "GET", "/v1/models/a/b", "[::1]:8411", "", 0},
    {"EmptyRest", "GET", "/v1/models/", "localhost", "", 404},
    {"Unknown", "GET", "/v2/models", "localhost", "", 404},
    {"OtherMethod", "DELETE", "/v1/models", "localhost", "", 405},
    {"Options", "OPTIONS", "/v1/completions", "localhost", "", 405},
    {"ForeignHost", "GET", "/v1/models", "evil.example", "", 421},
    {"HostThatBeginsLikeOurs", "GET", "/v1/models", "localhost.evil.example", "", 421},
    {"ForeignHostOnTheUnixSocket", "GET", "/v1/models", "evil.example", "", 0, true},
    {"AllowedHost", "GET", "/v1/models", "Choir.Example:80", "", 0},
    {"ForeignOrigin", "POST", "/v1/completions", "localhost", "https://evil.example", 403},
    {"NullOrigin", "POST", "/v1/completions", "localhost", "null", 403},
    {"OwnOrigin", "POST", "/v1/completions", "localhost", "http://localhost:8411", 0},
    {"AllowedOrigin", "POST", "/v1/completions", "localhost", "https://chat.example", 0},
    {"ForeignOriginMayRead", "GET", "/v1/models", "localhost", "https://evil.example", 0},
};
INSTANTIATE_TEST_SUITE_P(, Find, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(FindRoute, SaysWhatThePathTakes) {
  HttpRequest request{.method = "PUT", .path = "/v1/completions"};
  const auto found = table().find(request);
  const auto& refusal = std::get<Refusal>(found);
  EXPECT_EQ(refusal.headers, (std::vector<Header>{{"allow", "POST"}}));
}

TEST(FindRoute, GivesTheRest) {
  HttpRequest request{.method = "GET", .path = "/v1/models/a/b"};
  static_cast<void>(table().find(request));
  EXPECT_EQ(request.rest, "a/b");
}

TEST(DecodedPath, IsThePathWithoutItsQuery) {
  EXPECT_EQ(decoded_path("/v1/models/a%2Fb?x=%zz"), "/v1/models/a/b");
  for (const char* wrong :
       {"/a%00", "/a%0a", "/a%2", "/a%zz", "/../a", "/a/%2e%2e/b", "/a/..", "/./a", "a"})
    EXPECT_EQ(decoded_path(wrong), std::nullopt) << wrong;
  EXPECT_EQ(decoded_path("/a/..b"), "/a/..b");
}

}  // namespace
}  // namespace choir::serve
