// Requests of an executor: from the caller's words to the node and back.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "choir/text.h"
#include "facade/executor_handle.h"
#include "runtime/dispatcher.h"

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

struct ExecutorHandle::Running {
  LLMExecutionRequest request;
  RequestSettings settings;
  Way way;
  Done done;
  Instant accepted;
  std::shared_ptr<World> world;
  std::shared_ptr<const Model> model;
  bool profiled = false;
};

void ExecutorHandle::start(LLMExecutionRequest request, Way way, Done done) {
  auto running = std::make_shared<Running>();
  running->request = std::move(request);
  running->way = std::move(way);
  running->done = std::move(done);
  LLMExecutionRequest& given = running->request;
  const auto refuse = [&](const Error& error) {
    (void)report("execute", tl::unexpected(error));
    counts_.with([](Counts& c) {
      ++c.requests;
      return ++c.errors;
    });
    running->done(refusal(given, config().llmId, error.message));
  };
  const auto here = place();
  if (!here) return refuse(here.error());
  auto settings = read_request(given, config().priority);
  if (!settings) return refuse(settings.error());
  running->settings = std::move(*settings);
  if (const auto input = given.parameters.find("pipeline_input");
      input != given.parameters.end() && input->second == "previous")
    return refuse({Code::kInvalidArgument,
                   "pipeline_input is for requests of executePipelined() and executeHybrid() that "
                   "have one before them"});
  if (here->encoder && !running->settings.context_id.empty())
    return refuse(
        {Code::kInvalidArgument, "an encoder has no conversations: leave context_id out"});
  running->world = here->world;
  running->accepted = here->world->clock().now();
  auto name = names_->claim(given.requestId, this);
  if (!name) return refuse(name.error());
  given.requestId = std::move(*name);
  counts_.with([](Counts& c) { return ++c.requests; });
  last_used_ms_ = unix_ms();
  state_.with([&](const State& s) {
    running->profiled = s.profiling;
    if (!running->way.stream &&
        (given.streamOutput || s.config.mode == LLMExecutionMode::STREAMING))
      running->way.stream = s.on_token;
    return 0;
  });

  if (here->encoder) return start_embedding(running, *here);
  const auto go = [self = shared_from_this(), running] {
    const Status submitted = self->where_it_is([&](const Place& there) -> Status {
      const auto submission = CHOIR_TRY(self->submit(running, there));
      if (self->names_->accepted(running->request.requestId, submission.id))
        (void)there.node->cancel(submission.id);
      // A conversation's turns begin one after the other, whoever else begins.
      if (running->way.gated && running->settings.context_id.empty())
        running->way.gated(there.node, submission.id);
      return {};
    });
    if (submitted) return;
    LLMExecutionResponse response;
    response.error = submitted.error().message;
    self->finish(running, std::move(response));
  };
  // A load takes as long as it takes: not on the caller's thread, except where a whole batch waits
  // for it anyway.
  if (loaded() || running->way.gated) return go();
  here->world->workers().post(go);
}

Result<Submission> ExecutorHandle::submit(const std::shared_ptr<Running>& running,
                                          const Place& here) {
  const LLMExecutionRequest& given = running->request;
  const RequestSettings& settings = running->settings;
  Request request = settings.request;
  request.executor = here.name;
  running->model = CHOIR_TRY(here.node->find(here.name))->shared_model();
  if (request.deadline.count() > 0) {  // what it has waited for a load counts
    const Nanos waited = here.world->clock().now() - running->accepted;
    request.deadline -= std::chrono::duration_cast<std::chrono::milliseconds>(waited);
    if (request.deadline.count() <= 0)
      return fail(Code::kDeadlineExceeded, "deadline exceeded: the request had " +
                                               std::to_string(given.timeout.count()) +
                                               " ms and its model was still being loaded");
  }
  Callbacks callbacks;
  if (running->way.stream)
    callbacks.on_event = [running](const StreamEvent& event) {
      if (!event.text.empty())
        running->way.stream(running->request.requestId, std::string(event.text));
    };
  callbacks.on_settled = [self = shared_from_this(), running](const Completion& completion) {
    self->settle(running, completion);
  };
  if (!settings.context_id.empty()) {
    if (!given.inputTokens.empty())
      return fail(Code::kInvalidArgument,
                  "inputTokens cannot continue a context: its tokens follow from its history; "
                  "give inputText");
    request.text = given.inputText;
    return here.world->conversations().say(*here.node, settings.context_id,
                                           {.request = std::move(request),
                                            .system = given.prompt,
                                            .raw = settings.raw,
                                            .now_ms = unix_ms()},
                                           std::move(callbacks));
  }
  if (!given.inputTokens.empty()) {
    request.tokens = CHOIR_TRY(tokens_of(given.inputTokens, here));
  } else if (given.inputText.empty()) {
    return fail(Code::kInvalidArgument, "inputText is empty: there is nothing to answer");
  } else if (settings.raw) {
    request.text = given.prompt + (given.prompt.empty() ? "" : "\n") + given.inputText;
  } else {
    if (!given.prompt.empty()) request.messages.push_back({"system", given.prompt});
    request.messages.push_back({"user", given.inputText});
  }
  Continuation continuation;
  continuation.gated = static_cast<bool>(running->way.gated);
  return here.node->submit(request, std::move(callbacks), std::move(continuation));
}

