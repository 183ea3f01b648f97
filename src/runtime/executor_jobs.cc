// What an executor is asked to do between two passes.
#include <algorithm>
#include <utility>

#include "runtime/executor.h"

namespace choir {

void Executor::update(const ExecutorConfig& config) {
  live_.wake_all();
  take_settings_of(config);
  memory_.set_park_bytes_max(config.park_bytes_max);
  if (!config.prefix_cache) memory_.forget_cached();
}

void Executor::open_gate(std::span<const RequestId> requests) {
  accept_mail(clock().now());
  for (const auto& l : live_.all())
    if (std::ranges::find(requests, l->request->id) != requests.end()) {
      l->gated = false;
      l->request->awaited.store(false);
    }
  embeddings_.open_gate(requests);
}

Status Executor::swap_engine(std::unique_ptr<Engine>& engine, const ExecutorConfig& config) {
  accept_mail(clock().now());
  const std::int32_t longest = longest_sequence(config, engine->config(), model().info());
  for (const auto& l : live_.all())
    if (l->value.known_tokens() >= longest)
      return fail(Code::kInvalidArgument,
                  "a running sequence has " + std::to_string(l->value.known_tokens()) +
                      " tokens already, the new length is " + std::to_string(longest) +
                      "; cancel it or let it end first");
  if (const auto text = embeddings_.longest(); std::cmp_greater(text, longest))
    return fail(Code::kInvalidArgument,
                "a text to embed has " + std::to_string(text) + " tokens, the new length is " +
                    std::to_string(longest) + "; cancel it or let it end first");
  memory_.swap_engine(engine, live_.all());
  take_sizes_of(config, memory_.engine());
  return {};
}

Executor::Belongings Executor::extract() {
  accept_mail(clock().now());
  live_.erase_ended();
  for (const auto& l : live_.all()) memory_.hand_over(*l);
  return {.live = live_.take_all(),
          .kept = memory_.hand_over_kept(),
          .embeddings = embeddings_.take_all()};
}

void Executor::adopt(Belongings belongings) {
  memory_.take_over_kept(std::move(belongings.kept));
  for (auto& l : belongings.live) {
    memory_.take_over(*l);
    l->released = false;
    insert(std::move(l));
  }
  embeddings_.adopt(std::move(belongings.embeddings));
}

void Executor::look_at_cells() {
  CellLook look{.at = clock().now(), .holders = {}, .runs = {}};
  memory_.show(look, live_.all());
  cell_looks_.made(std::move(look));
}

namespace {

bool may_move(const LiveSequence& l) {
  return !l.ended && !l.gated && !l.begun && l.computed == 0 && l.conversation == ConversationKey{};
}

}  // namespace

QueueView Executor::queue() {
  accept_mail(clock().now());
  const auto queued =
      std::ranges::count_if(live_.all(), [](const auto& l) { return may_move(*l); });
  return {.id = id(),
          .queued = static_cast<std::int32_t>(queued),
          .fixed = static_cast<std::int32_t>(std::ssize(live_.all()) - queued)};
}

std::vector<std::unique_ptr<LiveSequence>> Executor::give_up(std::int32_t count,
                                                             std::int32_t longest) {
  return live_.take_newest(count, [&](const LiveSequence& l) {
    return may_move(l) && l.value.known_tokens() < longest;
  });
}

}  // namespace choir
