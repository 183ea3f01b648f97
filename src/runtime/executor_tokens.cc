// The second half of a turn: from logits to tokens, text and ends.
#include <algorithm>

#include "engine/text.h"
#include "runtime/executor.h"

namespace choir {

void Executor::sample_rows(Pool& pool, Instant began) {
  rows_.clear();
  for (std::size_t i = 0; i < plan_.slices.size(); ++i)
    if (plan_.slices[i].sample) rows_.push_back({slice_live_[i], i, std::nullopt});
  if (rows_.empty()) return tell_step(began);
  sampler_scratch_.resize(
      std::max(sampler_scratch_.size(), static_cast<std::size_t>(pool.threads())));
  pool.for_each(static_cast<int>(rows_.size()), sample_row_);
  const Instant now = clock_.now();
  // Counted before any end is told: a caller that has its answer finds its tokens in the counts.
  const auto drawn =
      std::ranges::count_if(rows_, [](const Row& row) { return row.token.has_value(); });
  stats_->output_tokens.fetch_add(static_cast<std::uint64_t>(drawn), std::memory_order_relaxed);
  tell_step(began);
  for (const Row& row : rows_)
    if (row.token)
      take_token(*row.live, *row.token, now);
    else
      fail_without_token(*row.live, now);
}

// Rows of a pass are independent: the others have their tokens, and these cells are not kept.
void Executor::fail_without_token(LiveSequence& l, Instant now) {
  finish(l, Finish::kFailed,
         Error{Code::kEngineFailed, "model '" + model_->info().name + "' in '" + name_ +
                                        "' computed logits that are not numbers for position " +
                                        std::to_string(l.value.known_tokens()) +
                                        " of the sequence; its file may be damaged"},
         now);
}

void Executor::take_token(LiveSequence& l, TokenId token, Instant now) {
  Sequence& s = l.value;
  s.tokens.push_back(token);
  l.usage.output_tokens += 1;
  l.request->progress.output_tokens.store(l.usage.output_tokens, std::memory_order_relaxed);
  if (l.usage.output_tokens == 1) {
    l.usage.first_token_seconds = to_seconds(now - l.request->submitted);
    if (s.priority <= Priority::kHigh) rules_.node->urgent.count(l.first_token);
  }

  RequestState& request = *l.request;
  const bool of_end = std::ranges::binary_search(end_tokens_, token);
  const auto add = [&](std::string& text) {
    return of_end ? TextEnd::kOpen : append_piece(s.carry, model_->piece(token), s.stop, text);
  };
  bool announce = false;
  TextEnd text_end = TextEnd::kOpen;
  if (request.streams) {
    const auto appended = request.append(token, add);
    text_end = appended.end;
    announce = appended.announce;
    s.next_event += 1;
  } else {
    text_end = add(l.text);
  }
  if (of_end || text_end == TextEnd::kStopString)
    finish(l, Finish::kStop, std::nullopt, now);
  else if (s.output_tokens() >= s.max_tokens || s.known_tokens() >= sequence_tokens_max())
    finish(l, Finish::kLength, std::nullopt, now);
  else if (announce)
    notify_(l.request);
}

void Executor::finish(LiveSequence& l, Finish finish, std::optional<Error> error, Instant now) {
  if (l.ended) return;
  l.ended = true;
  ++to_erase_;
  leave_kv(l, finish, now);

  // What the text assembly held back is text after all, unless a stop string has ended it.
  const auto add = [&](std::string& text) { finish_text(l.value.carry, text); };
  if (l.request->streams)
    l.request->append_rest(add);
  else
    add(l.text);

  Completion completion;
  completion.id = l.value.request;
  completion.executor = name_;
  completion.text = std::move(l.text);
  if (!l.awaited)
    completion.tokens.assign(l.value.tokens.begin() + l.value.prompt_tokens, l.value.tokens.end());
  completion.finish = finish;
  completion.error = std::move(error);
  completion.usage = l.usage;
  completion.usage.total_seconds = to_seconds(now - l.request->submitted);
  stats_->requests_done.fetch_add(1, std::memory_order_relaxed);
  if (completion.error) stats_->requests_failed.fetch_add(1, std::memory_order_relaxed);
  l.request->finish(std::move(completion));
  notify_(l.request);
}

void Executor::erase_finished() {
  if (to_erase_ == 0) return;
  for (const auto& l : live_)
    if (l->ended) leave_groups(*l);
  std::erase_if(awake_, [](const LiveSequence* l) { return l->ended; });
  std::erase_if(live_, [](const auto& l) { return l->ended; });
  to_erase_ = 0;
  some_ended_ = true;
  list_awake_ids();
}

}  // namespace choir
