// Requests of an executor: from the caller's words to the node and back.
#include <algorithm>
#include <atomic>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/caught.h"
#include "base/log.h"
#include "base/process_exit.h"
#include "choir/text.h"
#include "facade/executor_handle.h"
#include "runtime/dispatcher.h"
#include "runtime/prompts.h"

namespace choir::parallel {
namespace {

std::vector<std::string> pieces_of(const Model& model, const std::vector<TokenId>& tokens) {
  std::vector<std::string> pieces;
  for (const TokenId token : tokens)
    if (!std::ranges::binary_search(model.end_tokens(), token))
      pieces.emplace_back(model.piece(token));
  return pieces;
}

}  // namespace

// Whoever has the last of it without having told the caller tells that it was lost: every way out,
// an exception's too, ends a request once.
struct ExecutorHandle::Running {
  Running(std::shared_ptr<ExecutorHandle> its_owner, LLMExecutionRequest its_request, Way its_way,
          Done whom_to_tell)
      : owner(std::move(its_owner)),
        request(std::move(its_request)),
        way(std::move(its_way)),
        done(std::move(whom_to_tell)) {}
  ~Running() {
    if (!ended) owner->fail_with(*this, {Code::kCancelled, "the request ended without an answer"});
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  const std::shared_ptr<ExecutorHandle> owner;
  LLMExecutionRequest request;
  RequestSettings settings;
  Way way;
  Done done;
  TokenCallback stream;  // way's, or onToken()'s
  bool named = false;    // its id is taken
  Instant accepted;
  std::shared_ptr<World> world;
  std::shared_ptr<const Model> model;
  bool profiled = false;
  std::atomic<bool> ended{false};
};

void ExecutorHandle::start(LLMExecutionRequest request, Way way, Done done) {
  const auto running = std::make_shared<Running>(shared_from_this(), std::move(request),
                                                 std::move(way), std::move(done));
  counts_.with([](Counts& c) { return ++c.requests; });
  if (const Status begun = caught([&] { return begin(running); }); !begun)
    fail_with(*running, begun.error());
}

Status ExecutorHandle::begin(const std::shared_ptr<Running>& running) {
  LLMExecutionRequest& given = running->request;
  const Place here = CHOIR_TRY(place());
  running->settings = CHOIR_TRY(read_request(given, config().priority));
  if (const auto input = given.parameters.find("pipeline_input");
      input != given.parameters.end() && input->second == "previous")
    return fail(Code::kInvalidArgument,
                "pipeline_input is for requests of executePipelined() and executeHybrid() that "
                "have one before them");
  if (here.encoder && !running->settings.context_id.empty())
    return fail(Code::kInvalidArgument, "an encoder has no conversations: leave context_id out");
  running->world = here.world;
  running->accepted = here.world->clock().now();
  given.requestId = CHOIR_TRY(names_->claim(given.requestId, this));
  running->named = true;
  last_used_ms_ = unix_ms();
  running->stream = running->way.stream;
  state_.with([&](const State& s) {
    running->profiled = s.profiling;
    if (!running->stream && (given.streamOutput || s.config.mode == LLMExecutionMode::STREAMING))
      running->stream = s.on_token;
    return 0;
  });
  return submit_or_load(running, here);
}

// A request waits for a load in its node, as a value; only one of a gated batch waits for it on the
// caller's thread, which waits for the batch anyway. Where the caller is a dispatcher, a worker
// tokenizes the prompt. A request that comes while others of this executor wait for a worker goes
// behind them, so that all keep their order.
Status ExecutorHandle::submit_or_load(const std::shared_ptr<Running>& running, const Place& here) {
  Workers& workers = here.world->workers();
  const bool here_and_now = !Dispatcher::on_dispatcher_thread() && !workers.busy(work_key());
  if (!here_and_now && !running->way.gated)
    return workers.post(work_key(), [running] { running->owner->submit_where_it_is(running); });
  submit_where_it_is(running);
  return {};
}

void ExecutorHandle::submit_where_it_is(const std::shared_ptr<Running>& running) {
  const auto submit_at = [&](const Place& there) -> Status {
    const RequestId id =
        CHOIR_TRY(there.encoder ? submit_embedding(running, there) : submit(running, there));
    if (names_->accepted(running->request.requestId, id)) (void)there.node->cancel(id);
    // A conversation's turns begin one after the other, whatever else begins.
    if (running->way.gated && running->settings.context_id.empty())
      running->way.gated(there.node, id);
    return {};
  };
  const Status submitted = caught([&] { return where_it_is(submit_at); });
  if (!submitted) fail_with(*running, submitted.error());
}

// Of the deadline, without what it has waited for a load.
Result<std::chrono::milliseconds> ExecutorHandle::deadline_left(const Running& running,
                                                                const Place& here) {
  std::chrono::milliseconds left = running.settings.request.deadline;
  if (left.count() == 0) return left;
  const Nanos waited = here.world->clock().now() - running.accepted;
  left -= std::chrono::duration_cast<std::chrono::milliseconds>(waited);
  if (left.count() > 0) return left;
  return fail(Code::kDeadlineExceeded, "deadline exceeded: the request had " +
                                           std::to_string(running.request.timeout.count()) +
                                           " ms and its model was still being loaded");
}

Result<RequestId> ExecutorHandle::submit(const std::shared_ptr<Running>& running,
                                         const Place& here) {
  const LLMExecutionRequest& given = running->request;
  const RequestSettings& settings = running->settings;
  Request request = settings.request;
  request.executor = here.name;
  if (const auto executor = here.node->loaded(here.name)) running->model = executor->shared_model();
  request.deadline = CHOIR_TRY(deadline_left(*running, here));
  Callbacks callbacks;
  if (running->stream)
    callbacks.on_event = [running](const StreamEvent& event) {
      if (!event.text.empty()) running->stream(running->request.requestId, std::string(event.text));
    };
  callbacks.on_done = [running, here](const Completion&) {
    running->owner->learn_model(*running, here);
  };
  callbacks.on_settled = [running](const Completion& completion) {
    tell_end(*running, [&] { running->owner->settle(*running, completion); });
  };
  if (!settings.context_id.empty()) {
    if (!given.inputTokens.empty())
      return fail(Code::kInvalidArgument,
                  "inputTokens cannot continue a context: its tokens follow from its history; "
                  "give inputText");
    request.text = given.inputText;
    return CHOIR_TRY(here.world->conversations().say(*here.node, settings.context_id,
                                                     {.request = std::move(request),
                                                      .system = given.prompt,
                                                      .raw = settings.raw,
                                                      .now_ms = unix_ms()},
                                                     std::move(callbacks)))
        .id;
  }
  if (!given.inputTokens.empty())
    return submit_tokens(running, here, std::move(request), std::move(callbacks));
  if (given.inputText.empty())
    return fail(Code::kInvalidArgument, "inputText is empty: there is nothing to answer");
  if (settings.raw) {
    request.text = given.prompt + (given.prompt.empty() ? "" : "\n") + given.inputText;
  } else {
    if (!given.prompt.empty()) request.messages.push_back({"system", given.prompt});
    request.messages.push_back({"user", given.inputText});
  }
  if (running->way.gated)
    return CHOIR_TRY(here.node->submit(request, std::move(callbacks), {}, Gated::kYes)).id;
  Prepared prepared = CHOIR_TRY(here.node->prepare(std::move(request)));
  return CHOIR_TRY(here.node->enqueue(std::move(prepared), std::move(callbacks))).id;
}

// Which tokens they are only the model can tell.
Result<RequestId> ExecutorHandle::submit_tokens(const std::shared_ptr<Running>& running,
                                                const Place& here, Request request,
                                                Callbacks callbacks) {
  const Opener open = [running, request](const Executor& executor) -> Result<Opening> {
    Request read = request;
    read.tokens = CHOIR_TRY(tokens_of(running->request.inputTokens, executor.model()));
    return Opening{.tokens = CHOIR_TRY(prompt_tokens(executor, read)), .kv = {}};
  };
  if (running->way.gated) {
    const auto executor = CHOIR_TRY(here.node->find(here.name));
    request.tokens = CHOIR_TRY(open(*executor)).tokens;
    return CHOIR_TRY(here.node->submit(request, std::move(callbacks), {}, Gated::kYes)).id;
  }
  auto when = Runtime::Prompt::kLater;
  for (const std::string& piece : running->request.inputTokens) request.text += piece;
  if (const auto executor = here.node->loaded(here.name)) {
    request.text.clear();
    request.tokens = CHOIR_TRY(open(*executor)).tokens;
    when = Runtime::Prompt::kNow;
  }
  Prepared prepared = CHOIR_TRY(here.node->prepare(std::move(request), when));
  return CHOIR_TRY(
             here.node->enqueue(std::move(prepared), std::move(callbacks), {}, {.open = open}))
      .id;
}

// Before the node has forgotten the request: until then its executor is in memory, here or where it
// has moved.
void ExecutorHandle::learn_model(Running& running, const Place& here) const {
  if (running.model) return;
  auto executor = here.node->loaded(here.name);
  if (const auto now = place(); !executor && now) executor = now->node->loaded(now->name);
  if (executor) running.model = executor->shared_model();
}

Result<RequestId> ExecutorHandle::submit_embedding(const std::shared_ptr<Running>& running,
                                                   const Place& here) {
  const Request& settings = running->settings.request;
  EmbedRequest request{.executor = here.name,
                       .texts = {running->request.inputText},
                       .priority = settings.priority,
                       .deadline = CHOIR_TRY(deadline_left(*running, here)),
                       .tenant = settings.tenant};
  EmbedCallbacks callbacks;
  callbacks.on_settled = [running](const EmbedCompletion& completion) {
    tell_end(*running, [&] { running->owner->settle_embedding(*running, completion); });
  };
  if (running->way.gated)
    return CHOIR_TRY(here.node->submit_embed(request, std::move(callbacks), Gated::kYes)).id;
  return CHOIR_TRY(here.node->enqueue_embed(std::move(request), std::move(callbacks))).id;
}

// Whatever is thrown on the way, the caller is told an end.
template <class Settle>
void ExecutorHandle::tell_end(Running& running, Settle settle) {
  const Status told = caught([&] { settle(); });
  if (!told) running.owner->fail_with(running, told.error());
}

Result<std::vector<TokenId>> ExecutorHandle::tokens_of(const std::vector<std::string>& pieces,
                                                       const Model& model) {
  std::map<std::string_view, TokenId> vocabulary;  // only where a piece is not a number
  std::vector<TokenId> tokens;
  for (const std::string& piece : pieces) {
    TokenId token = 0;
    const auto [end, error] = std::from_chars(piece.data(), piece.data() + piece.size(), token);
    if (error == std::errc() && end == piece.data() + piece.size() && !piece.empty()) {
      tokens.push_back(token);
      continue;
    }
    if (vocabulary.empty())
      for (TokenId t = 0; t < model.info().vocab_tokens; ++t)
        vocabulary.try_emplace(model.piece(t), t);
    const auto found = piece.empty() ? vocabulary.end() : vocabulary.find(piece);
    if (found == vocabulary.end())
      return fail(Code::kInvalidArgument, "inputTokens[" + std::to_string(tokens.size()) +
                                              "] is '" + printable_line(piece, 60) +
                                              "', which is no token of this model");
    tokens.push_back(found->second);
  }
  return tokens;
}

void ExecutorHandle::settle(Running& running, const Completion& completion) {
  LLMExecutionResponse response;
  response.success = completion.finish == Finish::kStop || completion.finish == Finish::kLength;
  response.llmId = running.world->llm_id_of(completion.executor);  // it may have been moved
  response.outputText = completion.text;
  if (running.model) response.outputTokens = pieces_of(*running.model, completion.tokens);
  response.inputLength = static_cast<std::size_t>(completion.usage.prompt_tokens);
  response.outputLength = static_cast<std::size_t>(completion.usage.output_tokens);
  if (completion.error) response.error = completion.error->message;
  counts_.with([&](Counts& c) {
    c.output_tokens += completion.usage.output_tokens;
    c.reused_tokens += completion.usage.reused_tokens;
    if (completion.finish == Finish::kCancelled) ++c.cancelled;
    if (!running.profiled) return 0;
    ++c.profiled;
    const Usage& usage = completion.usage;
    c.queue_seconds += usage.queue_seconds;
    c.prefill_seconds += std::max(0.0, usage.first_token_seconds - usage.queue_seconds);
    c.decode_seconds += std::max(0.0, usage.total_seconds - usage.first_token_seconds);
    return 0;
  });
  finish(running, std::move(response));
}

void ExecutorHandle::finish(Running& running, LLMExecutionResponse response) {
  if (running.ended.exchange(true)) return;
  double seconds = 0;
  if (running.world) seconds = to_seconds(running.world->clock().now() - running.accepted);
  response.requestId = running.request.requestId;
  if (response.llmId.empty()) response.llmId = config().llmId;
  response.latency = static_cast<float>(seconds);
  if (seconds > 0)
    response.throughput = static_cast<float>(static_cast<double>(response.outputLength) / seconds);
  response.completedAt = wall_now();
  if (running.named) last_used_ms_ = unix_ms();
  counts_.with([&](Counts& c) {
    ++(response.success ? c.completed : c.errors);
    c.latency_seconds += seconds;
    return 0;
  });
  if (!response.success) (void)report("execute", fail(Code::kCancelled, response.error));
  if (running.named) names_->release(response.requestId);
  if (exit_phase() == ExitPhase::kOver) {
    // Not even destroyed: the end of a promise would be told too.
    keep_for_ever(new Done(std::move(running.done)));
    return;
  }
  // The caller's functions end here, whatever else still holds the request.
  const Done done = std::exchange(running.done, nullptr);
  running.stream = running.way.stream = nullptr;
  done(std::move(response));
}

// Also where something was thrown, and at the end of a Running: throws nothing itself.
void ExecutorHandle::fail_with(Running& running, const Error& error) {
  const Status told = caught([&] {
    LLMExecutionResponse response;
    response.error = error.message;
    finish(running, std::move(response));
  });
  if (!told) log(LogLevel::kError, "the end of a request was not told: " + told.error().message);
}

void ExecutorHandle::settle_embedding(Running& running, const EmbedCompletion& completion) {
  LLMExecutionResponse response;
  response.success = !completion.error;
  response.llmId = running.world->llm_id_of(completion.executor);  // it may have been moved
  response.inputLength = static_cast<std::size_t>(completion.usage.prompt_tokens);
  if (completion.error) {
    response.error = completion.error->message;
    if (completion.error->code == Code::kCancelled)
      counts_.with([](Counts& c) { return ++c.cancelled; });
  } else {
    response.outputText = nlohmann::json(completion.embeddings.front().vector).dump();
  }
  finish(running, std::move(response));
}

Result<std::vector<std::vector<float>>> ExecutorHandle::embed(std::vector<std::string> texts) {
  CHOIR_CHECK_OK(refuse_inside_callback("embed()", "executeAsync()"));
  const Place here = CHOIR_TRY(place());
  EmbedCompletion done =
      CHOIR_TRY(here.node->submit_embed({.executor = here.name, .texts = std::move(texts)}))
          .result.get();
  if (done.error) return tl::unexpected(std::move(*done.error));
  std::vector<std::vector<float>> vectors;
  for (Embedding& embedding : done.embeddings) vectors.push_back(std::move(embedding.vector));
  return vectors;
}

LLMExecutionResponse ExecutorHandle::run(LLMExecutionRequest request, Way way) {
  if (const Status status = refuse_inside_callback("execute()", "executeAsync()"); !status) {
    (void)report("execute", status);
    return refusal(request, config().llmId, status.error().message);
  }
  std::promise<LLMExecutionResponse> promise;
  auto future = promise.get_future();
  start(std::move(request), std::move(way),
        [&promise](LLMExecutionResponse response) { promise.set_value(std::move(response)); });
  return future.get();
}

void ExecutorHandle::set_on_token(TokenCallback callback) {
  // The old one ends here, outside of the lock: it may hold the last of an executor.
  state_.with([&](State& s) { s.on_token.swap(callback); });
}

bool ExecutorHandle::cancel(const std::string& request_id) const {
  const auto refuse = [&](const std::string& why) {
    return report("cancelExecution", fail(Code::kNotFound, why));
  };
  if (!active(request_id))
    return refuse("no active request of it is named '" + printable_line(request_id, 60) + "'");
  const auto found = names_->cancel(request_id);
  if (!found) return refuse("'" + printable_line(request_id, 60) + "' has ended");
  return !found->id || report("cancelExecution", cancel(*found->id));
}

Status ExecutorHandle::cancel(RequestId id) const {
  const auto here = state_.with([](const State& s) { return s.place; });
  if (!here) return fail(Code::kNotFound, "the executor is shut down");
  return here->node->cancel(id);
}

void ExecutorHandle::cancel_all() const {
  for (const std::string& name : active()) {
    const auto found = names_->cancel(name);
    if (found && found->id) (void)cancel(*found->id);
  }
}

}  // namespace choir::parallel
