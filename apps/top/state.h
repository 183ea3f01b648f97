// What a daemon has told in its events, as `choir top` knows it.
//
// Values and pure functions; any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace choir::app::top {

struct Model {
  std::string name, state, priority;
  double shares = 0;
  bool pinned = false;
  std::int64_t running = 0, waiting = 0, sequences_max = 0;
  std::int64_t cells = 0, cached_cells = 0, context_tokens = 0;
  std::int64_t weight_bytes = 0, kv_bytes = 0, compute_bytes = 0;
  std::int64_t load_percent = -1;  // of the weights that are read; -1: it is not being loaded
  std::int64_t prompt_tokens = 0, output_tokens = 0, reused_tokens = 0;  // since it was declared
  std::int64_t bytes() const { return weight_bytes + kv_bytes + compute_bytes; }
  bool operator==(const Model&) const = default;
};

struct Request {
  std::string id, model, tenant, priority, state, waits_for;
  std::string why;  // a sentence; empty: it does not wait, or the daemon does not say
  std::int64_t prompt_tokens = 0, prompt_tokens_done = 0, output_tokens = 0;
  std::int64_t submitted_ms = 0;  // since 1970, of the daemon's clock
  std::int64_t ahead =
      -1;  // requests that begin before it, rounded; -1: not known, or it has begun
  std::int64_t expected_seconds = -1;  // until it begins, rounded; -1: not known
  bool operator==(const Request&) const = default;
};

struct Node {
  std::int64_t cores = 0, bytes_max = 0, bytes_promised = 0;
  bool draining = false;
  bool operator==(const Node&) const = default;
};

// Turns of one model in a row, merged. Times in us since the daemon began.
struct Block {
  std::int64_t begin = 0, length = 0;
  std::string model;
  std::int64_t prompt_rows = 0, decode_rows = 0;
  bool operator==(const Block&) const = default;
};

struct Lane {
  std::int64_t threads = 0;
  std::int64_t missing = 0;    // turns that the daemon's ring has lost
  std::deque<Block> blocks{};  // by begin, of the last kKeptUs
  bool operator==(const Lane&) const = default;
};
inline constexpr std::int64_t kKeptUs = 15'000'000;

struct State {
  std::string epoch, version, tenant;  // of hello; the epoch is another one after a restart
  // Of the last frame; empty: of a snapshot not all has come, and nothing can be gone on behind.
  std::string last_id;
  bool knows_models = false, knows_requests = false;  // a snapshot has come since hello
  bool said_bye = false;
  std::map<std::string, Model> models{};
  std::map<std::string, Request> requests{};  // by id
  Node node{};
  std::map<std::int64_t, Lane> lanes{};  // empty: the daemon tells no turns
  std::int64_t now_us = 0;               // of the last frame of turns
  bool operator==(const State&) const = default;
  // What a new connection asks with, to get only what has been missed; empty: for all of it.
  std::string since() const;
};

// The state after an event of GET /choir/v1/events; `id` as it has it. What does not have the form
// of its event changes nothing; a delta before the snapshot of its table neither. After another
// hello the rows stay as they were until its snapshot comes.
State reduced(State state, std::string_view event, std::string_view data, std::string_view id = {});

}  // namespace choir::app::top
