// What one look of Events sees, and the frames that it makes of that.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "base/clock.h"
#include "serve/events.h"
#include "serve/model_rows.h"
#include "serve/own_requests.h"
#include "serve/rounded.h"
#include "serve/waits.h"

namespace choir::serve {
namespace {

constexpr Nanos kTurnsShown = std::chrono::seconds(10);  // to a new reader

// The tenants that hold it, without how long: that changes by time alone.
Json model_event_row(const ExecutorInfo& executor, const Replicas& replicas) {
  Json row = model_row(executor);
  add_replicas(replicas, row);
  row["load_seconds"] = whole_milliseconds(executor.load_seconds);
  row["compute_seconds"] = whole_milliseconds(executor.compute_seconds);
  Json tenants = Json::array();
  for (const LeaseInfo& lease : executor.leases) tenants.push_back(lease.tenant);
  row["leases"] = std::move(tenants);
  return row;
}

}  // namespace

// Whether the last look has seen all that the readers watch.
bool Events::knows_all(const Wanted& wanted) const {
  return (knows_state_ || (wanted.topics & kStateTopic) == 0) &&
         (turns_.seen() || (wanted.topics & kTurnsTopic) == 0) &&
         std::ranges::all_of(wanted.audiences, [&](const auto& audience) {
           return request_tables_.contains(audience.first);
         });
}

Events::Made Events::make(const Wanted& wanted) {
  Made made;
  if (wanted.look == Look::kNode || !knows_all(wanted)) see_node(wanted, made);
  if (wanted.state_snapshot) made.state_whole = whole_of(state_table_.whole());
  if (wanted.turns_snapshot) made.turns_whole = whole_of(turns_.last(node_, kTurnsShown), "turns");
  for (const auto& [audience, snapshot] : wanted.audiences)
    if (snapshot) made.requests_whole[audience] = whole_of(request_tables_.at(audience).whole());
  if (!wanted.lines.empty()) {
    std::string lines;
    for (const std::string& line : wanted.lines) lines += (lines.empty() ? "" : ",") + line;
    made.log = keep(made, kLogTopic, {}, "log",
                    R"({"topic":"log","lines":[)" + lines + R"(],"dropped":)" +
                        std::to_string(wanted.lines_dropped) + "}");
  }
  made.newest = frame_;
  made.tables = table_begins_;
  return made;
}

Events::Whole Events::whole_of(const std::string& data, std::string_view event) {
  return {frame_of(event, data), frame_of(event, ++frame_, data)};
}

Frame Events::keep(Made& made, Topics topic, const std::string& audience, std::string_view event,
                   std::string_view data) {
  Frame frame = frame_of(event, ++frame_, data);
  made.kept.push_back({frame_, topic, audience, frame});
  return frame;
}

void Events::see_node(const Wanted& wanted, Made& made) {
  knows_state_ = (wanted.topics & kStateTopic) != 0;
  if (knows_state_) see_state(made);
  if ((wanted.topics & kTurnsTopic) != 0)
    if (const std::string fresh = turns_.fresh(node_, kFramesKept); !fresh.empty())
      made.turns = keep(made, kTurnsTopic, {}, "turns", fresh);
  see_requests(wanted, made);
}

void Events::see_state(Made& made) {
  TableFrames::Table table;
  table.rest = to_text({{"node", node_row(node_.info())}});
  for (const ExecutorInfo& executor : node_.executors())
    table.rows.emplace(executor.config.name, model_event_row(executor, replicas_));
  const std::string changed = state_table_.change_to(std::move(table));
  if (!changed.empty()) made.state = keep(made, kStateTopic, {}, "delta", changed);
}

void Events::see_requests(const Wanted& wanted, Made& made) {
  std::erase_if(request_tables_,
                [&](const auto& table) { return !wanted.audiences.contains(table.first); });
  std::erase_if(table_begins_,
                [&](const auto& table) { return !wanted.audiences.contains(table.first); });
  if (wanted.audiences.empty()) {
    submitted_ms_.clear();
    return;
  }
  const std::int64_t now = unix_ms();
  std::map<std::string, TableFrames::Table> tables;
  std::map<std::string, std::int64_t> submitted_ms;
  const std::vector<RequestInfo> requests = node_.requests();
  const std::vector<ExecutorInfo> executors =
      requests.empty() ? std::vector<ExecutorInfo>() : node_.executors();
  const WhyWaits waits(requests, executors, node_.policy());
  const Instant looked = clock_.now();
  places_.look(
      requests, [&](RequestId id) { return node_.place(id); }, looked);
  for (const RequestInfo& request : requests) {
    const std::string id = std::to_string(request.id.value);
    const auto known = submitted_ms_.find(id);
    const std::int64_t submitted = known != submitted_ms_.end()
                                       ? known->second
                                       : now - std::llround(request.age_seconds * 1000);
    submitted_ms.emplace(id, submitted);
    Json row = request_row(request);
    row["submitted_ms"] = submitted;
    if (auto why = waits.of(request)) row["why"] = whys_.shown(id, std::move(*why), looked);
    places_.add_to(row, request);
    const auto show_to = [&](const std::string& audience) {
      if (wanted.audiences.contains(audience)) tables[audience].rows.emplace(id, row);
    };
    show_to(std::string(kAll));
    show_to("=" + request.tenant);
  }
  whys_.forget_others();
  submitted_ms_ = std::move(submitted_ms);
  for (const auto& [audience, snapshot] : wanted.audiences) {
    table_begins_.try_emplace(audience, frame_);
    TableFrames& frames = request_tables_.try_emplace(audience, "requests", "id").first->second;
    const std::string changed = frames.change_to(std::move(tables[audience]));
    if (!changed.empty())
      made.requests[audience] = keep(made, kRequestsTopic, audience, "delta", changed);
  }
}

}  // namespace choir::serve
