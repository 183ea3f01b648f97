// What an executor is asked to do between two passes.
#include <algorithm>
#include <utility>

#include "runtime/config_parts.h"
#include "runtime/executor.h"

namespace choir {

void Executor::update(const ExecutorConfig& config) {
  wake_all();
  batching_ = config.batching;
  prefix_cache_ = config.prefix_cache;
  if (!prefix_cache_) forget_cached();
  priority_ = config.priority;
  park_.most = config.park_bytes_max;
  config_.with([&](ExecutorConfig& c) { take_settings(c, config); });
}

void Executor::provide(RequestId request, Result<std::vector<TokenId>> tokens, KvState kv) {
  const Instant now = clock_.now();
  accept_mail(now);
  const auto found = std::ranges::find_if(
      live_, [&](const auto& l) { return l->request->id == request && !l->ended; });
  if (found == live_.end() || !(*found)->awaited) return;  // cancelled, or out of time
  LiveSequence& l = **found;
  const std::int32_t room = sequence_tokens_max();
  if (tokens && static_cast<std::int64_t>(tokens->size()) >= room)
    tokens = fail(Code::kTooLong,
                  "the conversation has " + std::to_string(tokens->size()) + " tokens, '" + name_ +
                      "' takes " + std::to_string(room - 1),
                  {Fact::of("n_prompt_tokens", tokens->size()), Fact::of("n_ctx", room)});
  if (!tokens) {
    finish(l, Finish::kFailed, tokens.error(), now);
    return;
  }
  l.value.tokens = std::move(*tokens);
  l.value.prompt_tokens = l.value.known_tokens();
  l.value.max_tokens = std::min(l.value.max_tokens, room - l.value.prompt_tokens);
  l.usage.prompt_tokens = l.value.prompt_tokens;
  l.awaited = false;
  l.request->progress.prompt_tokens.store(l.value.prompt_tokens);
  l.request->progress.max_tokens.store(l.value.max_tokens);
  l.request->awaited.store(false);
  l.last_progress = now;
  reuse(l, std::move(kv));
}

void Executor::open_gate(std::span<const RequestId> requests) {
  accept_mail(clock_.now());
  for (const auto& l : live_)
    if (std::ranges::find(requests, l->request->id) != requests.end()) {
      l->gated = false;
      l->request->awaited.store(false);
    }
}

Status Executor::swap_engine(std::unique_ptr<Engine>& engine, const ExecutorConfig& config) {
  accept_mail(clock_.now());
  const std::int32_t longest = longest_sequence(config, engine->config(), model_->info());
  for (const auto& l : live_)
    if (l->value.known_tokens() >= longest)
      return fail(Code::kInvalidArgument,
                  "a running sequence has " + std::to_string(l->value.known_tokens()) +
                      " tokens already, the new length is " + std::to_string(longest) +
                      "; cancel it or let it end first");
  for (const auto& l : live_) park(*l, Budget::kIgnore);
  kept_.park_all(*engine_, park_);
  forget_cached();
  std::swap(engine, engine_);
  bytes_.with([&](ExecutorBytes& b) { b = engine_->sizes(); });
  sequence_tokens_max_.store(longest);
  config_.with([&](ExecutorConfig& c) { take_sizes(c, config); });
  return {};
}

Executor::Belongings Executor::extract() {
  accept_mail(clock_.now());
  wake_all();
  erase_finished();
  Belongings belongings;
  for (const auto& l : live_) {
    park(*l, Budget::kIgnore);
    park_.used -= l->kv.size();
    if (!l->kv.empty()) --parked_;
    leave_groups(*l);
  }
  for (const ConversationKey key : kept_.keys()) {
    if (auto state = kept_.copy(key, *engine_)) belongings.kept.emplace(key, std::move(*state));
    kept_.forget(key, *engine_, park_);
  }
  forget_cached();
  belongings.live = std::exchange(live_, {});
  find_awake();
  return belongings;
}

namespace {

bool may_move(const LiveSequence& l) {
  return !l.ended && !l.awaited && !l.gated && !l.begun && l.computed == 0 &&
         l.conversation == ConversationKey{};
}

}  // namespace

QueueView Executor::queue() {
  accept_mail(clock_.now());
  const auto queued = std::ranges::count_if(live_, [](const auto& l) { return may_move(*l); });
  return {.id = id_,
          .queued = static_cast<std::int32_t>(queued),
          .fixed = static_cast<std::int32_t>(static_cast<std::ptrdiff_t>(live_.size()) - queued)};
}

std::vector<std::unique_ptr<LiveSequence>> Executor::give_up(std::int32_t count,
                                                             std::int32_t longest) {
  std::vector<std::unique_ptr<LiveSequence>> given;
  wake_all();
  for (auto at = live_.rbegin(); at != live_.rend() && std::ssize(given) < count; ++at)
    if (may_move(**at) && (*at)->value.known_tokens() < longest) {
      leave_groups(**at);
      std::erase(awake_, at->get());
      given.push_back(std::move(*at));
    }
  std::erase(live_, nullptr);
  list_awake_ids();
  return given;
}

void Executor::adopt(Belongings belongings) {
  for (auto& [key, state] : belongings.kept) {
    park_.used += state.blob.size();
    kept_.keep(key, {.seq = {},
                     .tokens = std::move(state.tokens),
                     .blob = std::move(state.blob),
                     .used = clock_.now(),
                     .scope = scopes_.hold(state.reuse_scope)});
  }
  for (auto& l : belongings.live) {
    park_.used += l->kv.size();
    if (!l->kv.empty()) ++parked_;
    l->released = false;
    l->scope = scopes_.hold(l->value.reuse_scope);
    insert(std::move(l));
  }
}

}  // namespace choir
