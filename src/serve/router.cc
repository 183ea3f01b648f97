#include "serve/router.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace choir::serve {
namespace {

constexpr std::array<std::string_view, 3> kLoopback = {"localhost", "127.0.0.1", "[::1]"};

// "LocalHost:8411" -> "localhost"; "[::1]:8411" -> "[::1]".
std::string host_name(std::string_view host) {
  const std::size_t bracket = host.rfind(']');
  const std::size_t colon = host.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket))
    host = host.substr(0, colon);
  return lower_case(host);
}

bool is_known_host(std::string_view host, const HostRules& rules) {
  const std::string name = host_name(host);
  return std::ranges::find(kLoopback, name) != kLoopback.end() ||
         std::ranges::find(rules.hosts, name) != rules.hosts.end();
}

// A page of this very daemon, or one that the configuration names.
bool is_known_origin(std::string_view origin, const HostRules& rules) {
  if (std::ranges::find(rules.origins, origin) != rules.origins.end()) return true;
  const std::size_t scheme = origin.find("://");
  return scheme != std::string_view::npos && is_known_host(origin.substr(scheme + 3), rules);
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
bool matches(const std::string& pattern, const std::string& path, std::string& rest) {
  if (!pattern.ends_with('*')) return pattern == path;
  const std::string_view front(pattern.data(), pattern.size() - 1);
  if (!path.starts_with(front) || path.size() == front.size()) return false;
  rest = path.substr(front.size());
  return true;
}

}  // namespace

std::variant<const Route*, Refusal> Router::find(HttpRequest& head) const {
  const std::string_view host = head.header("host");
  if (!head.over_unix_socket && !host.empty() && !is_known_host(host, rules_))
    return Refusal{421, "this daemon does not serve the host '" + std::string(host) +
                            "'; --allow-host adds a name"};
  const bool reads = head.method == "GET" || head.method == "HEAD";
  const std::string_view origin = head.header("origin");
  if (!reads && !origin.empty() && !head.over_unix_socket && !is_known_origin(origin, rules_))
    return Refusal{403, "pages of '" + std::string(origin) +
                            "' may not use this daemon; --allow-origin adds an origin"};
  return route_of(head);
}

std::variant<const Route*, Refusal> Router::route_of(HttpRequest& head) const {
  std::string allowed;
  const std::string method = head.method == "HEAD" ? "GET" : head.method;
  for (const Route& route : routes_) {
    std::string rest;
    if (!matches(route.path, head.path, rest)) continue;
    if (route.method == method) {
      if (auto refusal = not_allowed(head, route)) return *std::move(refusal);
      head.rest = std::move(rest);
      return &route;
    }
    if (allowed.find(route.method) == std::string::npos)
      allowed += (allowed.empty() ? "" : ", ") + route.method;
  }
  if (allowed.empty())
    return Refusal{404, "there is no '" + head.path + "' here; /v1/models lists the models"};
  return Refusal{
      405, "'" + head.path + "' takes " + allowed + ", not " + head.method, {{"allow", allowed}}};
}

std::optional<Refusal> Router::not_allowed(HttpRequest& head, const Route& route) const {
  if (head.over_unix_socket) {
    head.client.scopes = kView | kInfer | kMetrics | kAdmin;
  } else if (keys_.empty()) {
    head.client.scopes = kView | kInfer | kMetrics;
  } else if (auto client = keys_.client_of(key_in(head))) {
    head.client = std::move(*client);
  } else if (route.scopes != 0) {
    const bool wrong_key = !key_in(head).empty();
    return Refusal{401,
                   wrong_key ? "the key is not one of this daemon"
                             : "a key is needed: 'Authorization: Bearer KEY'; `choir key new` "
                               "makes one",
                   {{"www-authenticate", "Bearer"}},
                   wrong_key};
  }
  const auto lacks = static_cast<Scopes>(route.scopes & ~head.client.scopes);
  if (lacks == 0) return std::nullopt;
  return Refusal{403, keys_.empty()
                          ? "'" + head.path +
                                "' changes the daemon: without keys that is allowed over its unix "
                                "socket only"
                          : "the key '" + head.client.key + "' lacks the scope " + names_of(lacks)};
}

}  // namespace choir::serve
