// choir/node.h on top of runtime/runtime.h.
#include "choir/node.h"

#include <string>
#include <type_traits>
#include <utility>

#include "base/cache_folder.h"
#include "base/caught.h"
#include "base/log.h"
#include "choir/machine.h"
#include "engine/file_check.h"
#include "engine/llama_backend.h"
#include "runtime/runtime.h"
#include "runtime/tuning.h"

namespace choir {

Result<std::shared_ptr<Runtime>> create_runtime(const NodeConfig& config) {
  CHOIR_CHECK_OK(validate(config));
  const Machine machine = read_machine();
  auto backend = std::make_unique<LlamaBackend>(
      FileCheckOptions{.check = config.check_files, .cache_folder = cache_folder(), .probe = {}},
      config.memory_bytes_max > 0 ? config.memory_bytes_max : machine.memory_free());
  return Runtime::create(tuned(config, machine), machine, std::move(backend));
}

// Nothing that is thrown crosses this border: each call goes through caught(), or through
// or_nothing() where it has no error to return.

namespace {

// What is thrown is logged, and the call returns an empty value.
template <class F>
auto or_nothing(const char* call, F&& work) {
  using Value = std::invoke_result_t<F>;
  constexpr bool kGivesNothing = std::is_void_v<Value>;
  using Given = std::conditional_t<kGivesNothing, bool, Value>;
  auto done = caught([&]() -> Result<Given> {
    if constexpr (kGivesNothing) {
      work();
      return true;
    } else {
      return work();
    }
  });
  if (!done) log(LogLevel::kError, std::string("node: ") + call + ": " + done.error().message);
  if constexpr (!kGivesNothing) return std::move(done).value_or(Value{});
}

}  // namespace

Result<std::unique_ptr<Node>> Node::create(const NodeConfig& config) {
  return caught([&]() -> Result<std::unique_ptr<Node>> {
    auto runtime = CHOIR_TRY(create_runtime(config));
    return std::unique_ptr<Node>(new Node(std::move(runtime)));
  });
}

Node::Node(std::shared_ptr<Runtime> runtime) : runtime_(std::move(runtime)) {}

Node::~Node() { shutdown(Drain::kCancel); }

Status Node::add(const ExecutorConfig& config) {
  return caught([&] { return runtime_->add(config); });
}

Status Node::remove(std::string_view executor, Drain drain) {
  return caught([&] { return runtime_->remove(executor, drain); });
}

Status Node::load(std::string_view executor) {
  return caught([&] { return runtime_->load(executor); });
}

Status Node::unload(std::string_view executor) {
  return caught([&] { return runtime_->unload(executor); });
}

Status Node::declare(const ExecutorConfig& config) {
  return caught([&] { return runtime_->declare(config); });
}

Result<LoadEstimate> Node::estimate(const ExecutorConfig& config) const {
  return caught([&]() -> Result<LoadEstimate> {
    CHOIR_CHECK_OK(validate(config));
    return runtime_->estimate(config);
  });
}

Status Node::check_load(std::string_view executor) const {
  return caught([&] { return runtime_->check_load(executor); });
}

Result<LoadTicket> Node::begin_load(std::string_view executor, LoadWatch watch) {
  return caught([&] { return runtime_->begin_load(executor, std::move(watch)); });
}

Status Node::hold(std::string_view executor, std::string_view tenant,
                  std::chrono::milliseconds duration) {
  return caught([&] { return runtime_->hold(executor, tenant, duration); });
}

Status Node::release(std::string_view executor, std::string_view tenant) {
  return caught([&] { return runtime_->release(executor, tenant); });
}

Status Node::suspend(std::string_view executor) {
  return caught([&] { return runtime_->suspend(executor); });
}

Status Node::resume(std::string_view executor) {
  return caught([&] { return runtime_->resume(executor); });
}

Status Node::update(const ExecutorConfig& config) {
  return caught([&] { return runtime_->update(config); });
}

Status Node::resize(std::string_view executor, std::int32_t sequences_max,
                    std::int32_t sequence_tokens_max) {
  return caught([&] { return runtime_->resize(executor, sequences_max, sequence_tokens_max); });
}

Status Node::migrate(std::string_view executor, Node& target) {
  return caught([&] { return runtime_->migrate(executor, *target.runtime_); });
}

Status Node::set_policy(ExecutionPolicy policy) {
  return caught([&] { return runtime_->set_policy(policy); });
}

ExecutionPolicy Node::policy() const {
  return or_nothing("policy", [&] { return runtime_->policy(); });
}

Result<Submission> Node::submit(const Request& request, Callbacks callbacks) {
  return caught([&] { return runtime_->submit(request, std::move(callbacks)); });
}

Result<Prepared> Node::prepare(Request request) const {
  return caught([&] { return runtime_->prepare(std::move(request)); });
}

Result<Submission> Node::enqueue(Prepared prepared, Callbacks callbacks) {
  return caught([&] { return runtime_->enqueue(std::move(prepared), std::move(callbacks)); });
}

Result<std::vector<Submission>> Node::submit_all(std::span<const Request> requests,
                                                 std::vector<Callbacks> callbacks) {
  return caught([&] { return runtime_->submit_all(requests, std::move(callbacks)); });
}

Result<std::vector<Submission>> Node::enqueue_all(std::vector<Prepared> prepared,
                                                  std::vector<Callbacks> callbacks) {
  return caught([&] { return runtime_->enqueue_all(std::move(prepared), std::move(callbacks)); });
}

Result<Completion> Node::run(const Request& request) {
  return caught([&] { return runtime_->run(request); });
}

Status Node::cancel(RequestId id) {
  return caught([&] { return runtime_->cancel(id); });
}

void Node::close_door() {
  or_nothing("close_door", [&] { runtime_->close_door(); });
}

Status Node::wait_idle() {
  return caught([&] { return runtime_->wait_idle(); });
}

Status Node::wait_idle(std::chrono::milliseconds most) {
  return caught([&] { return runtime_->wait_idle(most); });
}

Result<std::vector<TokenId>> Node::tokenize(std::string_view executor,
                                            std::string_view text) const {
  return caught([&]() -> Result<std::vector<TokenId>> {
    const auto found = CHOIR_TRY(runtime_->find(executor));
    return found->model().tokenize(text, Model::Special::kParse);
  });
}

Result<std::string> Node::detokenize(std::string_view executor,
                                     const std::vector<TokenId>& tokens) const {
  return caught([&]() -> Result<std::string> {
    const auto found = CHOIR_TRY(runtime_->find(executor));
    std::string text;
    for (const TokenId token : tokens) text += found->model().piece(token);
    return text;
  });
}

Result<EmbedSubmission> Node::submit_embed(const EmbedRequest& request, EmbedCallbacks callbacks) {
  return caught([&] { return runtime_->submit_embed(request, std::move(callbacks)); });
}

Result<EmbedSubmission> Node::enqueue_embed(EmbedRequest request, EmbedCallbacks callbacks) {
  return caught([&] { return runtime_->enqueue_embed(std::move(request), std::move(callbacks)); });
}

Result<std::vector<float>> Node::embed(std::string_view executor, std::string_view text) {
  return caught([&] { return runtime_->embed(executor, text); });
}

std::vector<RequestInfo> Node::requests() const {
  return or_nothing("requests", [&] { return runtime_->requests(); });
}

Result<std::optional<CellSharing>> Node::cell_sharing(std::string_view name) const {
  return caught([&] { return runtime_->cell_sharing(name); });
}

Result<QueuePlace> Node::place(RequestId id) const {
  return caught([&] { return runtime_->place(id); });
}

std::vector<ExecutorInfo> Node::executors() const {
  return or_nothing("executors", [&] { return runtime_->executors(); });
}

Result<ExecutorInfo> Node::executor(std::string_view name) const {
  return caught([&] { return runtime_->executor(name); });
}

TurnsSince Node::turns(const std::vector<std::uint64_t>& from) const {
  return or_nothing("turns", [&] { return runtime_->turns(from); });
}

NodeInfo Node::info() const {
  return or_nothing("info", [&] { return runtime_->info(); });
}

std::uint64_t Node::changes() const { return runtime_->changes(); }

void Node::shutdown(Drain drain) {
  or_nothing("shutdown", [&] { runtime_->shutdown(drain); });
}

}  // namespace choir
