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

// Of several requests that come together.
std::string numbered(std::size_t i) { return "requests[" + std::to_string(i) + "]"; }

bool same_prompt(const Request& a, const Request& b) {
  return a.text == b.text && a.tokens == b.tokens && a.messages == b.messages &&
         a.parse_special == b.parse_special && a.default_template == b.default_template;
}

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
                       const ExecutorConfig& config, std::size_t tokens,
                       const ExecutorStats& stats) {
  const auto prompt = static_cast<std::int32_t>(tokens);
  const std::int32_t longest =
      config.sequence_tokens_max > 0 ? config.sequence_tokens_max : config.context_tokens;
  // A caller who sets no limit gets what the context has room for.
  const std::int32_t output = std::min(request.max_tokens, std::max(longest - prompt, 1));
  state.estimated_seconds =
      prompt * speed_or(stats.seconds_per_prompt_token.load(), kPromptTokenSeconds) +
      output * speed_or(stats.seconds_per_output_token.load(), kOutputTokenSeconds);
  state.priority = request.priority.value_or(config.priority);
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
    place_in(*state, request, executor->id(), executor->config(), tokens.size(), executor->stats());
    Executor::Mail mail = make_mail(*executor, request, state, std::move(tokens));
    mail.conversation = continuation.key;
    mail.kv = std::move(continuation.kv);
    mail.gated = gated == Gated::kYes;
    if (CHOIR_TRY(active_.wait_enlist(*executor, std::span(&mail, 1))) ==
        ActiveRequests::Entry::kAgain) {
      continuation.kv = std::move(mail.kv);
      continue;
    }
    announce(executor->id(), *state);
    return std::move(begun.submission);
  }
}

Result<std::vector<Runtime::Begun>> Runtime::begin_together(
    std::span<const Request* const> requests, std::vector<Callbacks> callbacks) {
  if (requests.empty()) return fail(Code::kInvalidArgument, "there are no requests to submit");
  if (!callbacks.empty() && callbacks.size() != requests.size())
    return fail(Code::kInvalidArgument, std::to_string(requests.size()) + " requests have " +
                                            std::to_string(callbacks.size()) +
                                            " callbacks, allowed none or one for each");
  callbacks.resize(requests.size());
  std::vector<Begun> begun;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const Request& request = *requests[i];
    if (request.executor != requests[0]->executor || request.tenant != requests[0]->tenant)
      return fail(Code::kInvalidArgument, numbered(i) +
                                              " has another executor or tenant than the first "
                                              "one; requests that come together have the same");
    auto one = begin_request(request, std::move(callbacks[i]));
    if (!one) return tl::unexpected(std::move(one).error().in(numbered(i)));
    begun.push_back(std::move(*one));
  }
  return begun;
}

std::vector<Submission> Runtime::submissions_of(std::span<Begun> begun) {
  std::vector<Submission> submissions;
  for (Begun& one : begun) submissions.push_back(std::move(one.submission));
  return submissions;
}

Result<std::vector<Submission>> Runtime::submit_all(std::span<const Request> requests,
                                                    std::vector<Callbacks> callbacks) {
  std::vector<const Request*> all;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (Status valid = validate(requests[i]); !valid)
      return tl::unexpected(std::move(valid).error().in(numbered(i)));
    all.push_back(&requests[i]);
  }
  std::vector<Begun> begun = CHOIR_TRY(begin_together(all, std::move(callbacks)));
  ActiveRequests::Claim claim;
  for (;;) {
    CHOIR_CHECK_OK(active_.not_draining());  // before anything is loaded
    const std::shared_ptr<Executor> executor =
        CHOIR_TRY(find_for_request(requests.front().executor, claim));
    CHOIR_CHECK_OK(must_generate(*executor));
    std::vector<Executor::Mail> mail;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      auto tokens = i > 0 && same_prompt(requests[i], requests[i - 1])
                        ? Result<std::vector<TokenId>>(mail.back().sequence.tokens)
                        : prompt_tokens(*executor, requests[i]);
      if (!tokens) return tl::unexpected(std::move(tokens).error().in(numbered(i)));
      place_in(*begun[i].state, requests[i], executor->id(), executor->config(), tokens->size(),
               executor->stats());
      mail.push_back(make_mail(*executor, requests[i], begun[i].state, std::move(*tokens)));
    }
    if (CHOIR_TRY(active_.wait_enlist(*executor, mail)) == ActiveRequests::Entry::kAgain) continue;
    for (const Begun& one : begun) announce(executor->id(), *one.state);
    return submissions_of(begun);
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
  begun.state->before_end = std::move(continuation.before_end);
  Arrival arrival{.request = begun.state,
                  .prepared = std::move(prepared),
                  .continuation = std::move(continuation),
                  .late = std::move(late)};
  CHOIR_CHECK_OK(enter(std::span(&arrival, 1)));
  return std::move(begun.submission);
}

