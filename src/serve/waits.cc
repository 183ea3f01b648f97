#include "serve/waits.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace choir::serve {
namespace {

constexpr std::size_t kModelsNamed = 3;

Json why(std::string_view reason, std::string text, Json numbers = Json::object()) {
  numbers["reason"] = reason;
  numbers["text"] = std::move(text);
  return numbers;
}

Json why_loading(const ExecutorInfo& executor) {
  Json numbers = Json::object();
  std::string text = "The model " + executor.config.name + " is not in memory yet";
  if (executor.loading) {
    const int percent = static_cast<int>(*executor.loading * 100);
    numbers["percent"] = percent;
    text =
        "The model " + executor.config.name + " is being loaded: " + std::to_string(percent) + " %";
  }
  if (executor.load_seconds > 0) {
    const double seconds = std::round(executor.load_seconds * 10) / 10;
    numbers["last_load_seconds"] = seconds;
    text += "; its last load took " + Json(seconds).dump() + " s";
  }
  return why("loading", text + ".", std::move(numbers));
}

Json why_suspended(const ExecutorInfo& executor) {
  return why("suspended", "The model " + executor.config.name + " is suspended.");
}

Json why_sequences(const ExecutorInfo& executor) {
  const std::int32_t most = executor.config.sequences_max;
  return why("sequences",
             most == 1 ? "The one sequence of " + executor.config.name + " is in use."
                       : "All " + std::to_string(most) + " sequences of " + executor.config.name +
                             " are in use.",
             {{"in_use", executor.running}, {"max", most}});
}

Json why_cells(const RequestInfo& request, const ExecutorInfo& executor) {
  const std::int32_t need = request.prompt_tokens + request.output_tokens;
  // Cells of ended requests are not in `cells`, and are evicted where room is needed.
  const std::int32_t free = std::max(0, executor.config.context_tokens - executor.cells);
  return why("cells",
             "It has lost its KV cells to other requests; it needs " + std::to_string(need) +
                 ", and " + executor.config.name + " has " + std::to_string(free) + " of " +
                 std::to_string(executor.config.context_tokens) + " free.",
             {{"need", need}, {"free", free}});
}

// "a", "a and b", "a, b, c and others".
std::string named(const std::set<std::string>& names) {
  std::string text;
  std::size_t n = 0;
  for (const std::string& name : names) {
    if (n == kModelsNamed) return text + " and others";
    const bool last = n + 1 == names.size();
    if (n > 0) text += last ? " and " : ", ";
    text += name;
    ++n;
  }
  return text;
}

}  // namespace

WhyWaits::WhyWaits(std::span<const RequestInfo> requests, std::span<const ExecutorInfo> executors,
                   ExecutionPolicy policy)
    : classes_(policy != ExecutionPolicy::kFair) {
  for (const ExecutorInfo& executor : executors)
    executors_.emplace(executor.config.name, &executor);
  for (const RequestInfo& request : requests) {
    if (request.waits_for != WaitsFor::kNothing || request.phase == RequestPhase::kEnding) continue;
    computing_.insert(request.executor);
    if (!best_model_.empty() && request.priority >= best_computing_) continue;
    best_computing_ = request.priority;
    best_model_ = request.executor;
  }
}

std::optional<Json> WhyWaits::of(const RequestInfo& request) const {
  const auto found = executors_.find(request.executor);
  if (found == executors_.end()) return std::nullopt;  // it has just left
  const ExecutorInfo& executor = *found->second;
  switch (request.waits_for) {
    case WaitsFor::kNothing:
      return std::nullopt;
    case WaitsFor::kLoad:
      return why_loading(executor);
    case WaitsFor::kEarlierTurn:
      return why("conversation", "An earlier turn of its conversation has not ended.");
    case WaitsFor::kCompany:
      return why("queue", "It begins together with requests that were submitted with it.");
    case WaitsFor::kResume:
      return why_suspended(executor);
    case WaitsFor::kReader:
      return why("reader", "Its client has not read the text that is there.");
    case WaitsFor::kOtherRequest:
      return why("queue", "Another request runs, and only one may run at a time.");
    case WaitsFor::kSlot:
      return why_sequences(executor);
    case WaitsFor::kBatch:
      return why("queue", "The model " + request.executor +
                              " lets requests begin one at a time or in groups.");
    case WaitsFor::kCells:
      return why_cells(request, executor);
    case WaitsFor::kTurn:
      // One that has just come is not looked at by its model yet.
      return executor.suspended ? why_suspended(executor) : of_turn(request);
  }
  return std::nullopt;
}

std::optional<Json> WhyWaits::of_turn(const RequestInfo& request) const {
  if (classes_ && !best_model_.empty() && best_computing_ < request.priority) {
    const std::string name(to_string(best_computing_));
    return why("class", "Requests of the class " + name + " compute now, in " + best_model_ + ".",
               {{"class", name}, {"model", best_model_}});
  }
  std::set<std::string> others = computing_;
  others.erase(request.executor);
  if (others.empty())
    return why("queue", "It begins in one of the next passes of " + request.executor + ".");
  Json names = Json::array();
  for (const std::string& name : others) names.push_back(name);
  return why("share",
             "The models take turns; " + named(others) +
                 (others.size() == 1 ? " computes" : " compute") + " now.",
             {{"models", std::move(names)}});
}

}  // namespace choir::serve
