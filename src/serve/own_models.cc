#include "serve/own_models.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "choir/model_info.h"
#include "choir/priority_named.h"
#include "choir/text.h"
#include "serve/about_field.h"
#include "serve/by_door.h"
#include "serve/by_model.h"
#include "serve/model_config.h"
#include "serve/model_rows.h"
#include "serve/own_shapes.h"
#include "serve/query.h"
#include "serve/replica_changes.h"
#include "serve/shaped_body.h"

namespace choir::serve {
namespace {

Json full_row(const Services& s, const ExecutorInfo& e) {
  Json row = model_row(e);
  Json leases = Json::array();
  for (const LeaseInfo& lease : e.leases)
    leases.push_back({{"tenant", lease.tenant},
                      {"seconds_left", std::isfinite(lease.seconds_left) ? Json(lease.seconds_left)
                                                                         : Json(nullptr)}});
  row["leases"] = std::move(leases);
  row["idle_seconds"] = e.idle_seconds;
  row["not_covered"] = e.model.not_covered;
  add_replicas(s.models.replicas(), row);
  return row;
}

Json all_models(const Services& s) {
  Json rows = Json::array();
  for (const ExecutorInfo& executor : s.node.executors()) rows.push_back(full_row(s, executor));
  return {{"models", std::move(rows)}, {"node", node_row(s.node.info())}};
}

Result<Json> one_model(const Services& s, const std::string& name) {
  return full_row(s, CHOIR_TRY(s.node.executor(name)));
}

// ---- sizes --------------------------------------------------------------------------------------

// The config of `model` with the sizes that the body names. Where it names no context_tokens, each
// sequence can be as long as sequence_tokens_max, as after a resize.
struct Sized {
  ExecutorConfig config;
  ModelInfo info;  // of its file
};

// Asked for by name, it is not lowered without a word. `trained` 0: not known.
Status check_trained(std::int32_t tokens, std::int32_t trained) {
  if (trained == 0 || tokens <= trained) return {};
  return fail(Code::kInvalidArgument, "'sequence_tokens_max' is " + std::to_string(tokens) +
                                          "; the model was trained for " + std::to_string(trained) +
                                          " tokens");
}

Result<KvType> kv_type_in(const std::string& name) {
  const auto type = kv_type_named(name);
  if (!type) return tl::unexpected(Error(type.error()).in("'kv_type'"));
  return *type;
}

Result<Sized> sized_in(const Models& models, const Json& body) {
  ExecutorConfig config = CHOIR_TRY(models.config_of(body.value("model", "")));
  const bool sized = body.contains("sequences_max") || body.contains("sequence_tokens_max");
  if (body.contains("kv_type"))
    config.kv_type = CHOIR_TRY(kv_type_in(body["kv_type"].get<std::string>()));
  config.sequences_max = body.value("sequences_max", config.sequences_max);
  config.sequence_tokens_max = body.value("sequence_tokens_max", config.sequence_tokens_max);
  if (config.sequence_tokens_max == 0) config.sequence_tokens_max = config.context_tokens;
  ModelInfo info = CHOIR_TRY(inspect_model(config.path));
  if (body.contains("sequence_tokens_max"))
    CHOIR_CHECK_OK(check_trained(config.sequence_tokens_max, info.context_tokens_trained));
  if (info.context_tokens_trained > 0)
    config.sequence_tokens_max = std::min(config.sequence_tokens_max, info.context_tokens_trained);
  const std::int64_t most =
      std::int64_t{config.sequences_max} * std::int64_t{config.sequence_tokens_max};
  if (most > std::numeric_limits<std::int32_t>::max())
    return fail(Code::kInvalidArgument, "'sequences_max' times 'sequence_tokens_max' is " +
                                            std::to_string(most) + ", at most 2147483647");
  if (body.contains("context_tokens"))
    body["context_tokens"].get_to(config.context_tokens);
  else if (sized)
    config.context_tokens = static_cast<std::int32_t>(most);
  config.batch_tokens_max = std::max(config.batch_tokens_max, config.sequences_max);
  CHOIR_CHECK_OK(validate(config));
  return Sized{std::move(config), std::move(info)};
}

Json bytes_row(const LoadEstimate& estimate) {
  const MemoryUse& need = estimate.need;
  const std::uint64_t room =
      estimate.limit > estimate.promised ? estimate.limit - estimate.promised : 0;
  return {{"weight_bytes", need.weights},
          {"kv_bytes", need.kv},
          {"compute_bytes", need.compute},
          {"need_bytes", need.weights + need.kv + need.compute},
          {"missing_bytes", estimate.missing},
          {"limit_bytes", estimate.limit},
          {"promised_bytes", estimate.promised},
          {"free_bytes", std::min(estimate.free, room)},
          {"fits", estimate.fits},
          {"would_leave", estimate.leave},
          {"refusal", estimate.refusal}};
}

Result<Json> estimated(const Services& s, const Json& body) {
  const auto [config, info] = CHOIR_TRY(sized_in(s.models, body));
  Json row = {{"model", config.name},
              {"sequences_max", config.sequences_max},
              {"sequence_tokens_max", config.sequence_tokens_max},
              {"context_tokens", config.context_tokens},
              {"kv_type", to_string(config.kv_type)}};
  row.update(bytes_row(CHOIR_TRY(s.node.estimate(config))));
  row["capabilities"] = capabilities_of(info);
  return row;
}

// ---- declaring and removing ---------------------------------------------------------------------

Result<Priority> priority_in(const std::string& name) {
  const auto priority = priority_named(name);
  if (!priority)
    return fail(Code::kInvalidArgument, "'priority' is '" + printable_line(name, 60) +
                                            "'; it takes critical, high, normal or low");
  return *priority;
}

Status check_name(const std::string& name) {
  if (const auto wrong = wrong_name(name)) return fail(Code::kInvalidArgument, "'name' " + *wrong);
  return {};
}

Result<Json> declared(const Services& s, const Json& body) {
  auto [config, info] = CHOIR_TRY(sized_in(s.models, body));
  config.name = body.value("name", config.name);
  CHOIR_CHECK_OK(check_name(config.name));
  if (body.contains("priority"))
    config.priority = CHOIR_TRY(priority_in(body["priority"].get<std::string>()));
  config.pinned = body.value("pinned", config.pinned);
  config.shares = body.value("shares", config.shares);
  CHOIR_CHECK_OK(s.models.declare(config, info));
  return one_model(s, config.name);
}

// Its requests end as cancelled where the query says so; else it is refused while it has some.
Result<Json> removed(const Services& s, const std::string& name, const HttpRequest& request) {
  const auto what = CHOIR_TRY(list_in_query(request.query, "requests"));
  if (what && *what != std::vector<std::string>{"cancel"})
    return fail(Code::kInvalidArgument, "'requests' takes 'cancel' alone");
  CHOIR_CHECK_OK(remove_all(s, name, what ? Requests::kCancel : Requests::kRefuse));
  return Json{{"name", name}, {"removed", true}};
}

// ---- actions ------------------------------------------------------------------------------------

using Shown = Result<std::string>;  // the executor that the answer shows

Shown shown(const std::string& name, const Status& done) {
  CHOIR_CHECK_OK(done);
  return name;
}

// With all of its replicas.
Shown each(const Services& s, const std::string& name,
           const std::function<Status(const std::string& executor)>& change) {
  return shown(name, for_each_replica(s, name, change));
}

Shown pin(const Services& s, const std::string& name, bool pinned) {
  return each(s, name, [&](const std::string& executor) -> Status {
    ExecutorConfig config = CHOIR_TRY(s.node.executor(executor)).config;
    config.pinned = pinned;
    return s.node.update(config);
  });
}

Shown resize(const Services& s, const std::string& name, const Json& body) {
  const ExecutorConfig config = CHOIR_TRY(s.node.executor(name)).config;
  if (body.contains("sequence_tokens_max"))
    CHOIR_CHECK_OK(check_trained(body["sequence_tokens_max"].get<std::int32_t>(),
                                 CHOIR_TRY(inspect_model(config.path)).context_tokens_trained));
  return each(s, name, [&](const std::string& executor) {
    return s.node.resize(executor, body.value("sequences_max", config.sequences_max),
                         body.value("sequence_tokens_max", config.sequence_tokens_max));
  });
}

Shown update(const Services& s, const std::string& name, const Json& body) {
  return each(s, name, [&](const std::string& executor) -> Status {
    ExecutorConfig config = CHOIR_TRY(s.node.executor(executor)).config;
    if (body.contains("priority"))
      config.priority = CHOIR_TRY(priority_in(body["priority"].get<std::string>()));
    config.shares = body.value("shares", config.shares);
    return s.node.update(config);
  });
}

// Another executor of the same file and sizes. They share the weights.
Shown clone(const Services& s, const std::string& name, const Json& body) {
  ExecutorConfig config = CHOIR_TRY(s.node.executor(name)).config;
  config.name = body.value("name", "");
  CHOIR_CHECK_OK(check_name(config.name));
  CHOIR_CHECK_OK(s.models.declare_copy(config, name));
  return config.name;
}

// What POST /choir/v1/models/NAME/ACTION does.
struct Action {
  std::string_view name;
  std::string_view summary;
  Shown (*act)(const Services& s, const std::string& model, const Json& body);
  Door door;  // behind which it is done
  std::span<const BodyField> fields = {};
  ModelRoute::Needs needs = ModelRoute::Needs::kDeclared;
};

constexpr auto kActions = std::to_array<Action>({
    {"load",
     "Loads a model now",
     [](const Services&, const std::string& name, const Json&) { return Shown(name); },
     Door::kQuick,
     {},
     ModelRoute::Needs::kLoaded},
    {"unload", "Gives a model's memory back; its next request loads it again",
     [](const Services& s, const std::string& name, const Json&) {
       return shown(name, unload_all(s, name));
     },
     Door::kMemory},
    {"suspend", "Lets the requests of a model wait",
     [](const Services& s, const std::string& name, const Json&) {
       return each(s, name, [&](const std::string& e) { return s.node.suspend(e); });
     },
     Door::kSettings},
    {"resume", "Lets the requests of a suspended model go on",
     [](const Services& s, const std::string& name, const Json&) {
       return each(s, name, [&](const std::string& e) { return s.node.resume(e); });
     },
     Door::kSettings},
    {"pin", "Keeps a model in memory once it is loaded",
     [](const Services& s, const std::string& name, const Json&) { return pin(s, name, true); },
     Door::kSettings},
    {"unpin", "Lets a model leave memory when that is needed",
     [](const Services& s, const std::string& name, const Json&) { return pin(s, name, false); },
     Door::kSettings},
    {"resize", "Changes how many generations a model runs at once, and how long they may be",
     resize, Door::kMemory, kResizeFields},
    {"update", "Changes a model's class and shares, also while it computes", update,
     Door::kSettings, kUpdateFields},
    {"clone", "Declares another executor of the same file and sizes, which shares the weights",
     clone, Door::kFiles, kCloneFields},
    {"replicas",
     "Changes how many executors share a model's requests and weights; those that go must be idle",
     [](const Services& s, const std::string& name, const Json& body) {
       return shown(name, set_replicas(s, name, body["count"].get<std::int32_t>()));
     },
     Door::kMemory, kReplicasFields},
});

Result<Json> changed(const Services& s, const Action& action, const std::string& name,
                     const Json& body) {
  return one_model(s, CHOIR_TRY(action.act(s, name, body)));
}

// ---- routes -------------------------------------------------------------------------------------

// Of the model that the path names; `error`: what an error of the answer is over HTTP.
ModelRoute of_path(const BodyShape& shape, ModelResult answer, ErrorForm error = state_error) {
  return {
      .read = [shape](const HttpRequest& r, auto&) { return read_shaped_body(shape, r.body); },
      .name = [](const HttpRequest& r, const Json&) -> ApiResult<std::string> { return r.rest; },
      .named_in = ModelRoute::NamedIn::kHead,
      .answer = [shape, error, answer = std::move(answer)](const std::string& model,
                                                           const HttpRequest& r,
                                                           const Json& body) -> ApiResult<Json> {
        auto json = answer(model, r, body);
        if (json) return std::move(*json);
        return tl::unexpected(about_body(error(json.error()), shape.fields));
      },
      .error = error};
}

// Of the file of the model that the body names, which may take seconds to look at.
ModelRoute of_body(const BodyShape& shape, ModelResult answer) {
  ModelRoute route = of_path(shape, std::move(answer), api_error);
  route.name = [](const HttpRequest&, const Json& body) -> ApiResult<std::string> {
    return body.value("model", "");
  };
  route.named_in = ModelRoute::NamedIn::kBody;
  route.needs = ModelRoute::Needs::kName;
  route.door = Door::kFiles;
  return route;
}

Handler by_action(const Services& s, const Action& action) {
  ModelRoute route =
      of_path({.fields = action.fields},
              [&s, &action](const std::string& model, const HttpRequest&, const Json& body) {
                return changed(s, action, model, body);
              });
  route.needs = action.needs;
  route.door = action.door;
  return by_model(s, std::move(route));
}

Handler by_removal(const Services& s) {
  ModelRoute route = of_path({}, {});
  route.answer = [&s](const std::string& model, const HttpRequest& r,
                      const Json&) -> ApiResult<Json> {
    auto json = removed(s, model, r);
    if (json) return std::move(*json);
    return tl::unexpected(about_query(state_error(json.error()), kRemoveQuery));
  };
  route.read = [](const HttpRequest&, auto&) -> ApiResult<Json> { return Json::object(); };
  route.needs = ModelRoute::Needs::kServed;
  route.door = Door::kMemory;
  return by_model(s, std::move(route));
}

}  // namespace

void add_model_routes(Router& router, const Services& s) {
  router.add(
      {.method = "GET",
       .path = "/choir/v1/models",
       .summary = "Shows each model's state, sizes, memory, leases and counts, and the node",
       .reply = {"NodeModels"},
       .handler = shared_by_door(s.doors, [&s]() -> Result<Json> { return all_models(s); })});
  router.add({.method = "POST",
              .path = "/choir/v1/models",
              .summary = "Declares an executor of a model",
              .scopes = kAdmin,
              .body = kDeclare,
              .reply = {"NodeModel"},
              .handler = by_model(
                  s, of_body(kDeclare, [&s](const std::string&, const HttpRequest&,
                                            const Json& body) { return declared(s, body); }))});
  router.add(
      {.method = "GET",
       .path = "/choir/v1/models/*",
       .summary = "Shows one model",
       .reply = {"NodeModel"},
       .handler = by_shown_model(
           s, [](const HttpRequest& r) { return r.rest; },
           [&s](const std::string& model, const HttpRequest&) { return one_model(s, model); })});
  for (const Action& action : kActions) {
    CHOIR_CHECK(std::ranges::find(kModelActions, action.name) != kModelActions.end(),
                "no name may end in it");
    const BodyShape body{.fields = action.fields};
    router.add({.method = "POST",
                .path = "/choir/v1/models/*/" + std::string(action.name),
                .summary = action.summary,
                .scopes = kAdmin,
                .body = body,
                .reply = {"NodeModel"},
                .handler = by_action(s, action)});
  }
  router.add({.method = "DELETE",
              .path = "/choir/v1/models/*",
              .summary = "Removes an executor",
              .scopes = kAdmin,
              .query = kRemoveQuery,
              .reply = {"Removed"},
              .handler = by_removal(s)});
  router.add({.method = "POST",
              .path = "/choir/v1/estimate",
              .summary = "Tells what a load or other sizes would take, and who would leave for it",
              .body = kEstimate,
              .reply = {"Estimate"},
              .handler = by_model(
                  s, of_body(kEstimate, [&s](const std::string&, const HttpRequest&,
                                             const Json& body) { return estimated(s, body); }))});
}

}  // namespace choir::serve