Result<std::vector<Submission>> Runtime::enqueue_all(std::vector<Prepared> prepared,
                                                     std::vector<Callbacks> callbacks) {
  std::vector<const Request*> requests;
  requests.reserve(prepared.size());
  for (const Prepared& one : prepared) requests.push_back(&one.request_);
  std::vector<Begun> begun = CHOIR_TRY(begin_together(requests, std::move(callbacks)));
  std::vector<Arrival> arrivals;
  for (std::size_t i = 0; i < begun.size(); ++i)
    arrivals.push_back({.request = begun[i].state, .prepared = std::move(prepared[i])});
  CHOIR_CHECK_OK(enter(arrivals));
  return submissions_of(begun);
}

Status Runtime::enter(std::span<Arrival> together) {
  for (;;) {
    const ExecutorRow row = CHOIR_TRY(table_.row(together.front().prepared->request_.executor));
    for (const Arrival& one : together)
      place_in(*one.request, one.prepared->request_, row.id, row.config,
               one.prepared->tokens_.size(), *row.stats);
    const bool ready = row.executor && std::ranges::all_of(together, [&](const Arrival& one) {
                         return !one.late.awaited &&
                                one.prepared->fingerprint_ == row.executor->model().fingerprint();
                       });
    if (ready) {
      const auto came = CHOIR_TRY(enlist_now(*row.executor, together));
      if (came == ActiveRequests::Entry::kAgain) continue;
      if (came) return {};
    }
    std::vector<Instant> deadlines;
    for (const Arrival& one : together) {
      RequestState& state = *one.request;
      state.progress.prompt_tokens.store(one.prepared->prompt_tokens());
      state.progress.max_tokens.store(one.prepared->request_.max_tokens);
      state.awaited.store(true);
      if (state.deadline != Instant{}) deadlines.push_back(state.deadline);
    }
    if (CHOIR_TRY(active_.hold(row, together)) == ActiveRequests::Entry::kAgain) continue;
    for (const Instant deadline : deadlines)
      alarms_.set_earlier(alarm_of_arrivals(row.id), deadline);
    return {};
  }
}

