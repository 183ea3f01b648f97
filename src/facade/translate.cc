#include "facade/translate.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/clock.h"
#include "choir/text.h"

namespace choir::parallel {
namespace {

using Reader = std::function<Status(const std::string& value)>;
using Readers = std::map<std::string, Reader>;

auto bad(const std::string& message) { return fail(Code::kInvalidArgument, message); }

// Every key is known, or refused with the nearest that is.
Status read_all(const std::map<std::string, std::string>& parameters, const Readers& readers) {
  std::vector<std::string> known;
  for (const auto& [key, reader] : readers) known.push_back(key);
  for (const auto& [key, value] : parameters) {
    const auto found = readers.find(key);
    if (found == readers.end()) {
      std::string message = "parameters has no key '" + printable_line(key, 60) + "'";
      if (const auto close = nearest(key, known)) message += "; did you mean '" + *close + "'?";
      return bad(message);
    }
    if (Status status = found->second(value); !status)
      return tl::unexpected(std::move(status).error().in("parameters[\"" + key + "\"]"));
  }
  return {};
}

template <class T>
Status read_number(const std::string& text, T& value, T least, T most) {
  T number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < least || number > most)
    return bad("'" + printable_line(text, 60) + "', allowed " + std::to_string(least) + " .. " +
               std::to_string(most));
  value = number;
  return {};
}

template <class T>
Reader number(T& value, T least, T most) {
  return [&value, least, most](const std::string& text) {
    return read_number(text, value, least, most);
  };
}

Reader flag(bool& value, std::string_view yes, std::string_view no) {
  return [&value, yes, no](const std::string& text) -> Status {
    if (text != yes && text != no)
      return bad("'" + printable_line(text, 60) + "', allowed " + std::string(yes) + " or " +
                 std::string(no));
    value = text == yes;
    return {};
  };
}

Reader text(std::string& value, std::size_t bytes_max) {
  return [&value, bytes_max](const std::string& given) -> Status {
    if (given.size() > bytes_max)
      return bad(std::to_string(given.size()) + " bytes, at most " + std::to_string(bytes_max));
    value = given;
    return {};
  };
}

Status not_yet(const std::string&) {
  return bad("not supported yet: answers are not constrained by a grammar; leave it out");
}

// One string, or a JSON list of them.
Status read_stop(const std::string& value, std::vector<std::string>& stop) {
  if (!value.starts_with("[")) {
    stop = {value};
    return {};
  }
  const auto json = nlohmann::json::parse(value, nullptr, /*allow_exceptions=*/false);
  if (!json.is_array()) return bad("is not a JSON list of strings");
  for (const auto& item : json) {
    if (!item.is_string()) return bad("is not a JSON list of strings");
    stop.push_back(item.get<std::string>());
  }
  return {};
}

constexpr std::array<std::string_view, 6> kModes = {"SEQUENTIAL", "PARALLEL", "PIPELINED",
                                                    "STREAMING",  "BATCH",    "HYBRID"};
constexpr std::array<std::string_view, 4> kPriorities = {"LOW", "NORMAL", "HIGH", "CRITICAL"};

}  // namespace

std::string_view to_string(LLMExecutionMode mode) {
  const auto index = static_cast<std::size_t>(mode);
  return index < kModes.size() ? kModes.at(index) : "?";  // not checked before initialize()
}

std::string_view to_string(LLMPriority priority) {
  const auto index = static_cast<std::size_t>(priority);
  return index < kPriorities.size() ? kPriorities.at(index) : "?";
}

TimePoint wall_now() { return TimePoint(std::chrono::milliseconds(unix_ms())); }

LLMExecutionResponse refusal(const LLMExecutionRequest& request, std::string llm_id,
                             std::string why) {
  LLMExecutionResponse response;
  response.requestId = request.requestId;
  response.llmId = std::move(llm_id);
  response.error = std::move(why);
  response.completedAt = wall_now();
  return response;
}

Priority native(LLMPriority priority) {
  switch (priority) {
    case LLMPriority::CRITICAL:
      return Priority::kCritical;
    case LLMPriority::HIGH:
      return Priority::kHigh;
    case LLMPriority::LOW:
      return Priority::kLow;
    case LLMPriority::NORMAL:
      break;
  }
  return Priority::kNormal;
}

Batching native(LLMExecutionMode mode) {
  switch (mode) {
    case LLMExecutionMode::SEQUENTIAL:
      return Batching::kOneAtATime;
    case LLMExecutionMode::BATCH:
      return Batching::kCollect;
    case LLMExecutionMode::HYBRID:
      return Batching::kCollectBusy;
    case LLMExecutionMode::PARALLEL:
    case LLMExecutionMode::PIPELINED:
    case LLMExecutionMode::STREAMING:
      break;
  }
  return Batching::kContinuous;
}

Result<Priority> priority_named(std::string_view name) {
  for (std::size_t i = 0; i < kPriorityNames.size(); ++i)
    if (std::ranges::equal(name, kPriorityNames.at(i),
                           [](char a, char b) { return std::tolower(a) == b; }))
      return static_cast<Priority>(i);
  return bad("'" + printable_line(name, 60) + "', allowed critical, high, normal or low");
}

