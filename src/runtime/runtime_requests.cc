// Requests in the node: from submit() to the end.
#include <algorithm>

#include "runtime/prompts.h"
#include "runtime/runtime.h"

namespace choir {
namespace {

// What a token is guessed to cost before an executor has measured it: a small model on two cores.
constexpr double kPromptTokenSeconds = 0.001;
constexpr double kOutputTokenSeconds = 0.005;

double speed_or(double measured, double guess) { return measured > 0 ? measured : guess; }

}  // namespace

Result<Runtime::Begun> Runtime::begin_request(const Request& request, Callbacks callbacks) {
  if (callbacks.on_event && callbacks.on_news)
    return fail(Code::kInvalidArgument,
                "text is pushed by on_event or taken after on_news; a request has one of the two");
  if (!exit_watched_.load(std::memory_order_relaxed) && !exit_watched_.exchange(true)) watch_exit();
  const Instant now = clock_.now();
  const RequestId id = directory_->next_id();
  const Instant deadline = request.deadline.count() > 0 ? now + request.deadline : Instant{};
  Begun begun{.state = std::make_shared<RequestState>(id, active_, ExecutorId{}, now, deadline,
                                                      std::move(callbacks)),
              .submission = {}};
  begun.state->tenant = request.tenant;
  begun.state->tenant_weight = request.tenant_weight;
  begun.submission.id = id;
  begun.submission.result = begun.state->promise.get_future();
  if (begun.state->pulled) begun.submission.stream = TextStream(begun.state);
  return begun;
}

void Runtime::place_in(RequestState& state, const Request& request, ExecutorId id,
                       Priority priority, std::size_t tokens, const ExecutorStats& stats) {
  state.estimated_seconds =
      static_cast<double>(tokens) *
          speed_or(stats.seconds_per_prompt_token.load(), kPromptTokenSeconds) +
      request.max_tokens * speed_or(stats.seconds_per_output_token.load(), kOutputTokenSeconds);
  state.priority = request.priority.value_or(priority);
  state.move_to(active_, id);
}

Result<std::shared_ptr<Executor>> Runtime::find_for_request(std::string_view name,
                                                            ActiveRequests::Claim& claim) {
  if (auto executor = table_.loaded(name)) return executor;
  const ExecutorRow known = CHOIR_TRY(table_.row(name));
  if (known.executor) return known.executor;
  claim = active_.claim(known.id);
  return find(name);
}

Result<Submission> Runtime::submit(const Request& request, Callbacks callbacks,
                                   Continuation continuation, Gated gated) {
  CHOIR_CHECK_OK(validate(request));
  Begun begun = CHOIR_TRY(begin_request(request, std::move(callbacks)));
  const auto& state = begun.state;
  ActiveRequests::Claim claim;
  state->before_end = std::move(continuation.before_end);
  state->awaited.store(gated == Gated::kYes);
  for (;;) {
    CHOIR_CHECK_OK(active_.not_draining());  // before anything is loaded
    const std::shared_ptr<Executor> executor = CHOIR_TRY(find_for_request(request.executor, claim));
    CHOIR_CHECK_OK(must_generate(*executor));
    std::vector<TokenId> tokens = CHOIR_TRY(prompt_tokens(*executor, request));
    place_in(*state, request, executor->id(), executor->config().priority, tokens.size(),
             executor->stats());
    Executor::Mail mail = make_mail(*executor, request, state, std::move(tokens));
    mail.conversation = continuation.key;
    mail.kv = std::move(continuation.kv);
    mail.gated = gated == Gated::kYes;
    if (CHOIR_TRY(active_.wait_enlist(*executor, mail)) == ActiveRequests::Entry::kAgain) {
      continuation.kv = std::move(mail.kv);
      continue;
    }
    announce(executor->id(), *state);
    return std::move(begun.submission);
  }
}

void Runtime::announce(ExecutorId id, const RequestState& state) {
  lanes_.ready(id, state.priority);
  if (state.deadline != Instant{}) alarms_.set_earlier(id, state.deadline);
}

Result<Prepared> Runtime::prepare(Request request, Prompt prompt) const {
  CHOIR_CHECK_OK(validate(request));
  CHOIR_CHECK_OK(active_.not_draining());
  const ExecutorRow row = CHOIR_TRY(table_.row(request.executor));
  request.executor = row.config.name;
  Prepared prepared(std::move(request));
  if (!row.executor) return prepared;
  CHOIR_CHECK_OK(must_generate(*row.executor));
  if (prompt == Prompt::kLater) return prepared;
  prepared.tokens_ = CHOIR_TRY(prompt_tokens(*row.executor, prepared.request_));
  prepared.fingerprint_ = row.executor->model().fingerprint();
  return prepared;
}

Result<Submission> Runtime::enqueue(Prepared prepared, Callbacks callbacks,
                                    Continuation continuation, LatePrompt late) {
  Begun begun = CHOIR_TRY(begin_request(prepared.request_, std::move(callbacks)));
  const auto& state = begun.state;
  state->before_end = std::move(continuation.before_end);
  for (;;) {
    const ExecutorRow row = CHOIR_TRY(table_.row(prepared.request_.executor));
    place_in(*state, prepared.request_, row.id, row.config.priority, prepared.tokens_.size(),
             *row.stats);
    const auto& executor = row.executor;
    if (executor && !late.awaited && prepared.fingerprint_ == executor->model().fingerprint()) {
      state->awaited.store(false);
      // It may be a smaller one by now.
      CHOIR_CHECK_OK(fits_in_context(*executor, prepared.tokens_.size()));
      Executor::Mail mail =
          make_mail(*executor, prepared.request_, state, std::move(prepared.tokens_));
      mail.conversation = continuation.key;
      mail.kv = std::move(continuation.kv);
      const auto came = active_.enlist(*executor, mail);
      prepared.tokens_ = std::move(mail.sequence.tokens);  // where it was not taken
      continuation.kv = std::move(mail.kv);
      if (came && CHOIR_TRY(*came) == ActiveRequests::Entry::kAgain) continue;
      if (came) {
        announce(row.id, *state);
        return std::move(begun.submission);
      }
    }
    state->progress.prompt_tokens.store(prepared.prompt_tokens());
    state->progress.max_tokens.store(prepared.request_.max_tokens);
    state->awaited.store(true);
    Arrival arrival{.request = state,
                    .prepared = std::move(prepared),
                    .continuation = std::move(continuation),
                    .late = std::move(late)};
    if (CHOIR_TRY(active_.hold(row, arrival)) == ActiveRequests::Entry::kAgain) {
      prepared = std::move(arrival.prepared);
      continuation = std::move(arrival.continuation);
      late = std::move(arrival.late);
      continue;
    }
    if (state->deadline != Instant{})
      alarms_.set_earlier(alarm_of_arrivals(row.id), state->deadline);
    return std::move(begun.submission);
  }
}

Status Runtime::declare(const ExecutorConfig& config) {
  CHOIR_CHECK_OK(validate(config));
  watch_exit();
  return residents_.declare(config);
}

void Runtime::open(RequestId id, const Opener& open) {
  if (const auto state = directory_->find(id)) open_wherever_it_is(*state, open);
}

void Runtime::refuse(RequestId id, const Error& error) {
  if (const auto state = directory_->find(id)) refuse_wherever_it_is(*state, error);
}

void Runtime::open_gate(const std::vector<RequestId>& ids) {
  std::vector<std::shared_ptr<RequestState>> left;
  for (const RequestId id : ids)
    if (auto state = directory_->find(id)) left.push_back(std::move(state));
  while (!left.empty()) {
    // Those of one executor are in one place until they end: one job opens them all.
    const RequestPlace place = left.front()->place();
    std::vector<RequestId> together;
    for (const auto& state : left)
      if (state->place() == place) together.push_back(state->id);
    const bool posted =
        post_wherever_it_is(*left.front(), [together](Executor& e) { e.open_gate(together); });
    if (!posted) together = {left.front()->id};
    std::erase_if(left, [&](const auto& state) {
      return std::ranges::find(together, state->id) != together.end();
    });
  }
}

Result<Completion> Runtime::run(const Request& request) {
  CHOIR_CHECK_OK(refuse_inside_callback("run()", "submit() with on_done"));
  return CHOIR_TRY(submit(request, {})).result.get();
}

Result<EmbedSubmission> Runtime::submit_embed(const EmbedRequest& request, EmbedCallbacks callbacks,
                                              Gated gated) {
  CHOIR_CHECK_OK(validate(request));
  if (!exit_watched_.load(std::memory_order_relaxed) && !exit_watched_.exchange(true)) watch_exit();
  const Instant now = clock_.now();
  const RequestId id = directory_->next_id();
  const Instant deadline = request.deadline.count() > 0 ? now + request.deadline : Instant{};
  auto state =
      std::make_shared<RequestState>(id, active_, ExecutorId{}, now, deadline, Callbacks{});
  state->awaited.store(gated == Gated::kYes);
  state->embedding = std::make_unique<EmbedWork>();
  EmbedWork& work = *state->embedding;
  EmbedSubmission submission{.id = id, .result = work.promise.get_future()};
  // The request outlives its callbacks, which the dispatcher ends.
  const auto telling = [&work](OnEmbedded tell) -> OnDone {
    if (!tell) return {};
    return [&work, tell = std::move(tell)](const Completion& end) { tell(work.completion(end)); };
  };
  state->callbacks.on_done = telling(std::move(callbacks.on_done));
  state->callbacks.on_settled = telling(std::move(callbacks.on_settled));
  state->tenant = request.tenant;
  ActiveRequests::Claim claim;
  for (;;) {
    CHOIR_CHECK_OK(active_.not_draining());  // before anything is loaded
    const std::shared_ptr<Executor> executor = CHOIR_TRY(find_for_request(request.executor, claim));
    if (executor->model().info().generates)
      return fail(Code::kInvalidArgument,
                  "'" + executor->name() + "' generates text; embeddings need an encoder model");
    CHOIR_CHECK_OK(embedding_texts(*executor, request, work));
    std::int32_t tokens = 0;
    for (const Embedding& embedding : work.embeddings) tokens += embedding.tokens;
    state->estimated_seconds =
        tokens * speed_or(executor->stats().seconds_per_prompt_token.load(), kPromptTokenSeconds);
    state->priority = request.priority.value_or(executor->config().priority);
    state->progress.prompt_tokens.store(tokens);
    state->move_to(active_, executor->id());
    if (CHOIR_TRY(active_.wait_enlist(*executor, state)) == ActiveRequests::Entry::kAgain) continue;
    lanes_.ready(executor->id(), state->priority);
    if (deadline != Instant{}) alarms_.set_earlier(executor->id(), deadline);
    return submission;
  }
}

Result<std::vector<float>> Runtime::embed(std::string_view name, std::string_view text,
                                          std::chrono::milliseconds most) {
  CHOIR_CHECK_OK(refuse_inside_callback("embed()", "submit_embed() with on_done"));
  EmbedRequest request{.executor = std::string(name), .texts = {std::string(text)}};
  request.deadline = most;
  EmbedCompletion done = CHOIR_TRY(submit_embed(request)).result.get();
  if (done.error) return tl::unexpected(std::move(*done.error));
  return std::move(done.embeddings.front().vector);
}

Status Runtime::cancel(RequestId id) {
  const auto state = directory_->find(id);
  if (!state)
    return fail(Code::kNotFound, "no active request has the id " + std::to_string(id.value));
  cancel_wherever_it_is(*state);
  return {};
}

}  // namespace choir
