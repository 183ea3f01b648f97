// choir/node.h on top of runtime/runtime.h.
#include "choir/node.h"

#include <thread>

#include "choir/machine.h"
#include "engine/file_check.h"
#include "engine/llama_backend.h"
#include "runtime/runtime.h"

namespace choir {

Result<std::unique_ptr<Node>> Node::create(const NodeConfig& config) {
  CHOIR_CHECK_OK(validate(config));
  const Machine machine = read_machine();
  auto backend = std::make_unique<LlamaBackend>(
      FileCheckOptions{.check = config.check_files, .cache_folder = cache_folder(), .probe = {}},
      config.memory_bytes_max > 0 ? config.memory_bytes_max : machine.memory_free());
  auto runtime = CHOIR_TRY(Runtime::create(config, machine, std::move(backend)));
  return std::unique_ptr<Node>(new Node(std::move(runtime)));
}

Node::Node(std::shared_ptr<Runtime> runtime) : runtime_(std::move(runtime)) {}

Node::~Node() {
  runtime_->shutdown(Drain::kCancel);
  // A callback that destroys its own node cannot join the thread it runs on.
  if (Dispatcher::on_dispatcher_thread())
    std::thread([runtime = std::move(runtime_)]() mutable { runtime.reset(); }).detach();
}

Status Node::add(const ExecutorConfig& config) { return runtime_->add(config); }

Status Node::remove(std::string_view executor, Drain drain) {
  return runtime_->remove(executor, drain);
}

Result<Submission> Node::submit(Request request, Callbacks callbacks) {
  return runtime_->submit(std::move(request), std::move(callbacks));
}

Result<Completion> Node::run(Request request) { return runtime_->run(std::move(request)); }

Status Node::cancel(RequestId id) { return runtime_->cancel(id); }

Status Node::wait_idle() { return runtime_->wait_idle(); }

Result<std::vector<TokenId>> Node::tokenize(std::string_view executor,
                                            std::string_view text) const {
  const auto found = CHOIR_TRY(runtime_->find(executor));
  return found->model().tokenize(text, Model::Special::kParse);
}

Result<std::string> Node::detokenize(std::string_view executor,
                                     const std::vector<TokenId>& tokens) const {
  const auto found = CHOIR_TRY(runtime_->find(executor));
  std::string text;
  for (const TokenId token : tokens) text += found->model().piece(token);
  return text;
}

Result<std::vector<float>> Node::embed(std::string_view executor, std::string_view text) {
  return runtime_->embed(executor, text);
}

std::vector<ExecutorInfo> Node::executors() const { return runtime_->executors(); }

Result<ExecutorInfo> Node::executor(std::string_view name) const {
  const auto found = CHOIR_TRY(runtime_->find(name));
  for (ExecutorInfo& info : runtime_->executors())
    if (info.config.name == found->config().name) return std::move(info);
  return fail(Code::kNotFound, "no executor is named '" + std::string(name) + "'");
}

NodeInfo Node::info() const { return runtime_->info(); }

void Node::shutdown(Drain drain) { runtime_->shutdown(drain); }

}  // namespace choir
