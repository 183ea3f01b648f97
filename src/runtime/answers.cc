#include "runtime/answers.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "base/caught.h"
#include "engine/text.h"

namespace choir {
namespace {

// What a slow reader may leave by default, and the token that is one too many.
constexpr std::size_t kTextReserved = (64U << 10U) + 1024;

}  // namespace

void Answers::end_and_hold_back(Instant now) {
  if (end_the_ended(now) == Readers::kSome) hold_back_slow_readers(now);
}

Answers::Readers Answers::end_the_ended(Instant now) {
  Readers readers = Readers::kNone;
  for (LiveSequence* live : live_.awake()) {
    const RequestState& request = *live->request;
    if (request.streams) readers = Readers::kSome;
    if (request.cancelled.load(std::memory_order_relaxed))
      finish(*live, Finish::kCancelled, Error{Code::kCancelled, "the request was cancelled"}, now);
    else if (request.deadline != Instant{} && now >= request.deadline)
      finish(*live, Finish::kDeadline,
             Error{Code::kDeadlineExceeded,
                   "deadline exceeded: the request had " +
                       std::to_string((request.deadline - request.submitted) /
                                      std::chrono::milliseconds(1)) +
                       " ms and generated " + std::to_string(live->value.output_tokens()) + " of " +
                       std::to_string(live->value.max_tokens) + " tokens"},
             now);
  }
  live_.erase_ended();
  return readers;
}

void Answers::hold_back_slow_readers(Instant now) {
  const ExecutorRules& rules = facts_.rules();
  for (LiveSequence* live : live_.awake()) {
    if (!live->request->streams) continue;
    const auto [unread, behind] = live->request->look_at_reader(rules.stream_bytes_max);
    if (!behind) {
      live->held_back.reset();
    } else if (!live->held_back) {
      live->held_back = now;
      memory_.park(*live);
    } else if (now - *live->held_back >= rules.stalled) {
      finish(*live, Finish::kStalled,
             Error{Code::kCancelled, "the reader left " + std::to_string(unread) +
                                         " bytes unread for longer than stalled_ms allows"},
             now);
    }
  }
  live_.erase_ended();
}

void Answers::reserve(LiveSequence& l) {
  const auto tokens = static_cast<std::size_t>(l.value.max_tokens);
  const std::size_t all_tokens = static_cast<std::size_t>(l.value.prompt_tokens) + tokens;
  if (l.value.tokens.capacity() >= all_tokens) return;
  const std::size_t text_bytes = std::min(tokens * 5, kTextReserved);
  l.value.tokens.reserve(all_tokens);
  if (l.request->streams)
    l.request->reserve(text_bytes, std::min<std::size_t>(tokens, 64));
  else
    l.text.reserve(text_bytes);
}

void Answers::take_token(LiveSequence& l, TokenId token, Instant now) {
  Sequence& s = l.value;
  s.tokens.push_back(token);
  l.usage.output_tokens += 1;
  l.request->progress.output_tokens.store(l.usage.output_tokens, std::memory_order_relaxed);
  if (l.usage.output_tokens == 1) {
    l.usage.first_token_seconds = to_seconds(now - l.request->submitted);
    l.request->progress.first_token_seconds.store(l.usage.first_token_seconds,
                                                  std::memory_order_relaxed);
    if (s.priority <= Priority::kHigh) facts_.rules().node->urgent.count(l.first_token);
  }

  RequestState& request = *l.request;
  const bool of_end = std::ranges::binary_search(end_tokens_, token);
  const auto add = [&](std::string& text) {
    return of_end ? TextEnd::kOpen
                  : append_piece(s.carry, facts_.model().piece(token), s.stop, text);
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
  else if (s.output_tokens() >= s.max_tokens || s.known_tokens() >= facts_.sequence_tokens_max())
    finish(l, Finish::kLength, std::nullopt, now);
  else if (announce)
    notify_(l.request);
}

// Rows of a pass are independent: the others have their tokens, and these cells are not kept.
void Answers::fail_without_token(LiveSequence& l, Instant now) {
  finish(
      l, Finish::kFailed,
      Error{Code::kEngineFailed, "model '" + facts_.model().info().name + "' in '" + facts_.name() +
                                     "' computed logits that are not numbers for position " +
                                     std::to_string(l.value.known_tokens()) +
                                     " of the sequence; its file may be damaged"},
      now);
}

bool Answers::fail_all(const Error& why, Instant now) {
  bool all = true;
  for (const auto& l : live_.all()) {
    const Status told = caught([&] {
      if (l->request->finished()) {
        notify_(l->request);
      } else {
        l->ended = false;
        finish(*l, Finish::kFailed, why, now);
      }
    });
    all = all && told;
  }
  return all;
}

void Answers::fail(const std::shared_ptr<RequestState>& request, const Error& why, Instant now) {
  if (request->finished()) return;
  Completion completion;
  completion.id = request->id;
  completion.executor = facts_.name();
  completion.finish = Finish::kFailed;
  completion.error = why;
  completion.usage.held_seconds = request->progress.held_seconds.load();
  completion.usage.total_seconds = to_seconds(now - request->submitted);
  completion.usage.queue_seconds = completion.usage.total_seconds;
  facts_.counters().requests_done.fetch_add(1, std::memory_order_relaxed);
  facts_.counters().requests_failed.fetch_add(1, std::memory_order_relaxed);
  request->finish(std::move(completion));
  notify_(request);
}

void Answers::finish(LiveSequence& l, Finish finish, std::optional<Error> error, Instant now) {
  if (l.ended) return;
  live_.mark_ended(l);
  memory_.leave(l, finish, now);

  // What the text assembly held back is text after all, unless a stop string has ended it.
  const auto add = [&](std::string& text) { finish_text(l.value.carry, text); };
  if (l.request->streams)
    l.request->append_rest(add);
  else
    add(l.text);

  Completion completion;
  completion.id = l.value.request;
  completion.executor = facts_.name();
  completion.text = std::move(l.text);
  completion.tokens.assign(l.value.tokens.begin() + l.value.prompt_tokens, l.value.tokens.end());
  completion.finish = finish;
  completion.error = std::move(error);
  if (l.parked) l.end_parked(now);
  completion.usage = l.usage;
  completion.usage.held_seconds = l.request->progress.held_seconds.load();
  completion.usage.total_seconds = to_seconds(now - l.request->submitted);
  if (!l.begun) completion.usage.queue_seconds = completion.usage.total_seconds;
  ExecutorStats& stats = facts_.counters();
  stats.requests_done.fetch_add(1, std::memory_order_relaxed);
  if (completion.error) stats.requests_failed.fetch_add(1, std::memory_order_relaxed);
  l.request->finish(std::move(completion));
  notify_(l.request);
}

}  // namespace choir
