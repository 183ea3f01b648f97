#include "serve/llama_routes.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/change_count.h"
#include "base/guarded.h"
#include "choir/machine.h"
#include "choir/model_text.h"
#include "serve/about_field.h"
#include "serve/by_door.h"
#include "serve/by_model.h"
#include "serve/field_values.h"
#include "serve/fields.h"
#include "serve/llama_shapes.h"
#include "serve/llama_values.h"
#include "serve/load_wait.h"
#include "serve/model_defaults.h"
#include "serve/query.h"
#include "serve/replica_changes.h"
#include "serve/shaped_body.h"

namespace choir::serve {
namespace {

constexpr std::size_t kToolsMax = 128;
constexpr std::size_t kToolsBytesMax = 512U << 10U;

// ---- bodies -------------------------------------------------------------------------------------

// Of a route with the fields of chats, which reads them itself, the object as it came.
ApiResult<Json> body_in(const HttpRequest& request, const BodyShape& shape,
                        std::vector<std::string>& ignored) {
  if (shape.table == 0) return read_shaped_body(shape, request.body, &ignored);
  Json body = CHOIR_TRY(in_api(parse_json(request.body)));
  if (!body.is_object())
    return tl::unexpected(api_error({Code::kInvalidArgument, "the body is no JSON object"}));
  ignored = CHOIR_TRY(read_fields(shape.table, body)).ignored;
  return body;
}

ApiResult<std::string> model_in(const Json& body) {
  const Json model = body.value("model", Json(nullptr));
  if (model.is_null()) return "";
  if (!model.is_string()) return tl::unexpected(field_error("model", "takes a text"));
  return model.get<std::string>();
}

// ---- answers of one model -----------------------------------------------------------------------

using ModelAnswer =
    std::function<ApiResult<Json>(const Services&, const std::string& executor, const Json& body)>;

// Of a model in memory; one that is not is loaded first.
Handler by_loaded_model(const Services& s, const BodyShape& shape, const ModelAnswer& answer) {
  return by_model(
      s,
      {.read = [shape](const HttpRequest& r, auto& ignored) { return body_in(r, shape, ignored); },
       .name = [](const HttpRequest&, const Json& body) { return model_in(body); },
       .needs = ModelRoute::Needs::kLoaded,
       .in_passing = true,
       .answer = [&s, answer](const std::string& executor, const HttpRequest&,
                              const Json& body) { return answer(s, executor, body); }});
}

ApiResult<Json> tokenized(const Services& s, const std::string& executor, const Json& body) {
  const auto tokens =
      CHOIR_TRY(in_api(tokenize(s.node, executor, body["content"].get_ref<const std::string&>(),
                                {.add_special = body.value("add_special", false),
                                 .parse_special = body.value("parse_special", true)})));
  if (!body.value("with_pieces", false)) return Json{{"tokens", tokens}};
  const auto texts = CHOIR_TRY(in_api(token_texts(s.node, executor, tokens)));
  return Json{{"tokens", pieces_json(tokens, texts)}};
}

ApiResult<Json> detokenized(const Services& s, const std::string& executor, const Json& body) {
  const auto texts = token_texts(s.node, executor, body["tokens"].get<std::vector<TokenId>>());
  if (!texts) return tl::unexpected(about_prompt(texts.error(), "tokens"));
  std::string content;
  for (const std::string& text : *texts) content += text;
  return Json{{"content", std::move(content)}};
}

// Messages alone are rendered as for POST /v1/chat/completions.
ApiResult<Json> templated(const Services& s, const std::string& executor, const Json& body) {
  Asked asked;
  if (auto error = set_messages(asked, body["messages"])) return tl::unexpected(std::move(*error));
  if (body.value("continue_final_message", false))
    return tl::unexpected(
        field_error("continue_final_message", "is not possible: an answer is not continued yet"));
  fill_in(s.models.defaults_of(executor), {}, asked);
  if (auto error = check_content(asked)) return tl::unexpected(std::move(*error));
  ChatPrompt prompt;
  prompt.messages = std::move(asked.request.messages);
  prompt.open_answer = body.value("add_generation_prompt", true);
  const Json tools = body.value("tools", Json::array());
  if (tools.size() > kToolsMax)
    return tl::unexpected(field_error(
        "tools", "has " + std::to_string(tools.size()) + " tools, at most 128 are allowed"));
  if (!tools.empty()) prompt.tools_json = to_text(tools);
  if (prompt.tools_json.size() > kToolsBytesMax)
    return tl::unexpected(field_error("tools", "has more than 512 KiB"));
  std::string text = CHOIR_TRY(in_api(chat_prompt(s.node, executor, prompt)));
  return Json{{"prompt", std::move(text)}};
}

// What POST /v1/chat/completions would compute as the prompt; the same fields.
ApiResult<Json> counted(const Services& s, const std::string& executor, const Json& body) {
  Asked asked = CHOIR_TRY(read_fields(kChat, body));
  if (asked.request.messages.empty()) return tl::unexpected(field_error("messages", "is missing"));
  fill_in(s.models.defaults_of(executor), {}, asked);
  if (auto error = check_content(asked)) return tl::unexpected(std::move(*error));
  asked.request.executor = executor;
  asked.request.default_template = true;
  const auto count = [](std::int64_t tokens) {
    return Json{{"object", "response.input_tokens"}, {"input_tokens", tokens}};
  };
  const auto prepared = s.node.prepare(std::move(asked.request));
  if (prepared) return count(prepared->prompt_tokens());
  if (prepared.error().code == Code::kTooLong)
    for (const Fact& fact : prepared.error().facts)
      if (std::string_view(fact.name) == "n_prompt_tokens") return count(fact.value);
  return tl::unexpected(api_error(prepared.error()));
}

// ---- looking at models --------------------------------------------------------------------------

std::string build_text() {
  const Version all = version();
  return "choir " + all.choir + ", " + all.engine;
}

// "?model=NAME", which may be left out where there is only one model.
std::string model_in_query(const HttpRequest& request) {
  return query_value(request.query, "model");
}

Result<std::vector<ExecutorInfo>> executors_of(const Services& s, const std::string& name) {
  std::vector<ExecutorInfo> executors = {CHOIR_TRY(s.node.executor(name))};
  for (const std::string& replica : s.models.replicas().of(name))
    if (auto other = s.node.executor(replica); other && replica != name)
      executors.push_back(std::move(*other));
  return executors;
}

// Of one that is in memory where there is such, with the name of the model and the slots of all.
Result<Json> props(const Services& s, const std::string& model, const HttpRequest& request) {
  const std::vector<ExecutorInfo> all = CHOIR_TRY(executors_of(s, model));
  const auto ready = std::ranges::find_if(all, &ExecutorInfo::loaded);
  const ExecutorInfo& seen = ready == all.end() ? all.front() : *ready;
  ExecutorInfo executor = seen;
  executor.config.name = all.front().config.name;
  executor.config.sequences_max = 0;
  for (const ExecutorInfo& one : all) executor.config.sequences_max += one.config.sequences_max;
  static const std::string& build = *new std::string(build_text());
  // Empty also where it has just left.
  const auto marks = text_marks(s.node, seen.config.name);
  Asked defaults;
  fill_in(s.models.defaults_of(executor.config.name), request.client, defaults);
  return props_json(executor, defaults, marks ? *marks : TextMarks{}, build);
}

constexpr std::size_t kFlagBytesMax = 16;  // of the value of fail_on_no_slot

Result<Json> slots(const Services& s, const std::string& model, const HttpRequest& request) {
  const std::vector<ExecutorInfo> executors = CHOIR_TRY(executors_of(s, model));
  Json rows = slots_json(executors, s.node.requests());
  const bool full =
      std::ranges::all_of(rows, [](const Json& slot) { return slot["is_processing"].get<bool>(); });
  const std::string fail_when_full = query_value(request.query, "fail_on_no_slot");
  if (fail_when_full.size() > kFlagBytesMax)
    return fail(Code::kInvalidArgument, "'fail_on_no_slot' has " +
                                            std::to_string(fail_when_full.size()) +
                                            " bytes, at most " + std::to_string(kFlagBytesMax));
  if (full && !fail_when_full.empty())
    return fail(Code::kUnavailable,
                "all slots of '" + executors.front().config.name + "' are in use");
  return rows;
}

// ---- loads --------------------------------------------------------------------------------------

// The loads that were asked for by POST /models/load, for GET /models to show which have failed.
class AskedLoads {
 public:
  void add(const std::string& model, LoadTicket ticket) {
    tickets_.with([&](Tickets& t) {
      t.insert_or_assign(model, std::move(ticket));
      changes_.count();
    });
  }
  // Of which tickets there are; what one says is a change of the node.
  std::uint64_t changes() const { return changes_.counted(); }
  // Whether one was under way, which is then given up if nobody else wants it.
  bool cancel(const std::string& model) {
    return tickets_.with([&](Tickets& t) {
      const auto found = t.find(model);
      if (found == t.end()) return false;
      const bool runs = is_open(found->second.state());
      found->second.cancel();
      t.erase(found);
      changes_.count();
      return runs;
    });
  }
  // Completes the status of a model's row.
  void tell(Json& row) const {
    const auto state = tickets_.with([&](const Tickets& t) -> std::optional<LoadState> {
      const auto found = t.find(row["id"].get<std::string>());
      if (found == t.end()) return std::nullopt;
      return found->second.state();
    });
    if (!state || row["status"]["value"] != "unloaded") return;
    if (state->phase != LoadState::Phase::kFailed) return;
    row["status"]["failed"] = true;
    if (state->error) row["status"]["message"] = without_folders(state->error->message);
  }