Result<ExecutorSettings> read_settings(const LLMExecutionConfig& config) {
  ExecutorSettings s;
  std::uint64_t park_mib = s.park_bytes_max >> 20U;
  std::uint64_t kv_mib = s.store_kv_bytes_max >> 20U;
  CHOIR_CHECK_OK(read_all(config.parameters,
                          {{"store", text(s.store, 4096)},
                           {"store_kv_mib_max", number<std::uint64_t>(kv_mib, 0, 1ULL << 30U)},
                           {"group", text(s.group, kNameBytesMax)},
                           {"shape_check", flag(s.strict_shape, "strict", "warn")},
                           {"shares", number(s.shares, 0.001, 1000.0)},
                           {"batch_tokens_max", number<std::int32_t>(s.batch_tokens_max, 16, 8192)},
                           {"park_mib_max", number<std::uint64_t>(park_mib, 0, 1ULL << 30U)},
                           {"pinned", flag(s.pinned, "true", "false")},
                           {"prefix_cache", flag(s.prefix_cache, "true", "false")},
                           {"kv_type", [&](const std::string& value) -> Status {
                              s.kv_type = CHOIR_TRY(kv_type_named(value));
                              return {};
                            }}}));
  s.park_bytes_max = park_mib << 20U;
  s.store_kv_bytes_max = kv_mib << 20U;
  const auto within = [](const char* field, std::size_t value, std::size_t least,
                         std::size_t most) -> Status {
    if (value >= least && value <= most) return {};
    return bad(std::string(field) + " is " + std::to_string(value) + ", allowed " +
               std::to_string(least) + " .. " + std::to_string(most));
  };
  if (config.llmId.empty()) return bad("llmId is empty: requests name the executor by it");
  if (config.modelPath.empty()) return bad("modelPath is empty: it names a GGUF file");
  CHOIR_CHECK_OK(within("batchSize", config.batchSize, 1, 256));
  CHOIR_CHECK_OK(within("maxSequenceLength", config.maxSequenceLength, 2, 1U << 24U));
  if (!std::isfinite(config.learningRate) || config.learningRate < 0)
    return bad("learningRate is " + std::to_string(config.learningRate) + ", allowed 0 or more");
  if (static_cast<std::size_t>(config.mode) >= kModes.size()) return bad("mode is not one of them");
  if (static_cast<std::size_t>(config.priority) >= kPriorities.size())
    return bad("priority is not one of LOW, NORMAL, HIGH, CRITICAL");
  return s;
}

Result<RequestSettings> read_request(const LLMExecutionRequest& given, LLMPriority priority) {
  RequestSettings s;
  Request& r = s.request;
  if (given.maxOutputLength < 1 || given.maxOutputLength > kPromptTokensMax)
    return bad("maxOutputLength is " + std::to_string(given.maxOutputLength) + ", allowed 1 .. " +
               std::to_string(kPromptTokensMax));
  if (given.timeout.count() < 0 || given.timeout > kDeadlineMax)
    return bad("timeout is " + std::to_string(given.timeout.count()) + " ms, allowed 0 (none) .. " +
               std::to_string(kDeadlineMax.count()));
  r.max_tokens = static_cast<std::int32_t>(given.maxOutputLength);
  r.deadline = given.timeout;
  r.priority = native(priority);
  r.sampling.temperature = given.temperature;
  r.sampling.top_p = given.topP;
  r.sampling.top_k = given.topK;
  r.sampling.min_p = 0;
  CHOIR_CHECK_OK(validate(r.sampling));

  constexpr float kMost = std::numeric_limits<float>::max();
  bool wants_previous = false;
  const Readers readers = {
      {"context_id", text(s.context_id, kNameBytesMax)},
      {"seed", number<std::uint64_t>(r.sampling.seed, 0, UINT64_MAX)},
      {"min_p", number(r.sampling.min_p, -kMost, kMost)},
      {"repeat_penalty", number(r.sampling.repeat_penalty, -kMost, kMost)},
      {"frequency_penalty", number(r.sampling.frequency_penalty, -kMost, kMost)},
      {"presence_penalty", number(r.sampling.presence_penalty, -kMost, kMost)},
      {"repeat_last_n", number<std::int32_t>(r.sampling.repeat_last_n, 0, 4096)},
      {"stop", [&](const std::string& value) { return read_stop(value, r.stop); }},
      {"template", flag(s.raw, "none", "model")},
      {"ignore_eos", flag(r.ignore_eos, "true", "false")},
      {"parse_special", flag(r.parse_special, "true", "false")},
      {"tenant", text(r.tenant, kNameBytesMax)},
      {"tenant_weight", number(r.tenant_weight, kTenantWeightMin, kTenantWeightMax)},
      {"reuse_scope", text(r.reuse_scope, kNameBytesMax)},
      {"pipeline_input", flag(wants_previous, "previous", "none")},
      {"priority",
       [&](const std::string& value) -> Status {
         r.priority = CHOIR_TRY(priority_named(value));
         return {};
       }},
      {"grammar", not_yet},
      {"json_schema", not_yet}};
  CHOIR_CHECK_OK(read_all(given.parameters, readers));
  CHOIR_CHECK_OK(validate(r.sampling));
  s.chained = wants_previous || given.inputText.find(kPrevious) != std::string::npos ||
              given.prompt.find(kPrevious) != std::string::npos;
  return s;
}

bool names_encoder(std::string_view model_type) {
  std::string lower(model_type);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return std::tolower(c); });
  return lower.find("bert") != std::string::npos || lower.find("encoder") != std::string::npos ||
         lower.find("embed") != std::string::npos;
}

LLMExecutionRequest with_previous(LLMExecutionRequest request, const std::string& answer) {
  const auto replace = [&](std::string& text) {
    for (std::size_t at = 0; (at = text.find(kPrevious, at)) != std::string::npos;
         at += answer.size())
      text.replace(at, kPrevious.size(), answer);
  };
  const auto input = request.parameters.find("pipeline_input");
  if (input != request.parameters.end()) {
    if (input->second == "previous" && request.inputText.find(kPrevious) == std::string::npos)
      request.inputText += (request.inputText.empty() ? "" : "\n") + answer;
    request.parameters.erase(input);
  }
  replace(request.inputText);
  replace(request.prompt);
  return request;
}

}  // namespace choir::parallel
