// The turns of a conversation: one at a time, each from what the one before has left.
#include <algorithm>

#include "base/caught.h"
#include "base/log.h"
#include "base/scope_end.h"
#include "base/utf8.h"
#include "context/conversations.h"

namespace choir {
Error Conversations::was_deleted(const std::string& id) {
  return {Code::kCancelled, "conversation '" + id + "' was deleted"};
}

Result<Submission> Conversations::say(Runtime& runtime, const std::string& id, Turn turn,
                                      Callbacks callbacks) {
  const TalkPtr talk = CHOIR_TRY(find(turn.request.executor, id));
  CHOIR_CHECK_OK(has_room(talk->executor, talk->folder != nullptr));
  CHOIR_CHECK_OK(validate(turn.request));
  if (first_invalid_utf8(turn.system))
    return fail(Code::kInvalidArgument, "the system message is not valid UTF-8");
  const bool maintain = CHOIR_TRY(with_record(talk, [&](Talk::State& s) -> Result<bool> {
    s.runtime = runtime.weak_from_this();
    s.used = clock_.now();
    return s.record->maintain;
  }));
  if (!maintain) return say_alone(runtime, talk, std::move(turn), std::move(callbacks));
  const auto pending = std::make_shared<Pending>();
  pending->turn = std::move(turn);
  const bool first = talk->state.with([&](Talk::State& s) {
    if (s.busy) return false;
    s.busy = true;
    s.running = pending;
    pending->state = Pending::State::kRunning;
    return true;
  });
  return first ? say_first(runtime, talk, pending, std::move(callbacks))
               : say_later(runtime, talk, pending, std::move(callbacks));
}

// Always the history as it was given: no turn waits for another.
Result<Submission> Conversations::say_alone(Runtime& runtime, const TalkPtr& talk, Turn turn,
                                            Callbacks callbacks) {
  const Request request = turn.request;
  const Opener open = [this, talk, turn = std::move(turn)](const Executor& e) -> Result<Opening> {
    const ConversationRecord record = CHOIR_TRY(record_for(talk, turn));
    return Opening{CHOIR_TRY(next_prompt_of(record, turn, e)).tokens, {}};
  };
  return enqueue(runtime, request, std::move(callbacks), {}, open);
}

Result<Submission> Conversations::say_first(Runtime& runtime, const TalkPtr& talk,
                                            const std::shared_ptr<Pending>& pending,
                                            Callbacks callbacks) {
  ScopeEnd pass_on([&] { next(talk); });
  auto submission =
      CHOIR_TRY(enqueue(runtime, pending->turn.request, std::move(callbacks),
                        {.key = talk->key, .kv = {}, .before_end = before_end(talk, pending)},
                        opener(talk, pending)));
  pass_on.release();  // its end will
  const bool erased = talk->state.with([&](const Talk::State& s) {
    pending->id = submission.id;
    return s.phase == Talk::Phase::kGone && !pending->opened;
  });
  if (erased) runtime.refuse(submission.id, was_deleted(talk->id));
  return submission;
}

Result<Submission> Conversations::say_later(Runtime& runtime, const TalkPtr& talk,
                                            const std::shared_ptr<Pending>& pending,
                                            Callbacks callbacks) {
  auto prepared = CHOIR_TRY(runtime.prepare(pending->turn.request, Runtime::Prompt::kLater));
  auto submission = CHOIR_TRY(
      runtime.enqueue(std::move(prepared), std::move(callbacks),
                      {.key = talk->key, .kv = {}, .before_end = before_end(talk, pending)},
                      {.open = {}, .awaited = true}));
  enum class Now : std::uint8_t { kOver, kWaits, kBegins, kErased };
  const Now now = talk->state.with([&](Talk::State& s) {
    pending->id = submission.id;
    if (pending->state == Pending::State::kDone) return Now::kOver;  // cancelled in the meantime
    if (s.phase == Talk::Phase::kGone) return Now::kErased;
    if (s.busy) {
      s.waiting.push_back(pending);
      return Now::kWaits;
    }
    s.busy = true;
    s.running = pending;
    pending->state = Pending::State::kRunning;
    return Now::kBegins;
  });
  if (now == Now::kBegins) runtime.open(submission.id, opener(talk, pending));
  if (now == Now::kErased) runtime.refuse(submission.id, was_deleted(talk->id));
  return submission;
}

Result<Submission> Conversations::enqueue(Runtime& runtime, const Request& request,
                                          Callbacks callbacks, Continuation continuation,
                                          const Opener& open) {
  Request turn = request;
  auto when = Runtime::Prompt::kLater;
  if (const auto executor = runtime.loaded(request.executor)) {
    Opening opening = CHOIR_TRY(open(*executor));
    turn.text.clear();
    turn.tokens = std::move(opening.tokens);
    continuation.kv = std::move(opening.kv);
    when = Runtime::Prompt::kNow;
  }
  auto prepared = CHOIR_TRY(runtime.prepare(std::move(turn), when));
  return runtime.enqueue(std::move(prepared), std::move(callbacks), std::move(continuation),
                         {.open = open});
}

Result<ConversationRecord> Conversations::record_for(const TalkPtr& talk, const Turn& turn) const {
  auto record = CHOIR_TRY(with_record(
      talk, [](const Talk::State& s) -> Result<ConversationRecord> { return *s.record; }));
  if (!turn.system.empty()) record.system = turn.system;
  return record;
}

Result<NextPrompt> Conversations::next_prompt_of(const ConversationRecord& record, const Turn& turn,
                                                 const Executor& executor) {
  PromptRules rules{.tokens_max = executor.sequence_tokens_max(),
                    .answer_tokens = turn.request.max_tokens,
                    .raw = turn.raw,
                    .contents = contents_of(turn.request)};
  if (record.tokens_max > 0) rules.tokens_max = std::min(rules.tokens_max, record.tokens_max);
  return next_prompt(executor.model(), record, turn.request.text, rules);
}

Result<Opening> Conversations::open(const TalkPtr& talk, const Turn& turn,
                                    const Executor& executor) {
  const ConversationRecord record = CHOIR_TRY(record_for(talk, turn));
  NextPrompt prompt = CHOIR_TRY(next_prompt_of(record, turn, executor));
  Opening opening{.tokens = prompt.tokens, .kv = {}};
  if (!record.tokens.empty() && !executor.kept().holds(talk->key))
    opening.kv = talk->folder ? read_kv(*talk, executor.model(), executor.config().kv_type)
                              : take_aside(*talk);
  talk->state.with([&](Talk::State& s) {
    s.prompt = std::move(prompt);
    s.model = executor.shared_model();
  });
  return opening;
}

// Whether an erase is before it or behind it is decided under the lock: behind, the turn goes on.
Opener Conversations::opener(const TalkPtr& talk, const std::shared_ptr<Pending>& pending) {
  return [this, talk, pending](const Executor& executor) -> Result<Opening> {
    const bool erased = talk->state.with([&](const Talk::State& s) {
      if (s.phase == Talk::Phase::kGone && !pending->opened) return true;
      pending->opened = true;
      return false;
    });
    if (erased) return tl::unexpected(was_deleted(talk->id));
    return open(talk, pending->turn, executor);
  };
}

BeforeEnd Conversations::before_end(const TalkPtr& talk, const std::shared_ptr<Pending>& pending) {
  return [this, talk, pending](const std::shared_ptr<const Completion>& completion,
                               std::function<void()> tell) {
    auto work = [this, talk, pending, completion, tell = std::move(tell)] {
      const ScopeEnd told(tell);
      ended(talk, pending, *completion);
    };
    (void)workers_->post(Workers::kNoKey, std::move(work));
  };
}

void Conversations::ended(const TalkPtr& talk, const std::shared_ptr<Pending>& pending,
                          const Completion& completion) {
  const auto was = talk->state.with([&](Talk::State& s) {
    std::erase(s.waiting, pending);
    return std::exchange(pending->state, Pending::State::kDone);
  });
  if (was != Pending::State::kRunning) return;
  const ScopeEnd pass_on([&] { next(talk); });
  if (completion.finish == Finish::kStop || completion.finish == Finish::kLength) {
    const Status stored = caught([&] { return add_to_history(talk, pending->turn, completion); });
    if (!stored)
      log(LogLevel::kError,
          "conversation '" + talk->id + "' could not be stored: " + stored.error().message);
  }
  count_history(talk);
  const bool known = table_.with([&](Table& t) {
    if (!t.by_key.contains(talk->key)) return false;
    if (talk->folder) t.unwritten.emplace(talk->key, talk);
    return true;
  });
  if (known) return;
  // Erased while it ran: its executor has just kept its KV state.
  if (const auto runtime = talk->state.with([](const Talk::State& s) { return s.runtime.lock(); }))
    runtime->kept().forget(talk->executor, talk->key);
}

Status Conversations::add_to_history(const TalkPtr& talk, const Turn& turn,
                                     const Completion& completion) {
  return talk->stored_record.with([&](const Talk::OnDisk& disk) -> Status {
    if (disk.erased) return {};
    const auto record = talk->state.with([&](Talk::State& s) -> std::optional<ConversationRecord> {
      if (s.phase != Talk::Phase::kHere || !s.record) return std::nullopt;
      if (!turn.system.empty()) s.record->system = turn.system;
      add_turn(*s.model, *s.record, std::move(s.prompt), completion.text, completion.tokens);
      s.used = clock_.now();
      s.record->last_used_ms = turn.now_ms;
      if (!talk->folder) return std::nullopt;
      s.stored = false;
      return s.record;
    });
    if (!record) return {};
    CHOIR_CHECK_OK(talk->folder->put(*record));
    talk->state.with([](Talk::State& s) { s.stored = true; });
    return {};
  });
}

void Conversations::next(const TalkPtr& talk) {
  std::shared_ptr<const Model> model;  // one that leaves memory is not kept here
  std::shared_ptr<Runtime> runtime;
  const auto pending = talk->state.with([&](Talk::State& s) -> std::shared_ptr<Pending> {
    model.swap(s.model);
    s.running = nullptr;
    s.busy = !s.waiting.empty();
    if (!s.busy) return nullptr;
    s.running = std::move(s.waiting.front());
    s.waiting.pop_front();
    s.running->state = Pending::State::kRunning;
    runtime = s.runtime.lock();
    return s.running;
  });
  if (pending && runtime) runtime->open(pending->id, opener(talk, pending));
}

}  // namespace choir
