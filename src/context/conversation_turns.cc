// The turns of a conversation: one at a time, each from what the one before has left.
#include <algorithm>

#include "base/caught.h"
#include "base/log.h"
#include "base/scope_end.h"
#include "base/utf8.h"
#include "context/conversations.h"
#include "context/snapshot.h"

namespace choir {

Result<Submission> Conversations::say(Runtime& runtime, const std::string& id, Turn turn,
                                      Callbacks callbacks) {
  const auto talk = CHOIR_TRY(find(turn.request.executor, id));
  CHOIR_CHECK_OK(validate(turn.request));
  if (first_invalid_utf8(turn.system))
    return fail(Code::kInvalidArgument, "the system message is not valid UTF-8");
  auto pending = std::make_shared<Pending>();
  pending->turn = std::move(turn);
  const bool maintain = table_.with([&](Table&) {
    talk->runtime = runtime.weak_from_this();
    talk->used = clock_.now();
    return talk->record.maintain;
  });
  if (!maintain) {  // always the history as it was given: no turn waits for another
    auto prepared = CHOIR_TRY(prepare(talk, pending->turn, runtime));
    Request request = pending->turn.request;
    request.text.clear();
    request.tokens = std::move(prepared.prompt.tokens);
    return runtime.submit(request, std::move(callbacks));
  }
  callbacks.on_done = [this, talk, pending,
                       told = std::move(callbacks.on_done)](const Completion& completion) {
    ended(talk, pending, completion);
    if (told) told(completion);
  };
  const bool first = table_.with([&](Table&) {
    if (talk->busy) return false;
    talk->busy = true;
    pending->state = Pending::State::kRunning;
    return true;
  });
  if (first) {
    auto submission = caught([&]() -> Result<Submission> {
      Opening opening = CHOIR_TRY(open(talk, pending->turn, runtime));
      Request request = pending->turn.request;
      request.text.clear();
      request.tokens = std::move(opening.tokens);
      return runtime.submit(request, std::move(callbacks),
                            {.key = talk->key, .kv = std::move(opening.kv)});
    });
    if (!submission) next(talk);
    return submission;
  }

  auto submission = CHOIR_TRY(runtime.submit(pending->turn.request, std::move(callbacks),
                                             {.key = talk->key, .kv = {}, .awaited = true}));
  const bool now = table_.with([&](Table&) {
    pending->id = submission.id;
    if (pending->state == Pending::State::kDone) return false;  // cancelled in the meantime
    if (talk->busy) {
      talk->waiting.push_back(pending);
      return false;
    }
    talk->busy = true;
    pending->state = Pending::State::kRunning;
    return true;
  });
  if (now) begin(talk, pending, runtime);
  return submission;
}

Result<Conversations::Prepared> Conversations::prepare(const std::shared_ptr<Talk>& talk,
                                                       const Turn& turn, Runtime& runtime) {
  const auto executor = CHOIR_TRY(runtime.find(turn.request.executor));
  ConversationRecord record = table_.with([&](const Table&) { return talk->record; });
  if (!turn.system.empty()) record.system = turn.system;
  PromptRules rules{.tokens_max = executor->sequence_tokens_max(),
                    .answer_tokens = turn.request.max_tokens,
                    .raw = turn.raw};
  if (record.tokens_max > 0) rules.tokens_max = std::min(rules.tokens_max, record.tokens_max);
  Prepared prepared;
  prepared.model = executor->shared_model();
  prepared.prompt = CHOIR_TRY(next_prompt(executor->model(), record, turn.request.text, rules));
  if (record.tokens.empty() || !record.maintain || executor->holds(talk->key)) return prepared;
  prepared.kv = table_.with([&](Table& t) {
    t.aside_bytes -= talk->aside.blob.size();
    return std::exchange(talk->aside, {});
  });
  if (!prepared.kv.blob.empty() || !talk->store) return prepared;
  const std::string path = snapshot_path(talk->folder, record.executor, record.id);
  auto snapshot = read_snapshot(path);
  const KvType kv_type = executor->config().kv_type;
  if (snapshot && snapshot->model_fingerprint == executor->model().fingerprint() &&
      snapshot->kv_type == to_string(kv_type)) {
    prepared.kv = {std::move(snapshot->kv), std::move(snapshot->tokens), kv_type};
  } else if (snapshot || snapshot.error().code != Code::kNotFound) {
    log(LogLevel::kWarn,
        "conversation '" + record.id + "' is computed again: " +
            (snapshot ? "its KV state is of another model or KV type" : snapshot.error().message));
    (void)erase_snapshot(path);
  }
  return prepared;
}

Result<Conversations::Opening> Conversations::open(const std::shared_ptr<Talk>& talk,
                                                   const Turn& turn, Runtime& runtime) {
  Prepared prepared = CHOIR_TRY(prepare(talk, turn, runtime));
  Opening opening{prepared.prompt.tokens, std::move(prepared.kv)};
  table_.with([&](Table&) {
    talk->prompt = std::move(prepared.prompt);
    talk->model = std::move(prepared.model);
  });
  return opening;
}

void Conversations::begin(const std::shared_ptr<Talk>& talk,
                          const std::shared_ptr<Pending>& pending, Runtime& runtime) {
  auto opening = caught([&] { return open(talk, pending->turn, runtime); });
  if (opening)
    runtime.provide(pending->id, std::move(opening->tokens), std::move(opening->kv));
  else
    runtime.provide(pending->id, tl::unexpected(opening.error()), {});
}

void Conversations::ended(const std::shared_ptr<Talk>& talk,
                          const std::shared_ptr<Pending>& pending, const Completion& completion) {
  const auto was = table_.with([&](Table&) {
    std::erase(talk->waiting, pending);
    return std::exchange(pending->state, Pending::State::kDone);
  });
  if (was != Pending::State::kRunning) return;
  const ScopeEnd pass_on([&] { next(talk); });
  if (completion.finish == Finish::kStop || completion.finish == Finish::kLength) {
    const auto record = table_.with([&](Table&) -> std::optional<ConversationRecord> {
      if (talk->erased) return std::nullopt;
      ConversationRecord& r = talk->record;
      if (!pending->turn.system.empty()) r.system = pending->turn.system;
      add_turn(*talk->model, r, std::move(talk->prompt), completion.text, completion.tokens);
      talk->used = clock_.now();
      r.last_used_ms = pending->turn.now_ms;
      return r;
    });
    // Outside of the lock: it waits for the disk.
    if (record && talk->store) store(talk, *record);
  }
}

void Conversations::store(const std::shared_ptr<Talk>& talk, const ConversationRecord& record) {
  if (const Status put = talk->store->put(record); !put)
    log(LogLevel::kError,
        "conversation '" + record.id + "' could not be stored: " + put.error().message);
  if (table_.with([&](const Table&) { return talk->erased; }))
    (void)talk->store->erase(record.executor, record.id);
}

void Conversations::next(const std::shared_ptr<Talk>& talk) {
  const auto pending = table_.with([&](Table&) -> std::shared_ptr<Pending> {
    talk->model.reset();  // one that leaves memory is not kept here
    talk->busy = !talk->waiting.empty();
    if (!talk->busy) return nullptr;
    auto front = std::move(talk->waiting.front());
    talk->waiting.pop_front();
    front->state = Pending::State::kRunning;
    return front;
  });
  if (!pending) return;
  if (const auto runtime = talk->runtime.lock()) begin(talk, pending, *runtime);
}

}  // namespace choir