Result<std::optional<ActiveRequests::Entry>> Runtime::enlist_now(Executor& executor,
                                                                 std::span<Arrival> together) {
  // It may be a smaller one than they were prepared for.
  for (const Arrival& one : together)
    CHOIR_CHECK_OK(fits_in_context(executor, one.prepared->tokens_.size()));
  std::vector<Executor::Mail> mail;
  for (Arrival& one : together) {
    one.request->awaited.store(false);
    mail.push_back(
        make_mail(executor, one.prepared->request_, one.request, std::move(one.prepared->tokens_)));
    mail.back().conversation = one.continuation.key;
    mail.back().kv = std::move(one.continuation.kv);
  }
  const auto came = active_.enlist(executor, mail);
  const bool in = came && *came && **came == ActiveRequests::Entry::kIn;
  for (std::size_t i = 0; i < mail.size(); ++i) {
    if (in) {
      announce(executor.id(), *together[i].request);
    } else {
      together[i].prepared->tokens_ = std::move(mail[i].sequence.tokens);
      together[i].continuation.kv = std::move(mail[i].kv);
    }
  }
  if (!came) return std::nullopt;
  return CHOIR_TRY(*came);
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

Runtime::EmbeddingBegun Runtime::begin_embedding(const EmbedRequest& request,
                                                 EmbedCallbacks callbacks) {
  if (!exit_watched_.load(std::memory_order_relaxed) && !exit_watched_.exchange(true)) watch_exit();
  const Instant now = clock_.now();
  const RequestId id = directory_->next_id();
  const Instant deadline = request.deadline.count() > 0 ? now + request.deadline : Instant{};
  auto state =
      std::make_shared<RequestState>(id, active_, ExecutorId{}, now, deadline, Callbacks{});
  state->embedding = std::make_unique<EmbedWork>();
  EmbedWork& work = *state->embedding;
  // The request outlives its callbacks, which the dispatcher ends.
  const auto telling = [&work](OnEmbedded tell) -> OnDone {
    if (!tell) return {};
    return [&work, tell = std::move(tell)](const Completion& end) { tell(work.completion(end)); };
  };
  state->callbacks.on_done = telling(std::move(callbacks.on_done));
  state->callbacks.on_settled = telling(std::move(callbacks.on_settled));
  state->tenant = request.tenant;
  return {.state = state, .submission = {.id = id, .result = work.promise.get_future()}};
}

void Runtime::place_in(RequestState& state, const EmbedRequest& request, ExecutorId id,
                       Priority priority, const ExecutorStats& stats) {
  state.estimated_seconds = state.progress.prompt_tokens.load() *
                            speed_or(stats.seconds_per_prompt_token.load(), kPromptTokenSeconds);
  state.priority = request.priority.value_or(priority);
  state.move_to(active_, id);
}

Result<EmbedSubmission> Runtime::submit_embed(const EmbedRequest& request, EmbedCallbacks callbacks,
                                              Gated gated) {
  CHOIR_CHECK_OK(validate(request));
  EmbeddingBegun begun = begin_embedding(request, std::move(callbacks));
  RequestState& state = *begun.state;
  state.awaited.store(gated == Gated::kYes);
  ActiveRequests::Claim claim;
  for (;;) {
    CHOIR_CHECK_OK(active_.not_draining());  // before anything is loaded
    const std::shared_ptr<Executor> executor = CHOIR_TRY(find_for_request(request.executor, claim));
    CHOIR_CHECK_OK(make_embedding(*executor, request, state));
    place_in(state, request, executor->id(), executor->config().priority, executor->stats());
    if (CHOIR_TRY(active_.wait_enlist(*executor, begun.state)) == ActiveRequests::Entry::kAgain)
      continue;
    announce(executor->id(), state);
    return std::move(begun.submission);
  }
}

Result<EmbedSubmission> Runtime::enqueue_embed(EmbedRequest request, EmbedCallbacks callbacks) {
  CHOIR_CHECK_OK(validate(request));
  CHOIR_CHECK_OK(active_.not_draining());  // before anything is tokenized
  EmbeddingBegun begun = begin_embedding(request, std::move(callbacks));
  RequestState& state = *begun.state;
  Arrival arrival{.request = begun.state, .embed = std::move(request)};
  for (;;) {
    const ExecutorRow row = CHOIR_TRY(table_.row(arrival.embed.executor));
    if (row.executor) {
      CHOIR_CHECK_OK(make_embedding(*row.executor, arrival.embed, state));
      place_in(state, arrival.embed, row.id, row.config.priority, *row.stats);
      state.awaited.store(false);
      if (const auto came = active_.enlist(*row.executor, begun.state)) {
        if (CHOIR_TRY(*came) == ActiveRequests::Entry::kAgain) continue;
        announce(row.id, state);
        return std::move(begun.submission);
      }
    }
    place_in(state, arrival.embed, row.id, row.config.priority, *row.stats);
    state.awaited.store(true);
    const Instant deadline = state.deadline;
    if (CHOIR_TRY(active_.hold(row, std::span(&arrival, 1))) == ActiveRequests::Entry::kAgain)
      continue;
    if (deadline != Instant{}) alarms_.set_earlier(alarm_of_arrivals(row.id), deadline);
    return std::move(begun.submission);
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
