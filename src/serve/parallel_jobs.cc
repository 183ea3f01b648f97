#include "serve/parallel_jobs.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <optional>
#include <utility>

#include "choir/text.h"
#include "serve/fields.h"
#include "serve/own_shapes.h"
#include "serve/value_rule.h"

namespace choir::serve {
namespace {

constexpr std::string_view kModels = "models";
constexpr std::string_view kPrompts = "prompts";
constexpr std::string_view kJobs = "jobs";
constexpr ValueRule kReportTokens = {Kind::kInteger, 0, std::numeric_limits<std::int32_t>::max()};
constexpr ValueRule kReportSeconds = {Kind::kNumber, 0, 1e9};  // 31 years

using Fault = std::optional<ApiError>;

std::string shown(const Json& value) { return printable_line(to_text(value), kShown); }

// The value of a field, which is then gone; null where it was left out.
Json taken(Json& object, std::string_view field) {
  const auto found = object.find(field);
  if (found == object.end()) return nullptr;
  Json value = std::move(*found);
  object.erase(found);
  return value;
}

Fault read_flag(Json& object, std::string_view field, bool& flag) {
  const Json value = taken(object, field);
  if (value.is_null()) return std::nullopt;
  if (!value.is_boolean())
    return field_error(field, "is " + shown(value) + "; it takes true or false");
  flag = value.get<bool>();
  return std::nullopt;
}

Fault read_text(Json& object, std::string_view field, std::string& text) {
  const Json value = taken(object, field);
  if (value.is_null()) return std::nullopt;
  if (!value.is_string()) return field_error(field, "is " + shown(value) + "; it takes a text");
  text = value.get<std::string>();
  return std::nullopt;
}

struct Milliseconds {
  std::string_view field;
  std::int64_t least = 0, most = 0;
};
constexpr Milliseconds kDeadline{"deadline_ms", 1, kDeadlineMax.count()};
constexpr Milliseconds kTextEvery{"text_every_ms", 0, kTextEveryMost};

Fault read_time(Json& object, const Milliseconds& rule, std::chrono::milliseconds& time) {
  const Json value = taken(object, rule.field);
  if (value.is_null()) return std::nullopt;
  if (!value.is_number_integer() || value < rule.least || value > rule.most)
    return field_error(rule.field, "is " + shown(value) + "; it takes a whole number from " +
                                       std::to_string(rule.least) + " to " +
                                       std::to_string(rule.most));
  time = std::chrono::milliseconds(value.get<std::int64_t>());
  return std::nullopt;
}

Fault read_order(Json& object, ParallelEvaluation::Order& order) {
  const Json value = taken(object, "order");
  if (value.is_null()) return std::nullopt;
  if (value != "together" && value != "one_at_a_time")
    return field_error("order", "is " + shown(value) + "; it takes 'together' or 'one_at_a_time'");
  if (value == "one_at_a_time") order = ParallelEvaluation::Order::kOneAtATime;
  return std::nullopt;
}

// A whole report may be sent; what else it has is ignored.
Fault read_against(Json& object, std::optional<EvaluationReport>& against) {
  const Json value = taken(object, "against");
  if (value.is_null()) return std::nullopt;
  const Json figures = value.is_object() ? value : Json::object();
  const Json tokens = figures.value("total_tokens", Json());
  const Json seconds = figures.value("total_seconds", Json());
  if (!fits(kReportTokens, tokens) || !fits(kReportSeconds, seconds))
    return field_error(
        "against", "is " + shown(value) + "; it takes an object with 'total_tokens', " +
                       takes(kReportTokens) + ", and 'total_seconds', " + takes(kReportSeconds));
  against = report_of(tokens.get<std::int32_t>(), seconds.get<double>());
  return std::nullopt;
}

bool has(const Json& object, std::string_view field) {
  const auto found = object.find(field);
  return found != object.end() && !found->is_null();
}

// What a job has beside the fields of the route for chats.
struct OwnFields {
  std::string system;
  std::string prompt;
  bool has_prompt = false;
  bool raw = false;
  bool default_template = true;
  std::chrono::milliseconds deadline{0};
};

Fault read_own(Json& job, OwnFields& own) {
  for (const std::string_view field :
       {"stream", "stream_options", "text_every_ms", "order", "against"})
    if (has(job, field)) return field_error(field, "is for all jobs; it stands beside them");
  if (auto fault = read_flag(job, "raw", own.raw)) return fault;
  if (auto fault = read_flag(job, "default_template", own.default_template)) return fault;
  if (auto fault = read_text(job, "system", own.system)) return fault;
  if (auto fault = read_time(job, kDeadline, own.deadline)) return fault;
  own.has_prompt = has(job, "prompt");
  if (own.has_prompt == has(job, "messages"))
    return field_error("prompt", own.has_prompt ? "excludes 'messages'; take one of them"
                                                : "is missing, and so are 'messages'");
  if (has(job, "n") && job["n"] != 1)
    return field_error("n", "is " + shown(job["n"]) + "; a job has one answer, ask for more jobs");
  if (own.raw && !own.has_prompt) return field_error("raw", "is true; it needs a 'prompt'");
  if (own.raw && !own.system.empty())
    return field_error("system", "needs the chat template; leave out 'raw'");
  if (!own.has_prompt) return std::nullopt;
  if (auto fault = read_text(job, "prompt", own.prompt)) return fault;
  if (own.prompt.empty()) return field_error("prompt", "is empty; write one");
  if (!own.raw) job["messages"] = Json::array({{{"role", "user"}, {"content", own.prompt}}});
  return std::nullopt;
}

// The values that `choir parallel` has where nothing is said. They do not count as given: the
// model's own go before them.
void take_defaults(const Json& job, std::size_t number, Asked& asked) {
  const ParallelConfig usual;
  const std::array<std::string_view, 3> tokens = {"max_tokens", "max_completion_tokens",
                                                  "n_predict"};
  if (std::ranges::none_of(tokens, [&](std::string_view field) { return has(job, field); }))
    asked.max_tokens_otherwise = usual.max_tokens;
  if (!has(job, "temperature")) asked.request.sampling.temperature = usual.temperature;
  if (!has(job, "seed")) {
    asked.request.sampling.seed = number * 1000;
    asked.seed_given = true;
  }
}

ApiResult<ParallelJob> read_job(Json job, std::size_t number) {
  OwnFields own;
  if (auto fault = read_own(job, own)) return tl::unexpected(std::move(*fault));
  job["strict_fields"] = true;
  auto asked = read_fields(own.raw ? kCompletion : kChat, job);
  if (!asked) return tl::unexpected(std::move(asked).error());
  take_defaults(job, number, *asked);
  Request& request = asked->request;
  if (own.raw) request.text = own.prompt;
  std::string prompt = own.raw ? own.prompt : request.messages.back().content;
  if (!own.system.empty())
    request.messages.insert(request.messages.begin(), {"system", std::move(own.system)});
  request.deadline = own.deadline;
  request.default_template = own.default_template;
  return ParallelJob{.asked = std::move(*asked), .prompt = std::move(prompt)};
}

ApiError at_job(ApiError error, std::size_t number) {
  error.pointer = "/jobs/" + std::to_string(number) + error.pointer;
  error.message = "jobs." + std::to_string(number) + ": " + error.message;
  return error;
}

Fault check_list(const Json& list, std::string_view field, bool (*fits)(const Json&),
                 std::string_view of) {
  if (list.is_null()) return std::nullopt;
  if (!list.is_array() || list.empty())
    return field_error(field, "is " + shown(list) + "; it takes a list of " + std::string(of));
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (fits(list[i])) continue;
    ApiError error =
        field_error(field, "has " + shown(list[i]) + "; it takes a list of " + std::string(of));
    error.pointer += "/" + std::to_string(i);
    return error;
  }
  return std::nullopt;
}

bool is_text(const Json& value) { return value.is_string(); }
bool is_object(const Json& value) { return value.is_object(); }

ApiError too_many(std::size_t jobs) {
  return field_error(kJobs, "are " + std::to_string(jobs) + ", at most " +
                                std::to_string(kJobsMax) + " are allowed");
}

// Each prompt for each model; neighbours have different models, so that the first ones show several
// at work.
ApiResult<Json> product(const Json& models, const Json& prompts) {
  const std::size_t count =
      std::max<std::size_t>(models.size(), 1) * std::max<std::size_t>(prompts.size(), 1);
  if (count > kJobsMax) return tl::unexpected(too_many(count));
  Json jobs = Json::array();
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t rows = std::max<std::size_t>(models.size(), 1);
    Json job = Json::object();
    if (!models.is_null()) job["model"] = models[i % rows];
    if (!prompts.is_null()) job["prompt"] = prompts[i / rows];
    jobs.push_back(std::move(job));
  }
  return jobs;
}

