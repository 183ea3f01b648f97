// The turns of a conversation: one at a time, each from what the one before has left.
#include <algorithm>

#include "base/caught.h"
#include "base/log.h"
#include "base/scope_end.h"
#include "base/utf8.h"
#include "context/conversations.h"

namespace choir {

Result<Submission> Conversations::say(Runtime& runtime, const std::string& id, Turn turn,
                                      Callbacks callbacks) {
  const TalkPtr talk = CHOIR_TRY(find(turn.request.executor, id));
  CHOIR_CHECK_OK(has_room(talk->executor, talk->folder != nullptr));
  CHOIR_CHECK_OK(validate(turn.request));
  if (first_invalid_utf8(turn.system))
    return fail(Code::kInvalidArgument, "the system message is not valid UTF-8");
  auto pending = std::make_shared<Pending>();
  pending->turn = std::move(turn);
  const bool maintain = CHOIR_TRY(with_record(talk, [&](Talk::State& s) -> Result<bool> {
    s.runtime = runtime.weak_from_this();
    s.used = clock_.now();
    return s.record->maintain;
  }));
  if (!maintain) {  // always the history as it was given: no turn waits for another
    auto prepared = CHOIR_TRY(prepare(talk, pending->turn, runtime));
    Request request = pending->turn.request;
    request.text.clear();
    request.tokens = std::move(prepared.prompt.tokens);
    return runtime.submit(request, std::move(callbacks));
  }
  const bool first = talk->state.with([&](Talk::State& s) {
    if (s.busy) return false;
    s.busy = true;
    pending->state = Pending::State::kRunning;
    return true;
  });
  if (first) return say_first(runtime, talk, pending, std::move(callbacks));

  Continuation continuation{.key = talk->key, .kv = {}, .awaited = true};
  continuation.before_end = before_end(talk, pending);
  auto submission = CHOIR_TRY(
      runtime.submit(pending->turn.request, std::move(callbacks), std::move(continuation)));
  const bool now = talk->state.with([&](Talk::State& s) {
    pending->id = submission.id;
    if (pending->state == Pending::State::kDone) return false;  // cancelled in the meantime
    if (s.busy) {
      s.waiting.push_back(pending);
      return false;
    }
    s.busy = true;
    pending->state = Pending::State::kRunning;
    return true;
  });
  if (now) begin(talk, pending, runtime);
  return submission;
}

Result<Submission> Conversations::say_first(Runtime& runtime, const TalkPtr& talk,
                                            const std::shared_ptr<Pending>& pending,
                                            Callbacks callbacks) {
  ScopeEnd pass_on([&] { next(talk); });
  Opening opening = CHOIR_TRY(open(talk, pending->turn, runtime));
  Request request = pending->turn.request;
  request.text.clear();
  request.tokens = std::move(opening.tokens);
  Continuation continuation{.key = talk->key, .kv = std::move(opening.kv)};
  continuation.before_end = before_end(talk, pending);
  auto submission =
      CHOIR_TRY(runtime.submit(request, std::move(callbacks), std::move(continuation)));
  pass_on.release();  // its end will
  return submission;
}

Result<Conversations::Prepared> Conversations::prepare(const TalkPtr& talk, const Turn& turn,
                                                       Runtime& runtime) {
  const auto executor = CHOIR_TRY(runtime.find(turn.request.executor));
  ConversationRecord record = CHOIR_TRY(with_record(
      talk, [](const Talk::State& s) -> Result<ConversationRecord> { return *s.record; }));
  if (!turn.system.empty()) record.system = turn.system;
  PromptRules rules{.tokens_max = executor->sequence_tokens_max(),
                    .answer_tokens = turn.request.max_tokens,
                    .raw = turn.raw,
                    .contents = contents_of(turn.request)};
  if (record.tokens_max > 0) rules.tokens_max = std::min(rules.tokens_max, record.tokens_max);
  Prepared prepared;
  prepared.model = executor->shared_model();
  prepared.prompt = CHOIR_TRY(next_prompt(executor->model(), record, turn.request.text, rules));
  if (record.tokens.empty() || !record.maintain || executor->kept().holds(talk->key))
    return prepared;
  prepared.kv = talk->folder ? read_kv(*talk, executor->model(), executor->config().kv_type)
                             : take_aside(*talk);
  return prepared;
}

Result<Conversations::Opening> Conversations::open(const TalkPtr& talk, const Turn& turn,
                                                   Runtime& runtime) {
  Prepared prepared = CHOIR_TRY(prepare(talk, turn, runtime));
  Opening opening{prepared.prompt.tokens, std::move(prepared.kv)};
  talk->state.with([&](Talk::State& s) {
    s.prompt = std::move(prepared.prompt);
    s.model = std::move(prepared.model);
  });
  return opening;
}

void Conversations::begin(const TalkPtr& talk, const std::shared_ptr<Pending>& pending,
                          Runtime& its_runtime) {
  std::shared_ptr<Runtime> runtime = its_runtime.shared_from_this();
  auto opening = caught([&] { return open(talk, pending->turn, *runtime); });
  while (!opening && opening.error().code == Code::kNotFound) {
    // The executor may just have moved: where it was it is not known any more.
    auto now = talk->state.with([](const Talk::State& s) { return s.runtime.lock(); });
    if (!now || now == runtime) break;
    runtime = std::move(now);
    opening = caught([&] { return open(talk, pending->turn, *runtime); });
  }
  if (opening)
    runtime->provide(pending->id, std::move(opening->tokens), std::move(opening->kv));
  else
    runtime->provide(pending->id, tl::unexpected(opening.error()), {});
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
    s.busy = !s.waiting.empty();
    if (!s.busy) return nullptr;
    auto front = std::move(s.waiting.front());
    s.waiting.pop_front();
    front->state = Pending::State::kRunning;
    runtime = s.runtime.lock();
    return front;
  });
  if (pending && runtime) begin(talk, pending, *runtime);
}

}  // namespace choir
