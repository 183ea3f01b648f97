// Requests in the node: from submit() to the end.
#include <algorithm>
#include <limits>

#include "runtime/runtime.h"

namespace choir {
namespace {

// No token of any vocabulary we know is longer; longer text cannot fit whatever it says.
constexpr std::size_t kBytesPerTokenMax = 256;

Status fits_in_context(const Executor& executor, std::size_t tokens) {
  const auto most = static_cast<std::size_t>(executor.sequence_tokens_max());
  if (tokens == 0) return fail(Code::kInvalidArgument, "prompt is empty: it has no tokens");
  if (tokens >= most)
    return fail(Code::kInvalidArgument,
                "prompt has " + std::to_string(tokens) + " tokens, '" + executor.config().name +
                    "' takes " + std::to_string(most - 1) +
                    "; shorten it or give the executor more context_tokens");
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
                                                " is not in the vocabulary of '" +
                                                executor.config().name + "', which has 0 to " +
                                                std::to_string(model.info().vocab_tokens - 1));
    CHOIR_CHECK_OK(fits_in_context(executor, request.tokens.size()));
    return request.tokens;
  }
  const std::string text =
      request.messages.empty() ? request.text : CHOIR_TRY(model.render(request.messages));
  if (text.size() > most * kBytesPerTokenMax)
    return fail(Code::kInvalidArgument, "prompt has " + std::to_string(text.size()) + " bytes, '" +
                                            executor.config().name + "' takes " +
                                            std::to_string(most - 1) + " tokens; shorten it");
  auto tokens = CHOIR_TRY(model.tokenize(text, Model::Special::kParse));
  CHOIR_CHECK_OK(fits_in_context(executor, tokens.size()));
  return tokens;
}

Result<Submission> Runtime::submit(Request request, Callbacks callbacks) {
  CHOIR_CHECK_OK(validate(request));
  const std::shared_ptr<Executor> executor = CHOIR_TRY(find(request.executor));
  if (!executor->model().info().generates)
    return fail(Code::kInvalidArgument, "'" + executor->config().name +
                                            "' is an encoder: it embeds text and generates none");
  const Instant now = clock_.now();
  Sequence sequence;
  sequence.tokens = CHOIR_TRY(prompt_tokens(*executor, request));
  const RequestId id{epoch_ | next_id_++};
  sequence.id = {id.value};
  sequence.request = id;
  sequence.model_fingerprint = executor->model().fingerprint();
  sequence.prompt_tokens = sequence.known_tokens();
  sequence.max_tokens =
      std::min(request.max_tokens, executor->sequence_tokens_max() - sequence.prompt_tokens);
  sequence.sampling = std::move(request.sampling);
  if (request.ignore_eos)
    for (const TokenId end : executor->model().end_tokens())
      sequence.sampling.bias.push_back({end, -std::numeric_limits<float>::infinity()});
  sequence.stop = std::move(request.stop);
  sequence.ignore_eos = request.ignore_eos;
  sequence.priority = request.priority.value_or(executor->config().priority);
  sequence.tenant = std::move(request.tenant);

  const Instant deadline = request.deadline.count() > 0 ? now + request.deadline : Instant{};
  auto state =
      std::make_shared<RequestState>(id, executor->id(), now, deadline, std::move(callbacks));
  Submission submission{.id = id, .result = state->promise.get_future()};
  CHOIR_CHECK_OK(enlist(*executor, state));
  const Priority priority = sequence.priority;
  if (!executor->post(std::move(sequence), state)) {
    strike(*state);
    return fail(Code::kOverloaded,
                "the mailbox of '" + executor->config().name + "' is full; try again later");
  }
  lanes_.ready(executor->id(), priority);
  if (deadline != Instant{}) alarms_.set_earlier(executor->id(), deadline);
  return submission;
}

Status Runtime::enlist(const Executor& executor, const std::shared_ptr<RequestState>& state) {
  return active_.with([&](Active& a) -> Status {
    if (a.closing) return fail(Code::kCancelled, "the node is shutting down");
    if (std::ranges::find(a.closed, executor.id()) != a.closed.end())
      return fail(Code::kNotFound, "executor '" + executor.config().name + "' is being removed");
    std::int32_t& count = a.by_executor[executor.id()];
    if (count >= config_.queue_max)
      return fail(Code::kOverloaded, "'" + executor.config().name + "' has " +
                                         std::to_string(count) + " requests, at most " +
                                         std::to_string(config_.queue_max) +
                                         " may wait or run; try again later");
    ++count;
    a.requests.emplace(state->id, state);
    return {};
  });
}

void Runtime::strike(const RequestState& state) {
  active_.change([&](Active& a) {
    if (a.requests.erase(state.id) > 0) --a.by_executor[state.executor];
  });
}

Result<Completion> Runtime::run(Request request) {
  CHOIR_CHECK_OK(refuse_inside_callback("run()", "submit() with on_done"));
  return CHOIR_TRY(submit(std::move(request), {})).result.get();
}

Result<std::vector<float>> Runtime::embed(std::string_view name, std::string_view text) {
  CHOIR_CHECK_OK(refuse_inside_callback("embed()", "another thread"));
  const std::shared_ptr<Executor> executor = CHOIR_TRY(find(name));
  if (executor->model().info().generates)
    return fail(Code::kInvalidArgument, "'" + executor->config().name +
                                            "' generates text; embeddings need an encoder model");
  Executor::EmbedJob job{
      .tokens = CHOIR_TRY(executor->model().tokenize(text, Model::Special::kParse)),
      .promise = std::make_shared<std::promise<Result<std::vector<float>>>>()};
  auto future = job.promise->get_future();
  if (!executor->post_embedding(std::move(job)))
    return fail(Code::kOverloaded,
                "the mailbox of '" + executor->config().name + "' is full; try again later");
  lanes_.ready(executor->id(), executor->config().priority);
  return future.get();
}

Status Runtime::cancel(RequestId id) {
  const std::shared_ptr<RequestState> state = active_.with([&](const Active& a) {
    const auto found = a.requests.find(id);
    return found == a.requests.end() ? nullptr : found->second;
  });
  if (!state)
    return fail(Code::kNotFound, "no active request has the id " + std::to_string(id.value));
  state->cancelled.store(true);
  if (const auto executor = by_id(state->executor)) {
    executor->interrupt(id);
    lanes_.ready(state->executor, Priority::kCritical);  // a turn that ends work costs none
  }
  return {};
}

void Runtime::cancel_all(std::optional<ExecutorId> only) {
  const auto ids = active_.with([&](const Active& a) {
    std::vector<RequestId> list;
    for (const auto& [id, state] : a.requests)
      if (!only || state->executor == *only) list.push_back(id);
    return list;
  });
  for (const RequestId id : ids) (void)cancel(id);
}

}  // namespace choir
