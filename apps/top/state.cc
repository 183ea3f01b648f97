#include "top/state.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

namespace choir::app::top {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kLanesMax = 1024;

const Json& member(const Json& object, const char* name) {
  static const Json kNone;
  if (!object.is_object()) return kNone;
  const auto found = object.find(name);
  return found == object.end() ? kNone : *found;
}

std::string text(const Json& object, const char* name) {
  const Json& value = member(object, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::int64_t whole_number(const Json& value) {
  constexpr std::int64_t kMost = std::int64_t{1} << 53;
  if (value.is_number_unsigned())
    return static_cast<std::int64_t>(
        std::min<std::uint64_t>(value.get<std::uint64_t>(), static_cast<std::uint64_t>(kMost)));
  if (!value.is_number_integer()) return 0;
  return std::clamp(value.get<std::int64_t>(), -kMost, kMost);
}

std::int64_t number(const Json& object, const char* name) {
  return whole_number(member(object, name));
}

// That a daemon takes back.
bool is_number(std::string_view id) {
  return !id.empty() && id.size() <= 18 &&
         id.find_first_not_of("0123456789") == std::string_view::npos;
}

bool yes(const Json& object, const char* name) {
  const Json& value = member(object, name);
  return value.is_boolean() && value.get<bool>();
}

// ---- rows ---------------------------------------------------------------------------------------

// Of a part from 0 to 1 that may be missing, or null.
std::int64_t percent_or_none(const Json& object, const char* name) {
  const Json& value = member(object, name);
  if (!value.is_number()) return -1;
  return static_cast<std::int64_t>(std::clamp(value.get<double>(), 0.0, 1.0) * 100);
}

// Each of these sets what `row` has; members that it lacks stay as they are.
void take_text(const Json& row, const char* name, std::string& to) {
  if (row.contains(name)) to = text(row, name);
}
void take_number(const Json& row, const char* name, std::int64_t& to) {
  if (row.contains(name)) to = number(row, name);
}

void take_row(Model& model, const Json& row) {
  take_text(row, "name", model.name);
  take_text(row, "state", model.state);
  take_text(row, "priority", model.priority);
  const Json& shares = member(row, "shares");
  if (shares.is_number()) model.shares = shares.get<double>();
  if (row.contains("pinned")) model.pinned = yes(row, "pinned");
  if (row.contains("load_progress")) model.load_percent = percent_or_none(row, "load_progress");
  take_number(row, "running", model.running);
  take_number(row, "waiting", model.waiting);
  take_number(row, "sequences_max", model.sequences_max);
  take_number(row, "cells", model.cells);
  take_number(row, "cached_cells", model.cached_cells);
  take_number(row, "context_tokens", model.context_tokens);
  take_number(row, "weight_bytes", model.weight_bytes);
  take_number(row, "kv_bytes", model.kv_bytes);
  take_number(row, "compute_bytes", model.compute_bytes);
  take_number(row, "prompt_tokens", model.prompt_tokens);
  take_number(row, "output_tokens", model.output_tokens);
  take_number(row, "reused_tokens", model.reused_tokens);
}

// Of a figure that may be missing, or null.
std::int64_t number_or_none(const Json& object, const char* name) {
  const Json& value = member(object, name);
  if (!value.is_number()) return -1;
  return static_cast<std::int64_t>(std::clamp(value.get<double>(), -1.0, 1e9));
}

void take_row(Request& request, const Json& row) {
  take_text(row, "id", request.id);
  take_text(row, "model", request.model);
  take_text(row, "tenant", request.tenant);
  take_text(row, "priority", request.priority);
  take_text(row, "state", request.state);
  take_text(row, "waits_for", request.waits_for);
  if (row.contains("why")) request.why = text(member(row, "why"), "text");
  take_number(row, "prompt_tokens", request.prompt_tokens);
  take_number(row, "prompt_tokens_done", request.prompt_tokens_done);
  take_number(row, "output_tokens", request.output_tokens);
  take_number(row, "submitted_ms", request.submitted_ms);
  if (row.contains("ahead")) request.ahead = number_or_none(row, "ahead");
  if (row.contains("expected_seconds"))
    request.expected_seconds = number_or_none(row, "expected_seconds");
}

Node node_of(const Json& row) {
  return {.cores = number(row, "cores"),
          .bytes_max = number(row, "memory_bytes_max"),
          .bytes_promised = number(row, "memory_bytes_promised"),
          .draining = yes(row, "draining")};
}

// ---- tables -------------------------------------------------------------------------------------

// Sets, changes and removes the rows that a frame names; a snapshot replaces all of them.
template <class Row>
void change(std::map<std::string, Row>& table, const Json& frame, bool whole,
            std::string Row::*key) {
  if (whole) table.clear();
  for (const Json& told : member(frame, whole ? "rows" : "set")) {
    Row row;
    take_row(row, told);
    std::string name = row.*key;
    table.insert_or_assign(std::move(name), std::move(row));
  }
  if (whole) return;
  for (const Json& told : member(frame, "changed")) {
    Row named;
    take_row(named, told);
    const auto known = table.find(named.*key);
    if (known != table.end()) take_row(known->second, told);
  }
  for (const Json& gone : member(frame, "gone"))
    if (gone.is_string()) table.erase(gone.get<std::string>());
}

void take_table(State& state, const Json& frame, bool whole) {
  if (!member(frame, whole ? "rows" : "set").is_array()) return;
  const std::string topic = text(frame, "topic");
  if (topic == "state" && (whole || state.knows_models)) {
    state.knows_models = true;
    change(state.models, frame, whole, &Model::name);
    const Json& node = member(member(frame, "rest"), "node");
    if (node.is_object()) state.node = node_of(node);
  } else if (topic == "requests" && (whole || state.knows_requests)) {
    state.knows_requests = true;
    change(state.requests, frame, whole, &Request::id);
  }
}

void take_hello(State& state, const Json& hello) {
  const std::string epoch = text(hello, "epoch");
  if (epoch != state.epoch) {  // times of another daemon
    state.lanes.clear();
    state.now_us = 0;
  }
  const bool resumed = yes(hello, "resumed") && epoch == state.epoch;
  if (!resumed) state.last_id.clear();
  state.epoch = epoch;
  state.version = text(hello, "version");
  state.tenant = text(hello, "tenant");
  state.said_bye = false;
  if (!resumed) state.knows_models = state.knows_requests = false;
}

// ---- turns --------------------------------------------------------------------------------------

// What a frame tells again, after a reconnection, is there already.
void add_block(Lane& lane, const Json& told) {
  if (!told.is_array() || told.size() < 5 || !told[2].is_string()) return;
  Block block{.begin = whole_number(told[0]),
              .length = std::max<std::int64_t>(whole_number(told[1]), 0),
              .model = told[2].get<std::string>(),
              .prompt_rows = whole_number(told[3]),
              .decode_rows = whole_number(told[4])};
  const bool known =
      !lane.blocks.empty() && block.begin < lane.blocks.back().begin + lane.blocks.back().length;
  if (!known) lane.blocks.push_back(std::move(block));
}

void take_turns(State& state, const Json& frame) {
  const Json& lanes = member(frame, "lanes");
  if (!lanes.is_array()) return;
  state.now_us = number(frame, "now_us");
  for (const Json& told : lanes) {
    const std::int64_t index = number(told, "lane");
    if (index < 0 || index >= kLanesMax) continue;
    Lane& lane = state.lanes[index];
    lane.threads = number(told, "threads");
    lane.missing += number(told, "missing");
    for (const Json& block : member(told, "blocks")) add_block(lane, block);
  }
  for (auto& [index, lane] : state.lanes)
    while (!lane.blocks.empty() &&
           lane.blocks.front().begin + lane.blocks.front().length <= state.now_us - kKeptUs)
      lane.blocks.pop_front();
}

}  // namespace

std::string State::since() const {
  return last_id.empty() ? std::string() : "&since=" + epoch + "-" + last_id;
}

State reduced(State state, std::string_view event, std::string_view data, std::string_view id) {
  const Json frame = Json::parse(data, nullptr, false);
  if (!frame.is_object()) return state;
  if (event == "hello")
    take_hello(state, frame);
  else if (event == "snapshot" || event == "delta")
    take_table(state, frame, event == "snapshot");
  else if (event == "turns")
    take_turns(state, frame);
  else if (event == "bye")
    state.said_bye = true;
  if (is_number(id) && id != "0") state.last_id = id;
  return state;
}

}  // namespace choir::app::top
