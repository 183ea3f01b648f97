// What a daemon tells `choir top`, and a view of it.
#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "top/view.h"

namespace choir::app::top {

using nlohmann::json;

inline const char* const kHello = R"({"epoch":"1","version":"0.1.0","tenant":"alice","scopes":[]})";

inline json model(const std::string& name, int output, int running = 0) {
  return {{"name", name},           {"state", "loaded"},      {"priority", "normal"},
          {"shares", 1.0},          {"pinned", name < "h"},   {"running", running},
          {"waiting", running / 2}, {"sequences_max", 8},     {"cells", 300},
          {"cached_cells", 100},    {"context_tokens", 1000}, {"weight_bytes", 270'000'000},
          {"kv_bytes", 30'000'000}, {"compute_bytes", 0},     {"output_tokens", output}};
}

inline json request(int id, const std::string& model, const std::string& state) {
  json row = {{"id", std::to_string(id)}, {"model", model},
              {"tenant", "alice"},        {"priority", "normal"},
              {"state", state},           {"waits_for", state == "waiting" ? "cells" : "nothing"},
              {"prompt_tokens", 40},      {"prompt_tokens_done", state == "decode" ? 40 : 0},
              {"output_tokens", id},      {"submitted_ms", 1'000'000 - 1000 * id}};
  if (state == "waiting")
    row.update(
        {{"why", {{"reason", "cells"}, {"text", "it needs 2,048 KV cells, and 310 are free"}}},
         {"ahead", 3},
         {"expected_seconds", 130.0}});
  return row;
}

inline std::string snapshot(const std::string& topic, const json& rows,
                            const json& rest = nullptr) {
  json frame = {{"topic", topic}, {"rows", rows}};
  if (!rest.is_null()) frame["rest"] = rest;
  return frame.dump();
}

inline State with(State state, std::initializer_list<std::pair<const char*, std::string>> events) {
  for (const auto& [name, data] : events) state = reduced(std::move(state), name, data);
  return state;
}

inline const json kNode = {{"node",
                            {{"cores", 2},
                             {"memory_bytes_max", 8'000'000'000},
                             {"memory_bytes_promised", 600'000'000},
                             {"draining", false}}}};

inline State two_models() {
  return with(
      {},
      {{"hello", kHello},
       {"snapshot",
        snapshot("state", {model("gemma3-270m", 100, 3), model("smollm2-135m", 500, 1)}, kNode)},
       {"snapshot", snapshot("requests", {request(1, "gemma3-270m", "decode"),
                                          request(2, "gemma3-270m", "waiting"),
                                          request(10, "smollm2-135m", "prefill")})}});
}

inline std::string turns(std::int64_t now) {
  json lane0 = {{"lane", 0}, {"threads", 1}, {"missing", 0}, {"blocks", json::array()}};
  json lane1 = {{"lane", 1}, {"threads", 1}, {"missing", 2}, {"blocks", json::array()}};
  for (std::int64_t at = now - 10'000'000; at < now; at += 1'000'000) {
    lane0["blocks"].push_back({at, 600'000, "gemma3-270m", 0, 4, "normal", 3});
    lane0["blocks"].push_back({at + 600'000, 300'000, "smollm2-135m", 32, 0, "normal", 1});
  }
  lane1["blocks"].push_back({now - 4'000'000, 3'000'000, "smollm2-135m", 0, 1, "normal", 9});
  return json({{"topic", "turns"}, {"now_us", now}, {"lanes", {lane0, lane1}}}).dump();
}

inline View busy() {
  View view;
  view.state = two_models();
  view.rates.look(view.state, 10);
  view.state = reduced(
      view.state, "delta",
      json({{"topic", "state"}, {"set", {model("gemma3-270m", 150, 3)}}, {"gone", json::array()}})
          .dump());
  view.state = reduced(view.state, "turns", turns(20'000'000));
  view.rates.look(view.state, 11);
  view.now_ms = 1'005'000;
  view.chosen.table = Table::kRequests;
  return view;
}

}  // namespace choir::app::top
