// Which handler answers which request, and which requests are refused by their head alone.
//
// The table is filled before the server runs; then find() and the keys are on the loop thread.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "serve/http.h"
#include "serve/keys.h"
#include "serve/sessions.h"
#include "serve/shape.h"

namespace choir::serve {

inline constexpr std::size_t kInferenceBodyMax = 8U << 20U;
inline constexpr std::size_t kAdminBodyMax = 64U << 10U;

struct Route {
  std::string method;
  // "/v1/models". One '*' stands for what is not empty: at the end for the rest, in the middle for
  // what is before the last part ("/choir/v1/models/*/load").
  std::string path;
  std::string_view summary = {};  // what it does, in one line, for the document of the API
  Scopes scopes = kView;          // that the client needs; 0: the route is open
  bool checks_key = false;        // an open route that refuses a wrong key, and takes none
  bool documented = true;         // in the document of the API; pages are not
  bool while_draining = false;    // also asked while the daemon takes no new work
  std::size_t body_bytes_max = kAdminBodyMax;
  std::span<const BodyField> query = {};    // what may stand behind '?'
  std::span<const BodyField> headers = {};  // that are read, beside those of every route
  BodyShape body = {};
  ReplyShape reply = {};
  Handler handler;
};

// For refusals that pass by themselves.
inline std::vector<Header> retry_in_a_second() {
  return {{"retry-after", "1"}, {"retry-after-ms", "1000"}};
}

// Against web pages that send requests to this machine from a browser (DNS rebinding, requests
// across origins). On a unix socket every Host is taken, because a browser does not reach it.
struct HostRules {
  std::vector<std::string> hosts;    // names and addresses besides localhost and those of loopback
  std::vector<std::string> origins;  // other pages that may send: "https://chat.example"
};

class Router {
 public:
  explicit Router(HostRules rules = {}, Keys keys = {});

  void add(Route route);
  std::span<const Route> routes() const { return routes_; }

  // From the next request on.
  void set_keys(Keys keys) { keys_ = std::move(keys); }
  const Keys& keys() const { return keys_; }
  // Whose tokens are taken as keys are. They outlive this object.
  void set_sessions(const Sessions& sessions) { sessions_ = &sessions; }

  // The route for this head, whose body has not been read. Sets `rest` and `client`. Of several
  // paths that match, the longest counts. Refused: a foreign Host (421), a page of another origin
  // (host and port) that sends anything but GET and HEAD (403 foreign_origin), an unknown path
  // (404), a method that the path does not have (405, with `allow`), no key or a wrong one where
  // there are keys (401), a session that has ended (401 session_ended), a scope that the client
  // does not have (403), a body of another type than JSON (415), a query on a route of /choir/v1/
  // that has none (400). A client of the unix socket has all scopes; where there are no keys, one
  // of TCP has all but kAdmin, or those of its session. HEAD is answered where GET is.
  std::variant<const Route*, Refusal> find(HttpRequest& head) const;

 private:
  std::variant<const Route*, Refusal> route_of(HttpRequest& head) const;
  Refusal unknown(const HttpRequest& head, const std::string& method,
                  const std::string& allowed) const;
  std::optional<Refusal> foreign_page(const HttpRequest& head) const;
  std::optional<Refusal> set_client(HttpRequest& head, const Route& route) const;
  std::optional<Refusal> not_allowed(HttpRequest& head, const Route& route) const;
  HostRules rules_;
  Keys keys_;
  const Sessions* sessions_ = nullptr;  // null: there are none
  std::vector<Route> routes_;
  using Places = std::vector<std::size_t>;           // in routes_
  std::unordered_map<std::string, Places> by_path_;  // without a '*'
  Places with_star_;
};

}  // namespace choir::serve
