#include "serve/generating_desk.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "serve/about_field.h"
#include "serve/busy.h"
#include "serve/cold_model.h"
#include "serve/exchange.h"
#include "serve/field_values.h"
#include "serve/ignored_header.h"
#include "serve/llama_detail.h"
#include "serve/model_defaults.h"
#include "serve/model_state.h"
#include "serve/request_of.h"

namespace choir::serve {
namespace {

constexpr std::size_t kIdBytes = 16;  // random ones of an answer's id

// The stop string at which an answer was cut; empty if the model ended it.
std::string stop_of(const Node& node, const Completion& completion,
                    const std::vector<std::string>& stops) {
  if (completion.finish != Finish::kStop) return {};
  // Not loaded for this: the executor still counts the request.
  const auto text = node.detokenize(completion.executor, completion.tokens);
  if (!text) return {};
  std::string first;
  std::size_t at = std::string::npos;
  for (const std::string& stop : stops) {
    const std::size_t found = text->find(stop);
    if (found >= at) continue;
    at = found;
    first = stop;
  }
  return first;
}

// An error of one prompt of several.
ApiError in_prompt(ApiError error, std::size_t prompt) {
  const std::string number = std::to_string(prompt);
  error.param = "prompt." + number;
  error.pointer = "/prompt/" + number;
  error.message.insert(0, "prompt " + number + ": ");
  return error;
}

}  // namespace

std::vector<Header> headers_of(const Limits& limits, const ExecutorInfo& executor,
                               std::int32_t prompt_tokens) {
  std::vector<Header> headers;
  if (limits.chat && executor.model.chat_template.empty())
    headers.push_back({"x-choir-template", "default"});
  const std::int32_t room = longest_sequence(executor.config) - prompt_tokens;
  if (limits.max_tokens.value_or(0) > room)
    headers.push_back({"x-choir-max-tokens", std::to_string(room)});
  return headers;
}

void cancel_all(Node& node, std::span<const Submission> choices) {
  for (const Submission& choice : choices) static_cast<void>(node.cancel(choice.id));
}

GeneratingDesk::GeneratingDesk(const Services& services, const Dialect& dialect,
                               HttpRequest request, Wake wake)
    : services_(services),
      dialect_(dialect),
      request_(std::move(request)),
      wake_(std::move(wake)) {}

void GeneratingDesk::post(Door door, void (GeneratingDesk::*step)()) {
  post_step(services_.doors, door, shared_from_this(), [this, step] {
    if (!gone_.load()) (this->*step)();
  });
}

void GeneratingDesk::open() {
  auto asked = read_body(services_, dialect_.route, request_);
  if (!asked) return refuse(std::move(asked).error());
  asked_ = std::move(*asked);
  if (auto error = missing()) return refuse(std::move(*error));
  if (auto error = read_headers(asked_, request_)) return refuse(std::move(*error));
  if (auto executor = services_.models.known(asked_.model)) {
    model_ = std::move(*executor);
    return arrive();
  }
  if (const Status there = services_.models.is_there(asked_.model); !there)
    return refuse(model_error_at(there.error()));
  post(Door::kFiles, &GeneratingDesk::find_model);
}

void GeneratingDesk::leave() {
  gone_.store(true);
  const auto ids = slot_.with([](const Slot& s) {
    std::vector<RequestId> submitted;
    if (s.accepted)
      for (const Submission& choice : s.accepted->choices) submitted.push_back(choice.id);
    return submitted;
  });
  for (const RequestId id : ids) static_cast<void>(services_.node.cancel(id));
}

GeneratingDesk::Slot GeneratingDesk::take() {
  return slot_.with([](Slot& s) { return std::exchange(s, {}); });
}

void GeneratingDesk::refuse(ApiError error) {
  sent_.coming.reset();
  slot_.with([&](Slot& s) {
    s.error = std::move(error);
    s.refused_by = model_;
  });
  wake_();
}

std::optional<ApiError> GeneratingDesk::missing() const {
  if (dialect_.route == kChat && asked_.request.messages.empty())
    return field_error("messages", "is missing");
  if (dialect_.route != kChat && asked_.prompts.empty()) return field_error("prompt", "is missing");
  return std::nullopt;
}

void GeneratingDesk::find_model() {
  auto executor = services_.models.find(asked_.model);
  if (!executor) return refuse(model_error_at(executor.error()));
  model_ = std::move(*executor);
  post(Door::kQuick, &GeneratingDesk::arrive);
}

// A stream has its head, and with it its status, while a load goes on: what refuses the load is
// looked for before.
void GeneratingDesk::arrive() {
  sent_ = services_.models.replicas().send(model_, sight_of(asked_, request_.client));
  const auto info = services_.node.executor(sent_.executor);
  if (info && is_cold(*info)) return post(Door::kHeads, &GeneratingDesk::check_load);
  submit_to(info);
}

void GeneratingDesk::check_load() {
  if (auto error = load_refusal(services_.node, sent_.executor)) return refuse(std::move(*error));
  post(Door::kQuick, &GeneratingDesk::submit);
}

void GeneratingDesk::submit() { submit_to(services_.node.executor(sent_.executor)); }

void GeneratingDesk::submit_to(const Result<ExecutorInfo>& info) {
  if (gone_.load()) return;
  if (!info) return refuse(model_error(info.error()));
  if (info->loaded && !info->model.generates)
    return refuse(model_error_at(
        {Code::kInvalidArgument, "'" + model_ +
                                     "' is an encoder: it embeds text and writes none; POST "
                                     "/v1/embeddings uses it"}));
  fill_in(services_.models.defaults_of(model_), request_.client, asked_);
  if (auto error = check_content(asked_)) return refuse(std::move(*error));
  auto accepted = accept(*info);
  if (!accepted) return refuse(std::move(accepted).error());
  slot_.with([&](Slot& s) { s.accepted = std::move(*accepted); });
  if (gone_.load()) leave();
  wake_();
}

ApiResult<Accepted> GeneratingDesk::accept(const ExecutorInfo& info) {
  const std::string& executor = info.config.name;
  Limits limits{.chat = dialect_.route == kChat};
  if (asked_.max_tokens_given) limits.max_tokens = asked_.request.max_tokens;
  std::vector<Request> requests = requests_of(asked_, request_.client, executor);
  AnswerInfo answer{.id = std::string(dialect_.id_prefix) + random_hex(kIdBytes),
                    .model = model_,
                    .created = unix_ms() / 1000,
                    .prompts = requests.size(),
                    .choices = static_cast<std::size_t>(asked_.choices),
                    .stream = asked_.stream,
                    .include_usage = asked_.include_usage,
                    .return_tokens = asked_.return_tokens,
                    .response_fields = asked_.response_fields};
  if (dialect_.detailed) {
    answer.requests = requests;
    show_what_is_computed(services_.node, executor, answer.requests);
  }
  auto prompts = prepare_all(std::move(requests));
  if (!prompts) return tl::unexpected(std::move(prompts).error());
  for (const Prepared& prompt : *prompts) answer.prompt_tokens.push_back(prompt.prompt_tokens());
  Accepted accepted;
  for (std::size_t i = 0; i < prompts->size(); ++i)
    accepted.prompt_fields.push_back(prompt_field(i));
  accepted.stream = asked_.stream;
  if (auto ignored = ignored_header(asked_.ignored)) accepted.headers.push_back(*ignored);
  if (info.loaded)
    for (Header& header : headers_of(limits, info, std::ranges::max(answer.prompt_tokens)))
      accepted.headers.push_back(std::move(header));
  if (!info.loaded) accepted.late = limits;
  std::vector<Prepared> all;
  for (Prepared& prompt : *prompts) {
    const std::size_t first = all.size();
    all.push_back(std::move(prompt));
    for (std::uint32_t choice = 1; choice < answer.choices; ++choice)
      all.push_back(all[first].choice(choice));
  }
  auto callbacks = callbacks_of(all.size());
  accepted.stops = watch_stops(all.front().request().stop, callbacks);
  auto submitted = services_.node.enqueue_all(std::move(all), std::move(callbacks));
  if (!submitted)
    return tl::unexpected(
        busy_error(services_.node, executor, request_.client.tenant, submitted.error()));
  services_.models.replicas().taken(std::move(sent_), answer.prompt_tokens.front());
  accepted.loads = !info.loaded;
  accepted.model = model_;
  accepted.executor = executor;
  accepted.choices = std::move(*submitted);
  accepted.writer = dialect_.writer(std::move(answer));
  return accepted;
}

// The field that has it.
std::string GeneratingDesk::prompt_field(std::size_t prompt) const {
  if (dialect_.route == kChat) return "messages";
  return asked_.alone ? "prompt" : "prompt." + std::to_string(prompt);
}

ApiResult<std::vector<Prepared>> GeneratingDesk::prepare_all(std::vector<Request> requests) const {
  std::vector<Prepared> all;
  for (Request& request : requests) {
    auto prepared = services_.node.prepare(std::move(request));
    if (!prepared) {
      const std::string field = prompt_field(all.size());
      ApiError error = about_prompt(prepared.error(), field);
      if (requests.size() > 1 && !error.param.starts_with(field + "."))
        error = in_prompt(std::move(error), all.size());
      return tl::unexpected(std::move(error));
    }
    all.push_back(std::move(*prepared));
  }
  return all;
}

// News may come before the submissions are in the slot: the loop then finds nothing, and is woken
// once more by submit().
std::vector<Callbacks> GeneratingDesk::callbacks_of(std::size_t count) const {
  const auto hold = hold_of(services_, model_, request_.client.tenant, asked_.keep_alive);
  std::vector<Callbacks> all(count);
  for (Callbacks& one : all) {
    one.on_done = [hold](const Completion&) { hold(); };
    one.on_news = [wake = wake_](RequestId) { wake(); };
  }
  return all;
}

// Finds out, when a choice ends, which stop string ended it.
std::shared_ptr<StopStrings> GeneratingDesk::watch_stops(const std::vector<std::string>& stops,
                                                         std::vector<Callbacks>& callbacks) const {
  if (!dialect_.detailed || stops.empty()) return nullptr;
  auto found = std::make_shared<StopStrings>(std::vector<std::string>(callbacks.size()));
  const auto known = std::make_shared<const std::vector<std::string>>(stops);
  for (std::size_t i = 0; i < callbacks.size(); ++i)
    callbacks[i].on_done = [&node = services_.node, done = std::move(callbacks[i].on_done), found,
                            known, i](const Completion& completion) {
      std::string stop = stop_of(node, completion, *known);
      found->with([&](std::vector<std::string>& all) { all[i] = std::move(stop); });
      done(completion);
    };
  return found;
}

}  // namespace choir::serve
