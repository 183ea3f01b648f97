// Requests in the node: from submit() to the end.
#include <algorithm>
#include <limits>
#include <tuple>

#include "engine/control_texts.h"
#include "runtime/runtime.h"

namespace choir {
namespace {

// No token of any vocabulary we know is longer; longer text cannot fit whatever it says.
constexpr std::size_t kBytesPerTokenMax = 256;

// What a token is guessed to cost before an executor has measured it: a small model on two cores.
constexpr double kPromptTokenSeconds = 0.001;
constexpr double kOutputTokenSeconds = 0.005;

double speed_or(double measured, double guess) { return measured > 0 ? measured : guess; }

Status fits_in_context(const Executor& executor, std::size_t tokens) {
  const auto most = static_cast<std::size_t>(executor.sequence_tokens_max());
  if (tokens == 0) return fail(Code::kInvalidArgument, "prompt is empty: it has no tokens");
  if (tokens >= most)
    return fail(Code::kTooLong,
                "prompt has " + std::to_string(tokens) + " tokens, '" + executor.name() +
                    "' takes " + std::to_string(most - 1) +
                    "; shorten it or give the executor more context_tokens",
                {Fact::of("n_prompt_tokens", tokens), Fact::of("n_ctx", most)});
  return {};
}

}  // namespace

Result<std::vector<TokenId>> Runtime::prompt_tokens(const Executor& executor,
                                                    const Request& request) const {
  const Model& model = executor.model();
  const auto most = static_cast<std::size_t>(executor.sequence_tokens_max());
  if (!request.tokens.empty()) {
    for (const TokenId token : request.tokens)
      if (token < 0 || token >= model.info().vocab_tokens)
        return fail(Code::kInvalidArgument, "token " + std::to_string(token) +
                                                " is not in the vocabulary of '" + executor.name() +
                                                "', which has 0 to " +
                                                std::to_string(model.info().vocab_tokens - 1));
    CHOIR_CHECK_OK(fits_in_context(executor, request.tokens.size()));
    return request.tokens;
  }
  const Rendered prompt = request.messages.empty()
                              ? Rendered{.text = request.text, .cuts = {}}
                              : CHOIR_TRY(model.render(request.messages, contents_of(request)));
  if (prompt.text.size() > most * kBytesPerTokenMax)
    return fail(Code::kTooLong,
                "prompt has " + std::to_string(prompt.text.size()) + " bytes, '" + executor.name() +
                    "' takes " + std::to_string(most - 1) + " tokens; shorten it",
                {Fact::of("n_prompt_bytes", prompt.text.size()), Fact::of("n_ctx", most)});
  auto tokens = CHOIR_TRY(tokens_of(model, prompt, 0, Model::Special::kParse));
  CHOIR_CHECK_OK(fits_in_context(executor, tokens.size()));
  return tokens;
}

Sequence Runtime::make_sequence(const Executor& executor, const Request& request) const {
  Sequence sequence;
  sequence.model_fingerprint = executor.model().fingerprint();
  sequence.max_tokens = request.max_tokens;
  sequence.sampling = request.sampling;
  if (request.ignore_eos)
    for (const TokenId end : executor.model().end_tokens())
      sequence.sampling.bias.push_back({end, -std::numeric_limits<float>::infinity()});
  sequence.stop = request.stop;
  sequence.ignore_eos = request.ignore_eos;
  sequence.priority = request.priority.value_or(executor.config().priority);
  sequence.tenant = request.tenant;
  sequence.tenant_weight = request.tenant_weight;
  sequence.reuse_scope = request.reuse_scope.empty() ? request.tenant : request.reuse_scope;
  return sequence;
}

Result<Submission> Runtime::submit(const Request& request, Callbacks callbacks,
                                   Continuation continuation) {
  CHOIR_CHECK_OK(validate(request));
  if (callbacks.on_event && callbacks.on_news)
    return fail(Code::kInvalidArgument,
                "text is pushed by on_event or taken after on_news; a request has one of the two");
  if (!exit_watched_.load(std::memory_order_relaxed) && !exit_watched_.exchange(true)) watch_exit();
  const Instant now = clock_.now();
  const RequestId id = directory_->next_id();
  const Instant deadline = request.deadline.count() > 0 ? now + request.deadline : Instant{};
  auto state =
      std::make_shared<RequestState>(id, *this, ExecutorId{}, now, deadline, std::move(callbacks));
  Submission submission{.id = id, .result = state->promise.get_future(), .stream = {}};
  if (state->pulled) submission.stream = TextStream(state);
  for (;;) {
    CHOIR_CHECK_OK(door_is_open());  // before anything is loaded
    const std::shared_ptr<Executor> executor = CHOIR_TRY(find(request.executor));
    if (!executor->model().info().generates)
      return fail(Code::kInvalidArgument,
                  "'" + executor->name() + "' is an encoder: it embeds text and generates none");
    std::vector<TokenId> tokens;
    if (!continuation.awaited) tokens = CHOIR_TRY(prompt_tokens(*executor, request));
    const ExecutorStats& stats = executor->stats();
    state->estimated_seconds =
        static_cast<double>(tokens.size()) *
            speed_or(stats.seconds_per_prompt_token.load(), kPromptTokenSeconds) +
        request.max_tokens * speed_or(stats.seconds_per_output_token.load(), kOutputTokenSeconds);
    state->before_end = continuation.before_end;
    state->awaited.store(continuation.awaited || continuation.gated);
    state->tenant = request.tenant;
    state->priority = request.priority.value_or(executor->config().priority);
    state->move_to(*this, executor->id());
    Executor::Mail mail{make_sequence(*executor, request), state, continuation.key,
                        std::move(continuation.kv), continuation.gated};
    mail.sequence.id = {id.value};
    mail.sequence.request = id;
    mail.sequence.tokens = std::move(tokens);
    mail.sequence.prompt_tokens = mail.sequence.known_tokens();
    mail.sequence.max_tokens = std::min(
        mail.sequence.max_tokens, executor->sequence_tokens_max() - mail.sequence.prompt_tokens);
    state->progress.prompt_tokens.store(mail.sequence.prompt_tokens);
    state->progress.max_tokens.store(mail.sequence.max_tokens);
    if (CHOIR_TRY(enlist(*executor, mail)) == Entry::kAgain) {
      continuation.kv = std::move(mail.kv);
      continue;
    }
    lanes_.ready(executor->id(), state->priority);
    if (deadline != Instant{}) alarms_.set_earlier(executor->id(), deadline);
    return submission;
  }
}

// A job about requests changes what may run under `sequential`.
RequestJob Runtime::and_next_request(RequestJob job) {
  return [this, job = std::move(job)](Executor& e) {
    job(e);
    active_.with([&](Active& a) { next_request(a); });
  };
}

void Runtime::provide(RequestId id, Result<std::vector<TokenId>> tokens, KvState kv) {
  const auto state = directory_->find(id);
  if (!state) return;
  const auto given = std::make_shared<std::pair<Result<std::vector<TokenId>>, KvState>>(
      std::move(tokens), std::move(kv));
  post_wherever_it_is(*state, [id, given](Executor& e) {
    e.provide(id, std::move(given->first), std::move(given->second));
  });
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

std::optional<Result<Runtime::Entry>> Runtime::at_door(const Active& a,
                                                       const Executor& executor) const {
  if (a.closing) return fail(Code::kCancelled, "the node is shutting down");
  if (Status open = door_is_open(); !open) return tl::unexpected(std::move(open).error());
  const auto found = a.by_executor.find(executor.id());
  if (found == a.by_executor.end()) return Entry::kAgain;  // moved or removed: ask by name again
  if (found->second.door == Door::kShut)
    return fail(Code::kNotFound, "executor '" + executor.name() + "' is being removed");
  if (found->second.door == Door::kAway) return std::nullopt;
  return loaded(executor.name()).get() == &executor ? Entry::kIn : Entry::kAgain;
}

// Counted and posted under one lock: who empties the executor finds it in the mailbox, or nowhere.
Result<Runtime::Entry> Runtime::enlist(Executor& executor, Executor::Mail& mail) {
  const std::shared_ptr<RequestState> state = mail.request;
  return *active_.wait([&](Active& a) -> std::optional<Result<Entry>> {
    auto entry = at_door(a, executor);
    if (!entry || !*entry || **entry == Entry::kAgain) return entry;
    Activity& activity = a.by_executor.at(executor.id());
    if (activity.requests >= config_.queue_max || !executor.post(std::move(mail)))
      return fail(
          Code::kOverloaded,
          "'" + executor.name() + "' has " + std::to_string(activity.requests) +
              " requests, at most " + std::to_string(config_.queue_max) +
              " may wait or run; try again later",
          {Fact::of("waiting", activity.requests), Fact::of("queue_max", config_.queue_max)});
    ++activity.requests;
    activity.estimated_seconds += state->estimated_seconds;
    activity.last_used = clock_.now();
    a.requests.emplace(state->id, state);
    directory_->enter(state);
    next_request(a);
    return Entry::kIn;
  });
}

void Runtime::strike(const RequestState& state) {
  active_.change([&](Active& a) {
    if (a.requests.erase(state.id) == 0) return;
    directory_->leave(state.id);
    const auto found = a.by_executor.find(state.executor());
    if (found != a.by_executor.end()) {
      Activity& activity = found->second;
      --activity.requests;
      activity.estimated_seconds =
          activity.requests == 0 ? 0 : activity.estimated_seconds - state.estimated_seconds;
      activity.last_used = clock_.now();
    }
    next_request(a);
  });
}

void Runtime::next_request(Active& a) {
  if (!rules_->one_request.load()) return;
  const auto can_run = [&](const RequestState& state) {
    const auto found = a.by_executor.find(state.executor());
    return !state.awaited.load() && found != a.by_executor.end() && !found->second.suspended;
  };
  const auto current = a.requests.find(rules_->turn_of.load());
  if (current != a.requests.end() && can_run(*current->second)) return;
  const RequestState* best = nullptr;
  if (a.embeddings == 0)
    for (const auto& [id, state] : a.requests)
      if (can_run(*state) &&
          (best == nullptr || std::tie(state->priority, state->submitted, state->id) <
                                  std::tie(best->priority, best->submitted, best->id)))
        best = state.get();
  rules_->turn_of.store(best == nullptr ? RequestId{} : best->id);
  if (best != nullptr) lanes_.ready(best->executor(), best->priority);
}

Result<Completion> Runtime::run(const Request& request) {
  CHOIR_CHECK_OK(refuse_inside_callback("run()", "submit() with on_done"));
  return CHOIR_TRY(submit(request, {})).result.get();
}

Result<std::vector<TokenId>> Runtime::embedding_tokens(const Executor& executor,
                                                       std::string_view text) const {
  const auto most = static_cast<std::size_t>(executor.sequence_tokens_max());
  const auto too_long = [&](const std::string& what, Fact size) {
    return fail(Code::kTooLong,
                "text to embed has " + what + ", '" + executor.name() + "' embeds at most " +
                    std::to_string(most) + " tokens; shorten it",
                {std::move(size), Fact::of("n_ctx", most)});
  };
  if (text.size() > most * kBytesPerTokenMax)
    return too_long(std::to_string(text.size()) + " bytes",
                    Fact::of("n_prompt_bytes", text.size()));
  const Model& model = executor.model();
  auto tokens = CHOIR_TRY(model.tokenize(text, Model::Special::kParse));
  if (tokens.size() > most)
    return too_long(std::to_string(tokens.size()) + " tokens",
                    Fact::of("n_prompt_tokens", tokens.size()));
  const auto marks = CHOIR_TRY(model.tokenize("", Model::Special::kParse));
  if (tokens.size() <= marks.size())
    return fail(Code::kInvalidArgument, "text to embed is empty: it has no tokens");
  return tokens;
}

Result<std::vector<float>> Runtime::embed(std::string_view name, std::string_view text,
                                          std::chrono::milliseconds most) {
  CHOIR_CHECK_OK(refuse_inside_callback("embed()", "another thread"));
  const Instant began = clock_.now();
  for (;;) {
    CHOIR_CHECK_OK(door_is_open());
    const std::shared_ptr<Executor> executor = CHOIR_TRY(find(name));
    if (executor->model().info().generates)
      return fail(Code::kInvalidArgument,
                  "'" + executor->name() + "' generates text; embeddings need an encoder model");
    EmbeddingQueue::Job job{.tokens = CHOIR_TRY(embedding_tokens(*executor, text)),
                            .promise = std::make_shared<std::promise<Result<std::vector<float>>>>(),
                            .submitted = began,
                            .deadline = most.count() > 0 ? began + most : Instant{}};
    const Instant deadline = job.deadline;
    auto future = job.promise->get_future();
    const Result<Entry> came = *active_.wait([&](Active& a) -> std::optional<Result<Entry>> {
      auto entry = at_door(a, *executor);
      if (!entry || !*entry || **entry == Entry::kAgain) return entry;
      // Where only one request may run in the node, this one waits for its turn here.
      if (rules_->one_request.load() && (!a.requests.empty() || a.embeddings > 0))
        return std::nullopt;
      if (!executor->embeddings().post(std::move(job)))
        return fail(
            Code::kOverloaded,
            "'" + executor->name() + "' has as many embeddings waiting as it may; try again later",
            {Fact::of("waiting", a.by_executor.at(executor->id()).embeddings),
             Fact::of("queue_max", config_.queue_max)});
      ++a.by_executor.at(executor->id()).embeddings;
      ++a.embeddings;
      return Entry::kIn;
    });
    if (CHOIR_TRY(came) == Entry::kAgain) continue;
    lanes_.ready(executor->id(), executor->config().priority);
    if (deadline != Instant{}) alarms_.set_earlier(executor->id(), deadline);
    // The executor ends it as well, but not before the pass that it computes.
    Result<std::vector<float>> vector = tl::unexpected(EmbeddingQueue::late(most));
    if (most.count() == 0 || future.wait_for(deadline - clock_.now()) == std::future_status::ready)
      vector = future.get();
    active_.change([&](Active& a) {
      --a.embeddings;
      if (const auto found = a.by_executor.find(executor->id()); found != a.by_executor.end()) {
        --found->second.embeddings;
        found->second.last_used = clock_.now();
      }
      next_request(a);
    });
    return vector;
  }
}

Status Runtime::cancel(RequestId id) {
  const auto state = directory_->find(id);
  if (!state)
    return fail(Code::kNotFound, "no active request has the id " + std::to_string(id.value));
  cancel_wherever_it_is(*state);
  return {};
}

void Runtime::cancelled(const RequestState& request) {
  const auto executor = by_id(request.executor());
  if (!executor) return;
  executor->interrupt(request.id);
  lanes_.ready(executor->id(), Priority::kCritical);  // a turn that ends work costs none
}

bool Runtime::post(const RequestState& request, const RequestJob& job) {
  std::shared_ptr<Executor> executor;
  const bool here = active_.with([&](Active& a) {
    const auto at = a.by_executor.find(request.executor());
    if (!a.requests.contains(request.id) || request.finished() || at == a.by_executor.end())
      return false;
    executor = by_id(at->first);
    if (executor && executor->post_job(and_next_request(job))) return true;
    executor = nullptr;
    at->second.jobs.push_back(job);
    return true;
  });
  if (executor) lanes_.ready(executor->id(), Priority::kCritical);
  return here;
}

void Runtime::cancel_all(std::optional<ExecutorId> only) {
  std::vector<std::shared_ptr<RequestState>> states;
  active_.with([&](const Active& a) {
    for (const auto& [id, state] : a.requests)
      if (!only || state->executor() == *only) states.push_back(state);
  });
  for (const auto& state : states) state->cancelled.store(true);  // all before the next pass
  for (const auto& state : states) cancel_wherever_it_is(*state);
  std::vector<std::shared_ptr<Executor>> executors;
  table_.with([&](const Table& t) {
    for (const auto& [name, row] : t.by_name)
      if (row.executor && (!only || row.id == *only)) executors.push_back(row.executor);
  });
  for (const auto& executor : executors) {
    (void)executor->post_job([](Executor& e) { e.embeddings().cancel(); });
    lanes_.ready(executor->id(), Priority::kCritical);
  }
}

}  // namespace choir
