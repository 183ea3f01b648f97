#include "generation.h"

#include <algorithm>
#include <chrono>

#include "choir/catalog.h"
#include "choir/text.h"
#include "interrupt.h"
#include "terminal.h"

namespace choir::app {
namespace {

constexpr std::int32_t kContextTokens = 4096;  // a long chat; 100 to 500 MB in small models
constexpr std::size_t kNameCharacters = 60;    // for messages; kNameBytesMax in UTF-8 of any kind
constexpr std::chrono::milliseconds kLookEvery{50};  // Ctrl-C feels immediate
constexpr std::chrono::hours kPagerPatience{24};  // `choir run … | less` may wait for its reader
constexpr std::uint64_t kUnreadBytesMax = 64ULL << 20U;  // whole answers, whatever the reader does

std::int32_t context_of(const OpenOptions& options, const ModelInfo& model) {
  if (options.context_tokens > 0) return options.context_tokens;
  return model.context_tokens_trained > 0 ? std::min(kContextTokens, model.context_tokens_trained)
                                          : kContextTokens;
}

}  // namespace

Result<ModelInfo> generating_model(const std::string& name) {
  const std::string path = CHOIR_TRY(resolve_model(name));
  ModelInfo model = CHOIR_TRY(inspect_model(path));
  if (!model.not_run.empty())
    return fail(Code::kInvalidArgument,
                "'" + name + "' is " + model.not_run + ", which Choir does not run");
  if (!model.generates)
    return fail(Code::kInvalidArgument, "'" + name + "' is an encoder (" + model.architecture +
                                            "): it embeds text and writes none");
  return model;
}

Result<OpenModel> open_model(const std::string& name, const OpenOptions& options) {
  OpenModel model;
  model.name = name;
  model.info = CHOIR_TRY(generating_model(name));
  NodeConfig node_config;
  node_config.cores = options.cores;
  node_config.stalled = kPagerPatience;
  node_config.stream_bytes_max = kUnreadBytesMax;
  model.node = CHOIR_TRY(Node::create(node_config));
  ExecutorConfig executor;
  executor.name = printable_line(name, kNameCharacters);  // a path may be longer than a name
  executor.path = model.info.path;
  executor.context_tokens = context_of(options, model.info);
  executor.sequences_max = options.sequences_max;
  executor.prefix_cache = options.prefix_cache;
  executor.kv_type = options.kv_type;
  CHOIR_CHECK_OK(model.node->add(executor));
  model.context_tokens = executor.context_tokens;
  return model;
}

Result<OpenModel> remote_model(const std::string& host, const std::string& name) {
  OpenModel model;
  model.name = name;
  model.daemon = CHOIR_TRY(RemoteDaemon::at(host));
  model.info.path = CHOIR_TRY(model.daemon->model(name)).path;
  model.info.name = name;
  model.info.chat_template = "the daemon's";  // it may have one
  return model;
}

namespace {

// Of a daemon, on this thread. The connection is closed at Ctrl-C, which ends the request there.
Result<Completion> generate_there(const OpenModel& model, Request request,
                                  const OnEvent& on_event) {
  const Graceful until_ended;
  request.executor = model.name;
  RemoteDaemon::Reader reader;
  reader.go_on = [] {
    watch_output();
    return !interrupted() && output_error() == 0;
  };
  if (on_event)
    reader.on_text = [&](std::size_t /*the only job*/, std::string_view text, std::int32_t tokens) {
      on_event({.id = {}, .text = text, .output_tokens = tokens});
    };
  return model.daemon->run(request, reader);
}

}  // namespace

Result<Completion> generate(const OpenModel& model, const Request& request,
                            const OnEvent& on_event) {
  if (model.daemon) return generate_there(model, request, on_event);
  Node& node = *model.node;
  const Graceful until_ended;
  Submission submission = CHOIR_TRY(node.submit(request, {.on_event = on_event, .on_done = {}}));
  bool cancelled = false;
  while (submission.result.wait_for(kLookEvery) != std::future_status::ready) {
    watch_output();
    if (cancelled || (!interrupted() && output_error() == 0)) continue;
    cancelled = true;
    static_cast<void>(node.cancel(submission.id));  // not active any more: it has ended
  }
  return submission.result.get();
}

}  // namespace choir::app
