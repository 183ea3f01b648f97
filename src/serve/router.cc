#include "serve/router.h"

#include <algorithm>
#include <array>
#include <boost/asio/ip/address_v6.hpp>
#include <string_view>
#include <utility>

#include "choir/text.h"
#include "serve/query.h"

namespace choir::serve {
namespace {

constexpr std::size_t kTypeShown = 60;
constexpr std::size_t kPathShown = 300;
constexpr std::array<std::string_view, 3> kLoopback = {"localhost", "127.0.0.1", "::1"};

// Of an address of IPv6 the one form that clients and settings can be compared in: "FD00:0::1",
// "[fd00::1]" and "fd00::1%eth0" -> "fd00::1". Other names in lower case.
std::string one_form(std::string_view name) {
  if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
  boost::system::error_code error;
  auto address = boost::asio::ip::make_address_v6(name, error);
  if (error) return lower_case(name);
  address.scope_id(0);
  return address.to_string();
}

// "LocalHost:8411" -> "localhost"; "[::1]:8411" -> "::1".
std::string host_name(std::string_view host) {
  const std::size_t bracket = host.rfind(']');
  const std::size_t colon = host.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket))
    host = host.substr(0, colon);
  return one_form(host);
}

bool is_known_host(std::string_view host, const HostRules& rules) {
  const std::string name = host_name(host);
  return std::ranges::find(kLoopback, name) != kLoopback.end() ||
         std::ranges::find(rules.hosts, name) != rules.hosts.end();
}

// A page of this very daemon. Another port of the same host is another program's.
bool is_own_origin(std::string_view origin, std::string_view host) {
  for (const std::string_view scheme : {"http://", "https://"})
    if (origin.starts_with(scheme) && !host.empty())
      return lower_case(origin.substr(scheme.size())) == lower_case(host);
  return false;
}

// "Authorization: Bearer KEY", or the headers of other clients.
std::string_view key_in(const HttpRequest& head) {
  constexpr std::string_view kBearer = "bearer ";
  const std::string_view authorization = head.header("authorization");
  if (lower_case(authorization.substr(0, kBearer.size())) == kBearer)
    return authorization.substr(kBearer.size());
  const std::string_view key = head.header("x-api-key");
  return key.empty() ? head.header("api-key") : key;
}

std::string names_of(Scopes scopes) {
  std::string names;
  for (const std::string_view name : kScopeNames)
    if ((*scope_named(name) & scopes) != 0)
      names += (names.empty() ? "" : ", ") + std::string(name);
  return names;
}

// Whether the route's path matches; then `rest` is what its '*' stands for.
bool matches(std::string_view pattern, std::string_view path, std::string& rest) {
  const std::size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == path;
  const std::string_view front = pattern.substr(0, star);
  const std::string_view back = pattern.substr(star + 1);
  if (path.size() <= front.size() + back.size() || !path.starts_with(front) ||
      !path.ends_with(back))
    return false;
  rest = path.substr(front.size(), path.size() - front.size() - back.size());
  return true;
}

// JSON under its name, under that of a form, as curl -d sends it and the examples of other programs
// have it, or without a name.
bool is_json_type(std::string_view type) {
  std::string name = lower_case(type.substr(0, type.find(';')));
  while (name.ends_with(' ') || name.ends_with('\t')) name.pop_back();
  return name.empty() || name == "application/json" || name.ends_with("+json") ||
         name == "application/x-www-form-urlencoded";
}

std::optional<Refusal> other_type(const HttpRequest& head) {
  const std::string_view length = head.header("content-length");
  const bool has_body = !head.header("transfer-encoding").empty() ||
                        length.find_first_not_of('0') != std::string_view::npos;
  const std::string_view type = head.header("content-type");
  if (!has_body || is_json_type(type)) return std::nullopt;
  return Refusal{415, "the body is '" + printable_line(type, kTypeShown) + "'; '" + head.path +
                          "' takes application/json"};
}

// Choir's own routes refuse what they would not read. Those that read a query look at it
// themselves.
std::optional<Refusal> unknown_query(const HttpRequest& head, const Route& route) {
  if (!route.query.empty() || !head.path.starts_with("/choir/v1/")) return std::nullopt;
  const Status none = has_only(head.query, {});
  if (none) return std::nullopt;
  return Refusal{400, none.error().message};
}

// "load, unload" where routes of this method have a path such as .../*/load, and this path has
// something else at its end; empty where there are none.
std::string actions_at(std::span<const Route> routes, const std::string& method,
                       std::string_view path) {
  std::string actions;
  for (const Route& route : routes) {
    const std::size_t star = route.path.find('*');
    if (star == std::string::npos || star + 1 == route.path.size() || route.method != method)
      continue;
    const std::string_view front(route.path.data(), star);
    const std::size_t slash = path.rfind('/');
    if (path.starts_with(front) && slash > front.size())
      actions += (actions.empty() ? "" : ", ") + route.path.substr(star + 2);
  }
  return actions;
}

}  // namespace

Router::Router(HostRules rules, Keys keys) : rules_(std::move(rules)), keys_(std::move(keys)) {
  for (std::string& host : rules_.hosts) host = one_form(host);
}

void Router::add(Route route) {
  const bool star = route.path.find('*') != std::string::npos;
  (star ? with_star_ : by_path_[route.path]).push_back(routes_.size());
  routes_.push_back(std::move(route));
}