 private:
  using Tickets = std::map<std::string, LoadTicket>;
  Guarded<Tickets> tickets_;
  ChangeCount changes_;
};

Result<KeptJson> listed(const Services& s, const AskedLoads& loads) {
  auto all = s.models.list();
  read_heads_of(s, std::move(all.unread));
  for (Json& row : all.json["data"]) loads.tell(row);
  return KeptJson{std::move(all.json), all.watched};
}

// Answers when the load has begun.
Result<Json> load(const Services& s, const std::string& model, AskedLoads& loads) {
  bool begun = false;
  CHOIR_CHECK_OK(for_each_replica(s, model, [&](const std::string& executor) -> Status {
    if (CHOIR_TRY(s.node.executor(executor)).loaded) return {};
    loads.add(executor, CHOIR_TRY(s.node.begin_load(executor)));
    begun = true;
    return {};
  }));
  if (!begun) return fail(Code::kInvalidArgument, "model '" + model + "' is loaded already");
  return Json{{"success", true}};
}

// Answers when its memory is free.
Result<Json> unload(const Services& s, const std::string& model, AskedLoads& loads) {
  bool was_loading = false;
  bool is_loaded = false;
  CHOIR_CHECK_OK(for_each_replica(s, model, [&](const std::string& executor) -> Status {
    was_loading = loads.cancel(executor) || was_loading;
    is_loaded = CHOIR_TRY(s.node.executor(executor)).loaded || is_loaded;
    return {};
  }));
  if (is_loaded)
    CHOIR_CHECK_OK(unload_all(s, model));
  else if (!was_loading)
    return fail(Code::kInvalidArgument, "model '" + model + "' is not loaded");
  return Json{{"success", true}};
}

void add_texts(Router& router, const Services& s) {
  const auto add = [&](const char* path, std::string_view summary, const BodyShape& shape,
                       std::string_view reply, const ModelAnswer& answer) {
    router.add({.method = "POST",
                .path = path,
                .summary = summary,
                .scopes = kInfer,
                .body_bytes_max = kInferenceBodyMax,
                .body = shape,
                .reply = {reply},
                .handler = by_loaded_model(s, shape, answer)});
  };
  add("/tokenize", "Gives the tokens of a text", kTokenize, "Tokens", tokenized);
  add("/detokenize", "Gives the text of tokens", kDetokenize, "Content", detokenized);
  add("/apply-template", "Gives the prompt that the model's template makes of messages", kTemplate,
      "RenderedPrompt", templated);
  for (const char* path : {"/chat/completions/input_tokens", "/v1/chat/completions/input_tokens"})
    add(path, "Counts the tokens of the prompt of a chat", {.table = kChat}, "InputTokens",
        counted);
}

void add_models(Router& router, const Services& s) {
  const auto loads = std::make_shared<AskedLoads>();
  using Change = Result<Json> (*)(const Services&, const std::string&, AskedLoads&);
  const auto change = [&](Change made, Door door, ErrorForm error) {
    return by_model(
        s, {.read = [](const HttpRequest& r,
                       auto& ignored) { return read_shaped_body(kLoad, r.body, &ignored); },
            .name = [](const HttpRequest&, const Json& body) { return model_in(body); },
            .door = door,
            .answer =
                in_form(error, [&s, loads, made](const std::string& model, const HttpRequest&,
                                                 const Json&) { return made(s, model, *loads); }),
            .error = error});
  };
  router.add(
      {.method = "GET",
       .path = "/models",
       .summary = "Lists the models, with the progress of loads",
       .reply = {"ModelList"},
       .handler = kept_by_door(
           s.doors, {.changes = [&s, loads] { return s.models.changes() + loads->changes(); },
                     .make = [&s, loads] { return listed(s, *loads); }})});
  router.add({.method = "POST",
              .path = "/models/load",
              .summary = "Begins to load a model",
              .scopes = kAdmin,
              .body = kLoad,
              .reply = {"Success"},
              .handler = change(load, Door::kQuick, api_error)});
  router.add({.method = "POST",
              .path = "/models/unload",
              .summary = "Gives a model's memory back",
              .scopes = kAdmin,
              .body = kLoad,
              .reply = {"Success"},
              .handler = change(unload, Door::kMemory, state_error)});
}

// Whether the node takes no more requests. On the loop.
class NodeDoor {
 public:
  bool closed(const Node& node) {
    const std::uint64_t changes = node.changes();
    if (changes != seen_) closed_ = node.info().door_closed;
    seen_ = changes;
    return closed_;
  }