struct Lists {
  Json models;
  Json prompts;
  Json jobs;
};

Fault take_lists(Json& shared, Lists& lists) {
  lists = {taken(shared, kModels), taken(shared, kPrompts), taken(shared, kJobs)};
  if (auto fault = check_list(lists.models, kModels, is_text, "names")) return fault;
  if (auto fault = check_list(lists.prompts, kPrompts, is_text, "texts")) return fault;
  if (auto fault = check_list(lists.jobs, kJobs, is_object, "objects")) return fault;
  const bool lines = !lists.models.is_null() || !lists.prompts.is_null();
  if (lines && !lists.jobs.is_null())
    return field_error(kJobs, "excludes 'models' and 'prompts'; take one of the two forms");
  if (!lines && lists.jobs.is_null())
    return field_error(kJobs, "is missing, and so are 'models' and 'prompts'");
  if (lists.jobs.size() > kJobsMax) return too_many(lists.jobs.size());
  return std::nullopt;
}

// Where the body has this field of a job that comes from the two lists.
std::string pointer_in(const Lists& lists, std::string_view field, std::size_t number) {
  const std::size_t models = std::max<std::size_t>(lists.models.size(), 1);
  if (field == "model" && !lists.models.is_null())
    return "/models/" + std::to_string(number % models);
  if (field == "prompt" && !lists.prompts.is_null())
    return "/prompts/" + std::to_string(number / models);
  return "/" + std::string(field);
}

