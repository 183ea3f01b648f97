#include "serve/own_models.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "choir/model_info.h"
#include "choir/text.h"
#include "serve/body_fields.h"
#include "serve/by_door.h"

namespace choir::serve {
namespace {

Json with_times(Json row, const ExecutorInfo& e) {
  Json leases = Json::array();
  for (const LeaseInfo& lease : e.leases)
    leases.push_back({{"tenant", lease.tenant},
                      {"seconds_left", std::isfinite(lease.seconds_left) ? Json(lease.seconds_left)
                                                                         : Json(nullptr)}});
  row["leases"] = std::move(leases);
  row["idle_seconds"] = e.idle_seconds;
  return row;
}

Json all_models(const Node& node) {
  Json rows = Json::array();
  for (const ExecutorInfo& executor : node.executors())
    rows.push_back(with_times(model_row(executor), executor));
  return {{"models", std::move(rows)}, {"node", node_row(node.info())}};
}

Result<Json> one_model(const Node& node, const std::string& name) {
  const ExecutorInfo executor = CHOIR_TRY(node.executor(name));
  return with_times(model_row(executor), executor);
}

// ---- sizes --------------------------------------------------------------------------------------

const std::vector<std::string>& size_fields() {
  static const auto& fields = *new std::vector<std::string>{
      "model", "sequences_max", "sequence_tokens_max", "context_tokens", "kv_type"};
  return fields;
}

// The config of `model` with the sizes that the body names. Where it names no context_tokens, each
// sequence can be as long as sequence_tokens_max, as after a resize.
Result<ExecutorConfig> sized(const Models& models, const Json& body) {
  const std::string model = CHOIR_TRY(needed_text_in(body, "model"));
  ExecutorConfig config = CHOIR_TRY(models.config_of(model));
  const auto sequences = CHOIR_TRY(whole_number_in(body, "sequences_max", 1));
  const auto tokens = CHOIR_TRY(whole_number_in(body, "sequence_tokens_max", 2));
  const auto cells = CHOIR_TRY(whole_number_in(body, "context_tokens", 2));
  if (const auto type = CHOIR_TRY(text_in(body, "kv_type")))
    config.kv_type = CHOIR_TRY(kv_type_named(*type));
  if (sequences) config.sequences_max = *sequences;
  if (tokens) config.sequence_tokens_max = *tokens;
  if (config.sequence_tokens_max == 0) config.sequence_tokens_max = config.context_tokens;
  const ModelInfo info = CHOIR_TRY(inspect_model(config.path));
  if (info.context_tokens_trained > 0)
    config.sequence_tokens_max = std::min(config.sequence_tokens_max, info.context_tokens_trained);
  const std::int64_t most =
      std::int64_t{config.sequences_max} * std::int64_t{config.sequence_tokens_max};
  if (most > std::numeric_limits<std::int32_t>::max())
    return fail(Code::kInvalidArgument, "'sequences_max' times 'sequence_tokens_max' is " +
                                            std::to_string(most) + ", at most 2147483647");
  if (cells)
    config.context_tokens = *cells;
  else if (sequences || tokens)
    config.context_tokens = static_cast<std::int32_t>(most);
  config.batch_tokens_max = std::max(config.batch_tokens_max, config.sequences_max);
  CHOIR_CHECK_OK(validate(config));
  return config;
}

Json bytes_row(const LoadEstimate& estimate) {
  const MemoryUse& need = estimate.need;
  return {{"weight_bytes", need.weights},
          {"kv_bytes", need.kv},
          {"compute_bytes", need.compute},
          {"need_bytes", need.weights + need.kv + need.compute},
          {"missing_bytes", estimate.missing},
          {"limit_bytes", estimate.limit},
          {"promised_bytes", estimate.promised},
          {"free_bytes", estimate.free},
          {"fits", estimate.fits},
          {"would_leave", estimate.leave}};
}

Result<Json> estimated(const Services& s, const HttpRequest& request) {
  const Json body = CHOIR_TRY(body_with(request, size_fields()));
  const ExecutorConfig config = CHOIR_TRY(sized(s.models, body));
  Json row = {{"model", config.name},
              {"sequences_max", config.sequences_max},
              {"sequence_tokens_max", config.sequence_tokens_max},
              {"context_tokens", config.context_tokens},
              {"kv_type", to_string(config.kv_type)}};
  row.update(bytes_row(CHOIR_TRY(s.node.estimate(config))));
  return row;
}

// ---- declaring and removing ---------------------------------------------------------------------

Result<Priority> priority_named(const std::string& name) {
  const auto found = std::ranges::find(kPriorityNames, name);
  if (found == kPriorityNames.end())
    return fail(Code::kInvalidArgument, "'priority' is '" + printable_line(name, 60) +
                                            "'; it takes critical, high, normal or low");
  return static_cast<Priority>(found - kPriorityNames.begin());
}

// What clients can write in a path.
Status check_name(const std::string& name) {
  const bool fits =
      !name.empty() && name.size() <= kNameBytesMax && std::ranges::none_of(name, [](char c) {
        return c == '/' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
      });
  if (fits && name != "." && name != "..") return {};
  return fail(Code::kInvalidArgument, "'name' is '" + printable_line(name, 60) +
                                          "'; it takes 1 to " + std::to_string(kNameBytesMax) +
                                          " bytes without '/' and control characters");
}

Result<Json> declared(const Services& s, const HttpRequest& request) {
  std::vector<std::string> fields = size_fields();
  fields.insert(fields.end(), {"name", "priority", "shares", "pinned"});
  const Json body = CHOIR_TRY(body_with(request, fields));
  ExecutorConfig config = CHOIR_TRY(sized(s.models, body));
  if (auto name = CHOIR_TRY(text_in(body, "name"))) config.name = *std::move(name);
  CHOIR_CHECK_OK(check_name(config.name));
  if (const auto priority = CHOIR_TRY(text_in(body, "priority")))
    config.priority = CHOIR_TRY(priority_named(*priority));
  if (const auto pinned = CHOIR_TRY(flag_in(body, "pinned"))) config.pinned = *pinned;
  if (body.contains("shares")) {
    if (!body["shares"].is_number())
      return fail(Code::kInvalidArgument, "'shares' takes a number above 0");
    config.shares = body["shares"].get<double>();
  }
  CHOIR_CHECK_OK(s.node.declare(config));
  return one_model(s.node, config.name);
}

// Its requests end as cancelled where the query says so; else it is refused while it has some.
Result<Json> removed(const Services& s, const HttpRequest& request) {
  const auto what = CHOIR_TRY(list_in_query(request.query, "requests"));
  if (what && *what != std::vector<std::string>{"cancel"})
    return fail(Code::kInvalidArgument, "'requests' takes 'cancel' alone");
  const std::string name = CHOIR_TRY(s.models.known(request.rest));
  const ExecutorInfo info = CHOIR_TRY(s.node.executor(name));
  if (info.active > 0 && !what)
    return fail(Code::kOverloaded, "'" + name + "' has " + std::to_string(info.active) +
                                       " requests; ?requests=cancel ends them with it");
  CHOIR_CHECK_OK(s.node.remove(name, Drain::kCancel));
  return Json{{"name", name}, {"removed", true}};
}

// ---- actions ------------------------------------------------------------------------------------

Status pin(Node& node, const std::string& name, bool pinned) {
  ExecutorConfig config = CHOIR_TRY(node.executor(name)).config;
  config.pinned = pinned;
  return node.update(config);
}

Status resize(Node& node, const std::string& name, const HttpRequest& request) {
  const Json body = CHOIR_TRY(body_with(request, {"sequences_max", "sequence_tokens_max"}));
  const ExecutorInfo info = CHOIR_TRY(node.executor(name));
  const auto sequences = CHOIR_TRY(whole_number_in(body, "sequences_max", 1));
  const auto tokens = CHOIR_TRY(whole_number_in(body, "sequence_tokens_max", 1));
  return node.resize(name, sequences.value_or(info.config.sequences_max),
                     tokens.value_or(info.config.sequence_tokens_max));
}

// Another executor of the same file and sizes. They share the weights.
Result<std::string> clone(Node& node, const std::string& name, const HttpRequest& request) {
  const Json body = CHOIR_TRY(body_with(request, {"name"}));
  ExecutorConfig config = CHOIR_TRY(node.executor(name)).config;
  config.name = CHOIR_TRY(needed_text_in(body, "name"));
  CHOIR_CHECK_OK(check_name(config.name));
  CHOIR_CHECK_OK(node.declare(config));
  return config.name;
}

using Act = Status (*)(Node& node, const std::string& name);

struct Action {
  std::string_view name;
  Act act;
};
constexpr Action kActions[] = {
    {"load", [](Node& node, const std::string& name) { return node.load(name); }},
    {"unload", [](Node& node, const std::string& name) { return node.unload(name); }},
    {"suspend", [](Node& node, const std::string& name) { return node.suspend(name); }},
    {"resume", [](Node& node, const std::string& name) { return node.resume(name); }},
    {"pin", [](Node& node, const std::string& name) { return pin(node, name, true); }},
    {"unpin", [](Node& node, const std::string& name) { return pin(node, name, false); }},
};

Result<Json> changed(const Services& s, const HttpRequest& request) {
  const std::size_t slash = request.rest.rfind('/');
  if (slash == std::string::npos || slash == 0)
    return fail(Code::kNotFound, "the path is /choir/v1/models/NAME/ACTION");
  const std::string name = CHOIR_TRY(s.models.find(request.rest.substr(0, slash)));
  const std::string word = request.rest.substr(slash + 1);
  if (word == "clone") return one_model(s.node, CHOIR_TRY(clone(s.node, name, request)));
  const auto* const action = std::ranges::find(kActions, word, &Action::name);
  if (word == "resize") {
    CHOIR_CHECK_OK(resize(s.node, name, request));
  } else if (action != std::end(kActions)) {
    CHOIR_TRY(body_with(request, {}));
    CHOIR_CHECK_OK(action->act(s.node, name));
  } else {
    return fail(Code::kNotFound, "there is no action '" + printable_line(word, 60) +
                                     "'; there are load, unload, suspend, resume, pin, unpin, "
                                     "resize and clone");
  }
  return one_model(s.node, name);
}

}  // namespace

Json model_row(const ExecutorInfo& e) {
  return {{"name", e.config.name},
          {"path", e.config.path},
          {"state", e.loaded ? (e.suspended ? "suspended" : "loaded") : "unloaded"},
          {"priority", to_string(e.config.priority)},
          {"shares", e.config.shares},
          {"pinned", e.config.pinned},
          {"sequences_max", e.config.sequences_max},
          {"sequence_tokens_max", e.config.sequence_tokens_max},
          {"context_tokens", e.config.context_tokens},
          {"kv_type", to_string(e.config.kv_type)},
          {"running", e.running},
          {"waiting", e.waiting},
          {"cells", e.cells},
          {"cached_cells", e.cached_cells},
          {"weight_bytes", e.memory.weights},
          {"kv_bytes", e.memory.kv},
          {"compute_bytes", e.memory.compute},
          {"prompt_tokens", e.prompt_tokens},
          {"output_tokens", e.output_tokens},
          {"reused_tokens", e.reused_tokens},
          {"requests_done", e.requests_done},
          {"requests_failed", e.requests_failed},
          {"preemptions", e.preemptions},
          {"load_seconds", e.load_seconds},
          {"compute_seconds", e.compute_seconds},
          {"threads", e.threads}};
}

Json node_row(const NodeInfo& node) {
  return {{"cores", node.cores},
          {"lanes", node.lanes},
          {"memory_bytes_max", node.memory_bytes_max},
          {"memory_bytes_promised", node.memory_bytes_promised},
          {"requests_active", node.requests_active},
          {"draining", node.door_closed}};
}

void add_model_routes(Router& router, const Services& s) {
  router.add({.method = "GET",
              .path = "/choir/v1/models",
              .handler = by_door(s.doors, [&s](const HttpRequest&) -> Result<Json> {
                return all_models(s.node);
              })});
  router.add(
      {.method = "POST",
       .path = "/choir/v1/models",
       .scopes = kAdmin,
       .handler = by_slow_door(s.doors, [&s](const HttpRequest& r) { return declared(s, r); })});
  router.add({.method = "GET",
              .path = "/choir/v1/models/*",
              .handler = by_door(
                  s.doors, [&s](const HttpRequest& r) { return one_model(s.node, r.rest); })});
  router.add(
      {.method = "POST",
       .path = "/choir/v1/models/*",
       .scopes = kAdmin,
       .handler = by_slow_door(s.doors, [&s](const HttpRequest& r) { return changed(s, r); })});
  router.add(
      {.method = "DELETE",
       .path = "/choir/v1/models/*",
       .scopes = kAdmin,
       .handler = by_slow_door(s.doors, [&s](const HttpRequest& r) { return removed(s, r); })});
  router.add(
      {.method = "POST",
       .path = "/choir/v1/estimate",
       .handler = by_slow_door(s.doors, [&s](const HttpRequest& r) { return estimated(s, r); })});
}

}  // namespace choir::serve
