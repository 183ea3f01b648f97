#include "serve/router.h"

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <utility>

#include "base/clock.h"
#include "models/sha256.h"

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
  std::string site = {};  // Sec-Fetch-Site
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

Router table() {
  Router router({.hosts = {"choir.example", "FD00:0:0::2"}, .origins = {"https://chat.example"}});
  const Handler none = [](HttpRequest, const Wake&) { return reply_with_json(200, "{}"); };
  router.add({.method = "GET", .path = "/v1/models", .handler = none});
  router.add({.method = "GET", .path = "/v1/models/*", .handler = none});
  router.add({.method = "POST", .path = "/v1/completions", .handler = none});
  router.add({.method = "POST", .path = "/v1/models/*/load", .handler = none});
  router.add({.method = "POST", .path = "/v1/models/*/pin", .handler = none});
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
  if (!c.site.empty()) request.headers.push_back({"sec-fetch-site", c.site});
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
    {"AllowedAddress", "GET", "/v1/models", "[fd00::2]:80", "", 0},
    {"AllowedAddressInAnotherForm", "GET", "/v1/models", "[FD00:0::2]", "", 0},
    {"LoopbackInAnotherForm", "GET", "/v1/models", "[0:0:0:0:0:0:0:1]:80", "", 0},
    {"ForeignAddress", "GET", "/v1/models", "[fd00::3]:80", "", 421},
    {"AddressThatBeginsLikeOurs", "GET", "/v1/models", "[fd00::2].evil.example", "", 421},
    {"ForeignOrigin", "POST", "/v1/completions", "localhost", "https://evil.example", 403},
    {"NullOrigin", "POST", "/v1/completions", "localhost", "null", 403},
    {"OwnOrigin", "POST", "/v1/completions", "LocalHost:8411", "http://localhost:8411", 0},
    {"OwnOriginBehindAProxy", "POST", "/v1/completions", "choir.example", "https://choir.example",
     0},
    {"AnotherPortOfThisMachine", "POST", "/v1/completions", "127.0.0.1:8411",
     "http://127.0.0.1:3000", 403},
    {"AnotherNameOfThisMachine", "POST", "/v1/completions", "127.0.0.1:8411",
     "http://localhost:8411", 403},
    {"OriginOfAFile", "POST", "/v1/completions", "localhost", "file://localhost", 403},
    {"OriginOnTheUnixSocket", "POST", "/v1/completions", "localhost", "https://evil.example", 0,
     true},
    {"OtherSite", "POST", "/v1/completions", "localhost", "", 403, false, "cross-site"},
    {"SameSiteOnly", "POST", "/v1/completions", "localhost:1", "http://localhost:1", 403, false,
     "same-site"},
    {"SameOrigin", "POST", "/v1/completions", "localhost:1", "http://localhost:1", 0, false,
     "same-origin"},
    {"TypedByTheUser", "POST", "/v1/completions", "localhost", "", 0, false, "none"},
    {"AllowedOriginOfAnotherSite", "POST", "/v1/completions", "localhost", "https://chat.example",
     0, false, "cross-site"},
    {"OtherSiteMayRead", "GET", "/v1/models", "localhost", "", 0, false, "cross-site"},
    {"AllowedOrigin", "POST", "/v1/completions", "localhost", "https://chat.example", 0},
    {"RestInTheMiddle", "POST", "/v1/models/a/b/load", "localhost", "", 0},
    {"EmptyRestInTheMiddle", "POST", "/v1/models//load", "localhost", "", 405},
    {"NoSuchAction", "POST", "/v1/models/a/fly", "localhost", "", 404},
    {"ActionByAnotherMethod", "GET", "/v1/models/a/load", "localhost", "", 405},
    {"NoAction", "POST", "/v1/models/a", "localhost", "", 405},
    {"ForeignOriginMayRead", "GET", "/v1/models", "localhost", "https://evil.example", 0},
};
INSTANTIATE_TEST_SUITE_P(, Find, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

// ---- keys ---------------------------------------------------------------------------------------

constexpr std::string_view kSecret = "sk-choir-secret";

Router with_keys() {
  Client client{.key = "alice", .tenant = "acme", .weight = 2, .scopes = kInfer};
  Router router({}, Keys({{.client = client, .sha256 = sha256_of_text(kSecret)}}));
  const Handler none = [](HttpRequest, const Wake&) { return reply_with_json(200, "{}"); };
  router.add({.method = "GET", .path = "/open", .scopes = 0, .handler = none});
  router.add({.method = "GET", .path = "/who", .scopes = 0, .checks_key = true, .handler = none});
  router.add({.method = "GET", .path = "/infer", .scopes = kInfer, .handler = none});
  router.add({.method = "GET", .path = "/admin", .scopes = kAdmin, .handler = none});
  return router;
}

struct KeyCase {
  std::string name;
  std::string path;
  Header header;
  int status;  // 0: found
};
void PrintTo(const KeyCase& c, std::ostream* out) { *out << c.name; }
class FindWithKeys : public testing::TestWithParam<KeyCase> {};

TEST_P(FindWithKeys, Decides) {
  HttpRequest request{.method = "GET", .path = GetParam().path, .headers = {GetParam().header}};
  const Router router = with_keys();
  const auto found = router.find(request);
  const auto* refusal = std::get_if<Refusal>(&found);
  EXPECT_EQ(refusal == nullptr ? 0 : refusal->status, GetParam().status);
}

const KeyCase kKeyCases[] = {
    {"NoKeyWhereItIsOpen", "/open", {}, 0},
    {"WrongKeyWhereItIsOpen", "/open", {"x-api-key", "a"}, 0},
    {"NoKeyWhereOneIsLookedAt", "/who", {}, 0},
    {"WrongKeyWhereOneIsLookedAt", "/who", {"x-api-key", "a"}, 401},
    {"NoKey", "/infer", {}, 401},
    {"WrongKey", "/infer", {"authorization", "Bearer sk-choir-secreT"}, 401},
    {"PartOfAKey", "/infer", {"authorization", "Bearer sk-choir-secre"}, 401},
    {"OtherScheme", "/infer", {"authorization", "Basic sk-choir-secret"}, 401},
    {"Bearer", "/infer", {"authorization", "bearer sk-choir-secret"}, 0},
    {"XApiKey", "/infer", {"x-api-key", "sk-choir-secret"}, 0},
    {"ApiKey", "/infer", {"api-key", "sk-choir-secret"}, 0},
    {"WithoutTheScope", "/admin", {"api-key", "sk-choir-secret"}, 403},
    {"NoSuchPath", "/nothing", {}, 404},
};
INSTANTIATE_TEST_SUITE_P(, FindWithKeys, testing::ValuesIn(kKeyCases),
                         [](const auto& c) { return c.param.name; });

TEST(FindRoute, SaysOnWhoseAccountARequestIs) {
  HttpRequest request{.method = "GET",
                      .path = "/infer",
                      .headers = {{"authorization", "Bearer " + std::string(kSecret)}}};
  const Router router = with_keys();
  static_cast<void>(router.find(request));
  EXPECT_EQ(request.client.tenant, "acme");
  EXPECT_EQ(request.client.weight, 2);
}

TEST(FindRoute, GivesAllScopesToTheUnixSocket) {
  HttpRequest request{.method = "GET", .path = "/admin", .over_unix_socket = true};
  const Router router = with_keys();
  EXPECT_TRUE(std::holds_alternative<const Route*>(router.find(request)));
  EXPECT_EQ(request.client.tenant, "local");
}

TEST(FindRoute, SaysWhatThePathTakes) {
  HttpRequest request{.method = "PUT", .path = "/v1/completions"};
  const auto found = table().find(request);
  const auto& refusal = std::get<Refusal>(found);
  EXPECT_EQ(refusal.headers, (std::vector<Header>{{"allow", "POST"}}));
}

TEST(FindRoute, SaysWhatTheLongestPathTakes) {
  for (const auto& [path, allowed] :
       {std::pair("/v1/models/a/load", "POST"), std::pair("/v1/models/a/load/b", "GET, HEAD"),
        std::pair("/v1/models", "GET, HEAD")}) {
    HttpRequest request{.method = "OPTIONS", .path = path};
    const auto found = table().find(request);
    EXPECT_EQ(std::get<Refusal>(found).headers, (std::vector<Header>{{"allow", allowed}})) << path;
  }
}

TEST(FindRoute, NamesTheActionsThatThereAre) {
  HttpRequest request{.method = "POST", .path = "/v1/models/a/fly"};
  const auto found = table().find(request);
  EXPECT_EQ(std::get<Refusal>(found).message, "there is no action 'fly'; there are load, pin");
}

// ---- sessions -----------------------------------------------------------------------------------

struct SessionCase {
  std::string name;
  std::string path;
  bool ended;
  int status;  // 0: found
  std::string_view code = {};
};
void PrintTo(const SessionCase& c, std::ostream* out) { *out << c.name; }
class FindWithASession : public testing::TestWithParam<SessionCase> {};

TEST_P(FindWithASession, Decides) {
  const SessionCase& c = GetParam();
  const ManualClock clock;
  Sessions sessions(clock);
  Router router = with_keys();
  router.set_sessions(sessions);
  const Key& key = router.keys().all().front();
  const std::string token = *sessions.begin({key.client, key.sha256});
  if (c.ended) sessions.end(sha256_of_text(token));
  HttpRequest request{
      .method = "GET", .path = c.path, .headers = {{"authorization", "Bearer " + token}}};
  const auto found = router.find(request);
  const auto* refusal = std::get_if<Refusal>(&found);
  EXPECT_EQ(refusal == nullptr ? 0 : refusal->status, c.status);
  EXPECT_EQ(refusal == nullptr ? "" : refusal->code, c.code);
  EXPECT_EQ(request.client.tenant == "acme", !c.ended);
}

const SessionCase kSessionCases[] = {
    {"OfAKeyWithTheScope", "/infer", false, 0},
    {"OfAKeyWithoutTheScope", "/admin", false, 403},
    {"Ended", "/infer", true, 401, "session_ended"},
    {"EndedWhereItIsOpen", "/open", true, 0},
    {"EndedWhereKeysAreLookedAt", "/who", true, 401, "session_ended"},
};
INSTANTIATE_TEST_SUITE_P(, FindWithASession, testing::ValuesIn(kSessionCases),
                         [](const auto& c) { return c.param.name; });

TEST(FindRoute, GivesASessionOfTheSocketItsScopesWhereThereAreNoKeys) {
  const ManualClock clock;
  Sessions sessions(clock);
  Router router;
  router.set_sessions(sessions);
  router.add({.method = "GET", .path = "/admin", .scopes = kAdmin, .handler = {}});
  const std::string token = *sessions.begin({.client = {.scopes = kView | kAdmin}});
  HttpRequest request{
      .method = "GET", .path = "/admin", .headers = {{"authorization", "Bearer " + token}}};
  EXPECT_TRUE(std::holds_alternative<const Route*>(router.find(request)));
  HttpRequest without{.method = "GET", .path = "/admin"};
  EXPECT_FALSE(std::holds_alternative<const Route*>(router.find(without)));
}

struct TypeCase {
  std::string name;
  std::string type;
  std::string length;
  int status;  // 0: found
};
void PrintTo(const TypeCase& c, std::ostream* out) { *out << c.name; }
class FindOfType : public testing::TestWithParam<TypeCase> {};

TEST_P(FindOfType, Decides) {
  HttpRequest request{.method = "POST", .path = "/v1/completions"};
  if (!GetParam().type.empty()) request.headers.push_back({"content-type", GetParam().type});
  if (!GetParam().length.empty()) request.headers.push_back({"content-length", GetParam().length});
  const auto found = table().find(request);
  const auto* refusal = std::get_if<Refusal>(&found);
  EXPECT_EQ(refusal == nullptr ? 0 : refusal->status, GetParam().status);
}

const TypeCase kTypeCases[] = {
    {"None", "", "2", 0},
    {"Json", "application/json", "2", 0},
    {"JsonWithItsCharacters", "Application/JSON ; charset=utf-8", "2", 0},
    {"KindOfJson", "application/vnd.choir+json", "2", 0},
    {"AsCurlHasIt", "application/x-www-form-urlencoded", "2", 0},
    {"Text", "text/plain", "2", 415},
    {"Xml", "text/xml", "2", 415},
    {"Form", "multipart/form-data; boundary=a", "2", 415},
    {"NameThatBeginsLikeJson", "application/json2", "2", 415},
    {"NoBody", "text/xml", "", 0},
    {"EmptyBody", "text/xml", "0", 0},
};
INSTANTIATE_TEST_SUITE_P(, FindOfType, testing::ValuesIn(kTypeCases),
                         [](const auto& c) { return c.param.name; });

TEST(FindRoute, LooksAtTheTypeOfABodyInChunks) {
  HttpRequest request{.method = "POST",
                      .path = "/v1/completions",
                      .headers = {{"transfer-encoding", "chunked"}, {"content-type", "text/xml"}}};
  const auto found = table().find(request);
  EXPECT_EQ(std::get<Refusal>(found).status, 415);
}

TEST(FindRoute, GivesTheRestInTheMiddle) {
  HttpRequest request{.method = "POST", .path = "/v1/models/a/b/load"};
  static_cast<void>(table().find(request));
  EXPECT_EQ(request.rest, "a/b");
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

TEST(Query, OfOwnRoutesIsRefusedWhereNoneIsRead) {
  Router router;
  const Handler none = [](HttpRequest, const Wake&) { return reply_with_json(200, "{}"); };
  constexpr BodyField kSeconds[] = {{"seconds", {}, ""}};
  router.add({.method = "GET", .path = "/v1/models", .handler = none});
  router.add({.method = "GET", .path = "/choir/v1/models", .handler = none});
  router.add({.method = "GET", .path = "/choir/v1/history", .query = kSeconds, .handler = none});
  const auto status = [&](const std::string& path, const std::string& query) {
    HttpRequest request{.method = "GET", .path = path, .query = query};
    const auto found = router.find(request);
    const auto* refusal = std::get_if<Refusal>(&found);
    return refusal == nullptr ? 0 : refusal->status;
  };
  EXPECT_EQ(status("/v1/models", "limit=2"), 0);  // clients of OpenAI's API have such habits
  EXPECT_EQ(status("/choir/v1/models", ""), 0);
  EXPECT_EQ(status("/choir/v1/models", "name=a"), 400);
  EXPECT_EQ(status("/choir/v1/history", "anything=1"), 0);  // the route looks at it
}

}  // namespace
}  // namespace choir::serve
