// The pictures of draw.h that are one line.
#include <nlohmann/json.hpp>

#include "choir/text.h"
#include "terminal.h"
#include "top/draw.h"

namespace choir::app::top {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr std::size_t kNameShown = 40;

OrderedJson or_null(std::optional<double> value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

OrderedJson lanes_of(const View& view) {
  OrderedJson lanes = OrderedJson::array();
  for (const auto& [index, lane] : view.state.lanes) {
    std::map<std::string, std::int64_t> times;
    const std::int64_t from = view.state.now_us - 10'000'000;
    for (const Block& block : lane.blocks) {
      const std::int64_t inside =
          std::min(block.begin + block.length, view.state.now_us) - std::max(block.begin, from);
      if (inside > 0) times[block.model] += inside;
    }
    OrderedJson models = OrderedJson::object();
    for (const auto& [name, time] : times) models[name] = static_cast<double>(time) / 1e7;
    lanes.push_back({{"lane", index},
                     {"threads", lane.threads},
                     {"missing", lane.missing},
                     {"share_of_10_s", std::move(models)}});
  }
  return lanes;
}

}  // namespace

std::string plain_line(const View& view) {
  const State& s = view.state;
  const auto speed = [](std::optional<double> rate) { return rate ? fixed(*rate, 1) : "-"; };
  std::int64_t running = 0;
  std::int64_t waiting = 0;
  std::string models;
  for (const auto& [name, m] : s.models) {
    running += m.running;
    waiting += m.waiting;
    models += " | " + printable_line(name, kNameShown) + " " + printable_line(m.state, kNameShown) +
              " " + (m.load_percent < 0 ? "" : std::to_string(m.load_percent) + " % ") +
              speed(view.rates.of(name)) + " tok/s " + std::to_string(m.running) + "+" +
              std::to_string(m.waiting);
  }
  std::string line =
      view.not_live.empty() ? "live" : "not live (" + printable_line(view.not_live, 200) + ")";
  return line + " " + speed(view.rates.total()) + " tok/s running " + std::to_string(running) +
         " waiting " + std::to_string(waiting) + models;
}

std::string json_line(const View& view) {
  const State& s = view.state;
  OrderedJson models = OrderedJson::array();
  for (const auto& [name, m] : s.models)
    models.push_back(
        {{"name", name},
         {"state", m.state},
         {"load_percent", m.load_percent < 0 ? OrderedJson(nullptr) : OrderedJson(m.load_percent)},
         {"priority", m.priority},
         {"pinned", m.pinned},
         {"running", m.running},
         {"waiting", m.waiting},
         {"output_tokens_per_second", or_null(view.rates.of(name))},
         {"output_tokens", m.output_tokens},
         {"cells", m.cells},
         {"cached_cells", m.cached_cells},
         {"context_tokens", m.context_tokens},
         {"bytes", m.bytes()}});
  OrderedJson requests = OrderedJson::array();
  for (const Request* r : requests_of(view)) {
    OrderedJson row = {{"id", r->id},
                       {"model", r->model},
                       {"tenant", r->tenant},
                       {"priority", r->priority},
                       {"state", r->state},
                       {"waits_for", r->waits_for},
                       {"prompt_tokens", r->prompt_tokens},
                       {"prompt_tokens_done", r->prompt_tokens_done},
                       {"output_tokens", r->output_tokens},
                       {"submitted_ms", r->submitted_ms}};
    if (!r->why.empty()) row["why"] = r->why;
    if (r->ahead >= 0) {
      row["ahead"] = r->ahead;
      row["expected_seconds"] =
          r->expected_seconds < 0 ? OrderedJson(nullptr) : OrderedJson(r->expected_seconds);
    }
    requests.push_back(std::move(row));
  }
  const OrderedJson line = {{"now_ms", view.now_ms},
                            {"live", view.not_live.empty()},
                            {"version", s.version},
                            {"output_tokens_per_second", or_null(view.rates.total())},
                            {"memory_bytes_promised", s.node.bytes_promised},
                            {"memory_bytes_max", s.node.bytes_max},
                            {"lanes", lanes_of(view)},
                            {"models", std::move(models)},
                            {"requests", std::move(requests)}};
  return line.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace choir::app::top