Result<std::vector<TokenId>> ExecutorHandle::tokens_of(const std::vector<std::string>& pieces,
                                                       const Place& here) const {
  const auto executor = CHOIR_TRY(here.node->find(here.name));
  const Model& model = executor->model();
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

void ExecutorHandle::settle(const std::shared_ptr<Running>& running, const Completion& completion) {
  LLMExecutionResponse response;
  response.success = completion.finish == Finish::kStop || completion.finish == Finish::kLength;
  response.llmId = running->world->llm_id_of(completion.executor);  // it may have been moved
  response.outputText = completion.text;
  response.outputTokens = pieces_of(*running->model, completion.tokens);
  response.inputLength = static_cast<std::size_t>(completion.usage.prompt_tokens);
  response.outputLength = static_cast<std::size_t>(completion.usage.output_tokens);
  if (completion.error) response.error = completion.error->message;
  counts_.with([&](Counts& c) {
    c.output_tokens += completion.usage.output_tokens;
    c.reused_tokens += completion.usage.reused_tokens;
    if (completion.finish == Finish::kCancelled) ++c.cancelled;
    if (!running->profiled) return 0;
    ++c.profiled;
    const Usage& usage = completion.usage;
    c.queue_seconds += usage.queue_seconds;
    c.prefill_seconds += std::max(0.0, usage.first_token_seconds - usage.queue_seconds);
    c.decode_seconds += std::max(0.0, usage.total_seconds - usage.first_token_seconds);
    return 0;
  });
  finish(running, std::move(response));
}

void ExecutorHandle::finish(const std::shared_ptr<Running>& running,
                            LLMExecutionResponse response) {
  const double seconds = to_seconds(running->world->clock().now() - running->accepted);
  response.requestId = running->request.requestId;
  if (response.llmId.empty()) response.llmId = config().llmId;
  response.latency = static_cast<float>(seconds);
  if (seconds > 0)
    response.throughput = static_cast<float>(static_cast<double>(response.outputLength) / seconds);
  response.completedAt = wall_now();
  last_used_ms_ = unix_ms();
  counts_.with([&](Counts& c) {
    ++(response.success ? c.completed : c.errors);
    c.latency_seconds += seconds;
    return 0;
  });
  if (!response.success) (void)report("execute", fail(Code::kCancelled, response.error));
  names_->release(response.requestId);
  running->done(std::move(response));
}

void ExecutorHandle::start_embedding(const std::shared_ptr<Running>& running, const Place& here) {
  here.world->embedders().post([self = shared_from_this(), running, here] {
    LLMExecutionResponse response;
    std::chrono::milliseconds left = running->request.timeout;
    if (left.count() > 0) {  // what it has waited for a thread counts
      const Nanos waited = here.world->clock().now() - running->accepted;
      left = std::max(left - std::chrono::duration_cast<std::chrono::milliseconds>(waited),
                      std::chrono::milliseconds(1));
    }
    const auto vector = here.node->embed(here.name, running->request.inputText, left);
    if (!vector) {
      response.error = vector.error().message;
    } else {
      response.success = true;
      response.outputText = nlohmann::json(*vector).dump();
      if (const auto executor = here.node->find(here.name))
        if (const auto tokens =
                (*executor)->model().tokenize(running->request.inputText, Model::Special::kParse))
          response.inputLength = tokens->size();
    }
    self->finish(running, std::move(response));
  });
}

Result<std::vector<float>> ExecutorHandle::embed(const std::string& text) {
  const Place here = CHOIR_TRY(place());
  return here.node->embed(here.name, text);
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
  state_.with([&](State& s) {
    s.on_token = std::move(callback);
    return 0;
  });
}

bool ExecutorHandle::cancel(const std::string& request_id) const {
  const auto refuse = [&](const std::string& why) {
    return report("cancelExecution", fail(Code::kNotFound, why));
  };
  if (!active(request_id))
    return refuse("no active request of it is named '" + printable_line(request_id, 60) + "'");
  const auto here = place();
  if (here && here->encoder) return refuse("an embedding is one pass and cannot be cancelled");
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