std::variant<const Route*, Refusal> Router::find(HttpRequest& head) const {
  const std::string_view host = head.header("host");
  if (!head.over_unix_socket && !host.empty() && !is_known_host(host, rules_))
    return Refusal{421, "this daemon does not serve the host '" + std::string(host) +
                            "'; --allow-host adds a name"};
  if (auto refusal = foreign_page(head)) return *std::move(refusal);
  return route_of(head);
}

// A browser says which page sends a request, and how that page is related to this address.
std::optional<Refusal> Router::foreign_page(const HttpRequest& head) const {
  const bool reads = head.method == "GET" || head.method == "HEAD";
  if (reads || head.over_unix_socket) return std::nullopt;
  const std::string_view origin = head.header("origin");
  if (std::ranges::find(rules_.origins, origin) != rules_.origins.end()) return std::nullopt;
  const std::string_view site = head.header("sec-fetch-site");
  const bool own = (origin.empty() || is_own_origin(origin, head.header("host"))) &&
                   (site.empty() || site == "same-origin" || site == "none");
  if (own) return std::nullopt;
  const std::string page = origin.empty() ? "another site" : "'" + std::string(origin) + "'";
  return Refusal{403,
                 "pages of " + page + " may not use this daemon; --allow-origin adds an origin",
                 {},
                 false,
                 "foreign_origin"};
}

std::variant<const Route*, Refusal> Router::route_of(HttpRequest& head) const {
  const std::string method = head.method == "HEAD" ? "GET" : head.method;
  const Route* found = nullptr;
  std::string allowed;
  std::size_t longest = 0;
  const auto look_at = [&](const Route& route) {
    std::string rest;
    if (route.path.size() < longest || !matches(route.path, head.path, rest)) return;
    if (route.path.size() > longest) {
      longest = route.path.size();
      allowed.clear();
      found = nullptr;
    }
    allowed += (allowed.empty() ? "" : ", ") + route.method;
    if (route.method == "GET") allowed += ", HEAD";
    if (route.method != method) return;
    found = &route;
    head.rest = std::move(rest);
  };
  if (const auto exact = by_path_.find(head.path); exact != by_path_.end())
    for (const std::size_t place : exact->second) look_at(routes_[place]);
  for (const std::size_t place : with_star_)
    if (routes_[place].path.size() <= head.path.size()) look_at(routes_[place]);
  if (found == nullptr) return unknown(head, method, allowed);
  if (auto refusal = not_allowed(head, *found)) return *std::move(refusal);
  if (method != "GET")
    if (auto refusal = other_type(head)) return *std::move(refusal);
  if (auto refusal = unknown_query(head, *found)) return *std::move(refusal);
  return found;
}

Refusal Router::unknown(const HttpRequest& head, const std::string& method,
                        const std::string& allowed) const {
  const std::string path = printable_line(head.path, kPathShown);
  if (const std::string actions = actions_at(routes_, method, head.path); !actions.empty())
    return {404,
            "there is no action '" + path.substr(path.rfind('/') + 1) + "'; there are " + actions};
  if (allowed.empty()) {
    std::vector<std::string> paths;
    for (const Route& route : routes_)
      if (route.documented && route.path.find('*') == std::string::npos)
        paths.push_back(route.path);
    const auto near = nearest(head.path, paths);
    return {404, "there is no '" + path + "' here; " +
                     (near ? "did you mean '" + *near + "'?" : "/v1/models lists the models")};
  }
  return {405, "'" + path + "' takes " + allowed + ", not " + head.method, {{"allow", allowed}}};
}

// Sets `client`. Refused: a key or a session that is not one of the daemon's.
std::optional<Refusal> Router::set_client(HttpRequest& head, const Route& route) const {
  const std::string_view key = key_in(head);
  if (head.over_unix_socket) {
    head.client.scopes = kView | kInfer | kMetrics | kAdmin;
  } else if (sessions_ != nullptr && Sessions::is_token(key)) {
    if (auto client = sessions_->client_of(key, keys_))
      head.client = std::move(*client);
    else if (route.scopes != 0 || route.checks_key)
      return Refusal{401,
                     "the session has ended; a key, or a link of `choir dashboard`, begins one",
                     {{"www-authenticate", "Bearer"}},
                     false,
                     "session_ended"};
  } else if (keys_.empty()) {
    head.client.scopes = kView | kInfer | kMetrics;
  } else if (auto client = keys_.client_of(key)) {
    head.client = std::move(*client);
  } else if (route.scopes != 0 || (route.checks_key && !key.empty())) {
    const bool wrong_key = !key.empty();
    return Refusal{401,
                   wrong_key ? "the key is not one of this daemon"
                             : "a key is needed: 'Authorization: Bearer KEY'; `choir key new` "
                               "makes one",
                   {{"www-authenticate", "Bearer"}},
                   wrong_key};
  }
  return std::nullopt;
}

std::optional<Refusal> Router::not_allowed(HttpRequest& head, const Route& route) const {
  if (auto refusal = set_client(head, route)) return refusal;
  const auto lacks = static_cast<Scopes>(route.scopes & ~head.client.scopes);
  if (lacks == 0) return std::nullopt;
  const std::string who =
      head.client.key.empty() ? "the session" : "the key '" + head.client.key + "'";
  return Refusal{403, keys_.empty() && head.client.session.empty()
                          ? "'" + head.path +
                                "' changes the daemon: without keys that is allowed over its unix "
                                "socket only, and with a link of `choir dashboard`"
                          : who + " lacks the scope " + names_of(lacks)};
}

}  // namespace choir::serve