ApiError in_lists(ApiError error, std::size_t number, const Lists& lists) {
  if (error.pointer == "/" + error.param) error.pointer = pointer_in(lists, error.param, number);
  return error;
}

// A job that names no model has that of all jobs.
std::string model_of_job(const Json& shared, const Json& job, std::size_t number) {
  return has(shared, "model") && !has(job, "model") ? "/model"
                                                    : "/jobs/" + std::to_string(number) + "/model";
}

}  // namespace

ApiResult<ParallelAsked> read_parallel(const Json& body) {
  if (!body.is_object())
    return tl::unexpected(api_error({Code::kInvalidArgument, "the body is no JSON object"}));
  ParallelAsked asked;
  Json shared = body;
  Lists lists;
  if (auto fault = read_flag(shared, "stream", asked.stream))
    return tl::unexpected(std::move(*fault));
  if (auto fault = read_time(shared, kTextEvery, asked.text_every))
    return tl::unexpected(std::move(*fault));
  if (auto fault = read_order(shared, asked.order)) return tl::unexpected(std::move(*fault));
  if (auto fault = read_against(shared, asked.against)) return tl::unexpected(std::move(*fault));
  if (auto fault = take_lists(shared, lists)) return tl::unexpected(std::move(*fault));
  const bool named = !lists.jobs.is_null();
  Json jobs = std::move(lists.jobs);
  if (!named) {
    auto made = product(lists.models, lists.prompts);
    if (!made) return tl::unexpected(std::move(made).error());
    jobs = std::move(*made);
  }
  const std::size_t shared_bytes = to_text(shared).size();
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    bytes += shared_bytes + to_text(jobs[i]).size();
    if (bytes > kJobsBytesMax)
      return tl::unexpected(field_error(
          kJobs, "have together more than " + bytes_text(kJobsBytesMax) + "; send fewer"));
    Json merged = shared;
    merged.update(jobs[i]);
    auto job = read_job(std::move(merged), i);
    if (!job)
      return tl::unexpected(named ? at_job(std::move(job).error(), i)
                                  : in_lists(std::move(job).error(), i, lists));
    job->model_pointer = named ? model_of_job(shared, jobs[i], i) : pointer_in(lists, "model", i);
    asked.jobs.push_back(std::move(*job));
  }
  return asked;
}

}  // namespace choir::serve