 private:
  std::optional<std::uint64_t> seen_;
  bool closed_ = false;
};

}  // namespace

void add_llama_routes(Router& router, const Services& s) {
  const auto door = std::make_shared<NodeDoor>();
  const std::string well = to_text(Json{{"status", "ok"}});
  const std::string ending = to_text(Json{{"status", "draining"}});
  // While it drains the daemon lives, and wants no new work.
  for (const auto& [path, draining] :
       {std::pair("/health", 503), {"/v1/health", 503}, {"/readyz", 503}, {"/livez", 200}})
    router.add({.method = "GET",
                .path = path,
                .summary = "Says that the daemon runs, or ends",
                .scopes = 0,
                .while_draining = true,
                .reply = {"Health"},
                .handler = [&s, door, well, ending, draining = draining](const auto&, const auto&) {
                  const bool ends = door->closed(s.node);
                  return reply_with_json(ends ? draining : 200, ends ? ending : well);
                }});
  router.add({.method = "GET",
              .path = "/metrics",
              .summary = "Gives all counts in Prometheus' text format",
              .scopes = kMetrics,
              .while_draining = true,
              .reply = {.type = "text/plain"},
              .handler = text_by_door(s.doors, "text/plain; version=0.0.4; charset=utf-8",
                                      [&s] { return s.metrics.text(s.node); })});
  router.add(
      {.method = "GET",
       .path = "/props",
       .summary = "Shows llama.cpp's properties of a model",
       .query = kModelQuery,
       .reply = {"Properties"},
       .handler = by_shown_model(
           s, model_in_query,
           [&s](const std::string& model, const HttpRequest& r) { return props(s, model, r); },
           kModelQuery)});
  router.add(
      {.method = "GET",
       .path = "/slots",
       .summary = "Shows what a model computes: counts, never text",
       .query = kSlotsQuery,
       .reply = {"Slots"},
       .handler = by_shown_model(
           s, model_in_query,
           [&s](const std::string& model, const HttpRequest& r) { return slots(s, model, r); },
           kSlotsQuery)});
  add_texts(router, s);
  add_models(router, s);
}

}  // namespace choir::serve
