#include "serve/services.h"

#include <utility>

#include "base/caught.h"
#include "serve/field_values.h"
#include "serve/query.h"
#include "serve/request_headers.h"

namespace choir::serve {

std::function<void()> hold_of(const Services& services, const std::string& model,
                              const std::string& tenant,
                              std::optional<std::chrono::milliseconds> keep_alive) {
  if (!keep_alive) return [] {};
  const auto hold = [&node = services.node, all = services.models.replicas().of(model), tenant,
                     time = *keep_alive] {
    for (const std::string& executor : all) static_cast<void>(node.hold(executor, tenant, time));
  };
  if (keep_alive->count() > 0) hold();
  return hold;
}

namespace {

// One after another, so that other work of this door comes between two, and an end of the daemon
// waits for one at most. Nothing of Services, which ends before the doors.
void read_next(const Node& node, Models& models, Doors& doors,
               std::vector<FolderHeads::File> files) {
  if (files.empty()) return;
  const auto give_up = [&] { models.leave_heads(files); };
  if (node.info().door_closed) return give_up();
  const Status posted = doors.post_to(Door::kHeads, [&node, &models, &doors, files] {
    static_cast<void>(caught([&] { models.read_heads({files.back()}); }));
    read_next(node, models, doors, {files.begin(), files.end() - 1});
  });
  if (!posted) give_up();
}

}  // namespace

void read_heads_of(const Services& services, std::vector<FolderHeads::File> files) {
  read_next(services.node, services.models, services.doors, std::move(files));
}

ApiResult<Asked> read_body(const Services& services, Routes route, HttpRequest& request) {
  const Result<Json> body = parse_json(std::exchange(request.body, {}));
  if (!body) return tl::unexpected(api_error(body.error()));
  auto asked = read_fields(route, *body);
  if (asked) services.metrics.on_ignored_fields(asked->ignored.size());
  return asked;
}

namespace {

std::optional<ApiError> set_deadline(Asked& asked, const HttpRequest& request) {
  const std::string name(kDeadlineHeader.name);
  const std::string_view text = request.header(name);
  if (text.empty()) return std::nullopt;
  const Bounds bounds{static_cast<std::int64_t>(kDeadlineHeader.rule.least),
                      static_cast<std::int64_t>(kDeadlineHeader.rule.most)};
  const auto milliseconds = whole_number(text, bounds);
  if (!milliseconds) {
    ApiError error = field_error(name, takes_whole_number(text, bounds));
    error.pointer.clear();  // it is no field of the body
    return error;
  }
  const std::chrono::milliseconds deadline(*milliseconds);
  if (asked.request.deadline.count() == 0) asked.request.deadline = deadline;
  asked.embed.deadline = deadline;
  return std::nullopt;
}

// The same of the header that takes the place of the field.
ApiError of_header(ApiError error) {
  const std::string field = "'" + error.param + "'";
  error.param = kPriorityHeader.name;
  error.pointer.clear();  // it is no field of the body
  if (error.message.starts_with(field))
    error.message.replace(0, field.size(), "'" + error.param + "'");
  return error;
}

std::optional<ApiError> set_class(Asked& asked, const HttpRequest& request) {
  const std::string_view header = request.header(kPriorityHeader.name);
  if (!header.empty())
    if (auto error = set_priority(asked, Json(header))) return of_header(std::move(*error));
  const Client& client = request.client;
  if (!asked.request.priority) {
    // The executor's class, unless that is above the client's.
    if (client.best > Priority::kNormal)
      asked.request.priority = asked.embed.priority = client.best;
    return std::nullopt;
  }
  if (*asked.request.priority >= client.best) return std::nullopt;
  ApiError error =
      field_error(asked.class_field, "is " + std::string(to_string(*asked.request.priority)) +
                                         "; the key '" + client.key + "' may ask for " +
                                         std::string(to_string(client.best)) + " at most");
  error.status = 403;
  error.type = "permission_error";
  return header.empty() ? error : of_header(std::move(error));
}

}  // namespace

std::optional<ApiError> read_headers(Asked& asked, const HttpRequest& request) {
  if (auto error = set_deadline(asked, request)) return error;
  return set_class(asked, request);
}

}  // namespace choir::serve
