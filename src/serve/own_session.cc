#include "serve/own_session.h"

#include <array>
#include <chrono>
#include <utility>
#include <vector>

#include "serve/shape.h"
#include "serve/shaped_body.h"

namespace choir::serve {
namespace {

constexpr Scopes kAllScopes = kView | kInfer | kMetrics | kAdmin;

constexpr auto kSessionFields = std::to_array<BodyField>(
    {{"code", {Kind::kText, 1, 128}, "Of a link, instead of a key; it works once"}});
constexpr BodyShape kSession = {.fields = kSessionFields};

std::int64_t seconds_of(Nanos time) {
  return std::chrono::ceil<std::chrono::seconds>(time).count();
}

Json scopes_of(const Client& client) {
  Json scopes = Json::array();
  for (const std::string_view name : kScopeNames)
    if ((*scope_named(name) & client.scopes) != 0) scopes.push_back(name);
  return scopes;
}

// What nobody may keep: it has a secret, or says who asks.
std::unique_ptr<Work> reply_unkept(const Json& json) {
  return reply_with(
      {.headers = {{"content-type", "application/json"}, {"cache-control", "no-store"}}},
      to_text(json));
}

std::unique_ptr<Work> refuse(int status, std::string type, std::string code, std::string message) {
  return reply_with_error({.status = status,
                           .type = std::move(type),
                           .code = std::move(code),
                           .message = std::move(message),
                           .param = {},
                           .pointer = {}});
}

SessionOwner owner_of(const Client& client, const Keys& keys) {
  SessionOwner owner{.client = client, .key_sha256 = {}};
  owner.client.session.clear();
  if (const Key* key = keys.named(client.key)) owner.key_sha256 = key->sha256;
  return owner;
}

Json row_of(const Client& client, const std::optional<Nanos>& left) {
  const bool known = client.scopes != 0;  // else a key is needed, and none was sent
  return {{"tenant", known ? Json(client.tenant) : Json(nullptr)},
          {"scopes", scopes_of(client)},
          {"expires_in_seconds", left ? Json(seconds_of(*left)) : Json(nullptr)}};
}

// With a code, with a key, or over the unix socket. A session begins no other one, so none lives
// longer than kSessionLives.
std::unique_ptr<Work> begin_session(const Router& router, Sessions& sessions,
                                    const HttpRequest& request) {
  const ApiResult<Json> body = read_shaped_body(kSession, request.body);
  if (!body) return reply_with_error(body.error());
  const std::string code = body->value("code", "");
  const Client& client = request.client;
  const bool may = request.over_unix_socket || (!client.key.empty() && client.session.empty());
  if (code.empty() && !may)
    return refuse(401, "authentication_error", "invalid_api_key",
                  "a session begins with a key, 'Authorization: Bearer KEY', or with the code of a "
                  "link; `choir dashboard` makes one");
  const auto token = code.empty() ? sessions.begin(owner_of(client, router.keys()))
                                  : sessions.begin_with_code(code);
  if (!token && token.error().code == Code::kNotFound)
    return refuse(401, "authentication_error", "invalid_code", token.error().message);
  if (!token) return reply_with_error(api_error(token.error()));
  const auto owner = sessions.client_of(*token, router.keys());
  if (!owner)  // of a link whose key was removed
    return refuse(401, "authentication_error", "invalid_code", "the key of the link is gone");
  Json row = {{"token", *token}};
  row.update(row_of(*owner, sessions.left(owner->session)));
  return reply_unkept(row);
}

std::unique_ptr<Work> show_session(const Sessions& sessions, const HttpRequest& request) {
  const Client& client = request.client;
  return reply_unkept(
      row_of(client, client.session.empty() ? std::nullopt : sessions.left(client.session)));
}

std::unique_ptr<Work> end_session(Sessions& sessions, const HttpRequest& request) {
  if (request.client.session.empty() || !sessions.end(request.client.session))
    return refuse(404, "not_found_error", "not_found", "the request has no token of a session");
  return reply_unkept({{"ended", true}});
}

std::unique_ptr<Work> make_link(const Router& router, const Services& s,
                                const HttpRequest& request) {
  const auto code = s.sessions.make_code(owner_of(request.client, router.keys()), kLinkLives);
  if (!code) return reply_with_error(api_error(code.error()));
  const std::string page = s.page();
  return reply_unkept({{"code", *code},
                       {"expires_in_seconds", seconds_of(kLinkLives)},
                       {"url", page.empty() ? Json(nullptr) : Json(page + "#code=" + *code)}});
}

}  // namespace

std::string page_at(const std::vector<std::string>& addresses) {
  constexpr std::string_view kHttp = "http://";
  constexpr auto kEverywhere = std::to_array<std::pair<std::string_view, std::string_view>>(
      {{"0.0.0.0:", "127.0.0.1:"}, {"[::]:", "[::1]:"}});
  for (const std::string& address : addresses) {
    if (!address.starts_with(kHttp)) continue;
    std::string host = address.substr(kHttp.size());
    for (const auto& [everywhere, here] : kEverywhere)
      if (host.starts_with(everywhere)) host.replace(0, everywhere.size(), here);
    return std::string(kHttp) + host + "/ui/";
  }
  return {};
}

Result<std::string> link_of_socket(Sessions& sessions, const std::string& page, Nanos lives) {
  SessionOwner owner;
  owner.client.scopes = kAllScopes;
  return page + "#code=" + CHOIR_TRY(sessions.make_code(owner, lives));
}

void add_session_routes(Router& router, const Services& s) {
  constexpr const char* kPath = "/choir/v1/session";
  router.add({.method = "POST",
              .path = kPath,
              .summary = "Begins a session: a token for a key, or for the code of a link",
              .scopes = 0,
              .checks_key = true,
              .body = kSession,
              .reply = {"NewSession"},
              .handler = [&router, &s](const HttpRequest& r, const Wake&) {
                return begin_session(router, s.sessions, r);
              }});
  router.add(
      {.method = "GET",
       .path = kPath,
       .summary = "Says who asks, with which scopes, and how long a session still lives",
       .scopes = 0,
       .checks_key = true,
       .reply = {"Session"},
       .handler = [&s](const HttpRequest& r, const Wake&) { return show_session(s.sessions, r); }});
  router.add(
      {.method = "DELETE",
       .path = kPath,
       .summary = "Ends the session whose token is sent",
       .scopes = 0,
       .checks_key = true,
       .reply = {"SessionEnded"},
       .handler = [&s](const HttpRequest& r, const Wake&) { return end_session(s.sessions, r); }});
  router.add({.method = "POST",
              .path = "/choir/v1/session/link",
              .summary = "Makes a link to the dashboard, which works once, within 60 s",
              .scopes = kAdmin,
              .reply = {"SessionLink"},
              .handler = [&router, &s](const HttpRequest& r, const Wake&) {
                return make_link(router, s, r);
              }});
}

}  // namespace choir::serve
