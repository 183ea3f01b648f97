#include "serve/services.h"

#include <utility>

#include "serve/field_values.h"

namespace choir::serve {

std::function<void()> hold_of(Node& node, const std::string& executor, const std::string& tenant,
                              std::optional<std::chrono::milliseconds> keep_alive) {
  if (!keep_alive) return [] {};
  const auto hold = [&node, executor, tenant, time = *keep_alive] {
    static_cast<void>(node.hold(executor, tenant, time));
  };
  if (keep_alive->count() > 0) hold();
  return hold;
}

ApiResult<Asked> read_body(const Services& services, Routes route, HttpRequest& request) {
  const Result<Json> body = parse_json(std::exchange(request.body, {}));
  if (!body) return tl::unexpected(api_error(body.error()));
  auto asked = read_fields(route, *body);
  if (asked) services.metrics.on_ignored_fields(asked->ignored.size());
  return asked;
}

std::optional<ApiError> set_class(Asked& asked, const HttpRequest& request) {
  if (const std::string_view name = request.header("x-priority"); !name.empty()) {
    if (auto error = set_priority(asked, Json(name))) {
      error->param = "x-priority";
      return error;
    }
  }
  const Client& client = request.client;
  if (!asked.request.priority) {
    // The executor's class, unless that is above the client's.
    if (client.best > Priority::kNormal)
      asked.request.priority = asked.embed.priority = client.best;
    return std::nullopt;
  }
  if (*asked.request.priority >= client.best) return std::nullopt;
  ApiError error = field_error("priority", "is " + std::string(to_string(*asked.request.priority)) +
                                               "; the key '" + client.key + "' may ask for " +
                                               std::string(to_string(client.best)) + " at most");
  error.status = 403;
  error.type = "permission_error";
  return error;
}

}  // namespace choir::serve
