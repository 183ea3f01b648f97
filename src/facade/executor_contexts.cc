// Conversations of an executor, in the words of parallel/parallel_llm_execution.h.
#include "facade/executor_handle.h"

namespace choir::parallel {
namespace {

// A time that was not given is now.
std::int64_t unix_ms_of(TimePoint when) {
  if (when == TimePoint{}) return unix_ms();
  return std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch()).count();
}

// The system message travels in the metadata: the struct has no field for it.
constexpr const char* kSystemKey = "system";

Result<ConversationRecord> to_record(const LLMExecutionContext& context,
                                     const std::string& executor) {
  if (context.maxContextLength > (1U << 24U))
    return fail(Code::kInvalidArgument,
                "maxContextLength is " + std::to_string(context.maxContextLength) +
                    ", allowed 0 (the executor's) .. " + std::to_string(1U << 24U));
  ConversationRecord record;
  record.executor = executor;
  record.id = context.contextId;
  record.tokens_max = static_cast<std::int32_t>(context.maxContextLength);
  record.maintain = context.maintainContext;
  record.metadata = context.metadata;
  record.created_ms = unix_ms_of(context.createdAt);
  record.last_used_ms = unix_ms_of(context.lastUsed);
  if (const auto system = record.metadata.find(kSystemKey); system != record.metadata.end())
    record.system = system->second;
  for (std::size_t i = 0; i < context.conversationHistory.size(); ++i)
    record.history.push_back({i % 2 == 0 ? "user" : "assistant", context.conversationHistory[i]});
  return record;
}

}  // namespace

Result<std::string> ExecutorHandle::create_context(const LLMExecutionContext& context) {
  const Place here = CHOIR_TRY(place());
  if (here.encoder)
    return fail(Code::kInvalidArgument, "an encoder has no conversations: it embeds");
  return here.world->conversations().create(CHOIR_TRY(to_record(context, here.name)));
}

Status ExecutorHandle::update_context(const std::string& id, const LLMExecutionContext& context) {
  const Place here = CHOIR_TRY(place());
  ConversationRecord record = CHOIR_TRY(to_record(context, here.name));
  record.id = id;
  return here.world->conversations().update(std::move(record));
}

Status ExecutorHandle::delete_context(const std::string& id) {
  const Place here = CHOIR_TRY(place());
  return here.world->conversations().erase(here.name, id);
}

Result<LLMExecutionContext> ExecutorHandle::context(const std::string& id) const {
  const Place here = CHOIR_TRY(place());
  const ConversationRecord record = CHOIR_TRY(here.world->conversations().get(here.name, id));
  LLMExecutionContext context;
  context.contextId = record.id;
  context.llmId = config().llmId;
  for (const Message& message : record.history)
    context.conversationHistory.push_back(message.content);
  context.maxContextLength = static_cast<std::size_t>(record.tokens_max);
  context.maintainContext = record.maintain;
  context.metadata = record.metadata;
  if (!record.system.empty()) context.metadata[kSystemKey] = record.system;
  context.metadata["tokens"] = std::to_string(record.tokens.size());
  context.createdAt = TimePoint(std::chrono::milliseconds(record.created_ms));
  context.lastUsed = TimePoint(std::chrono::milliseconds(record.last_used_ms));
  return context;
}

std::vector<std::string> ExecutorHandle::contexts() const {
  const auto here = place();
  return here ? here->world->conversations().ids(here->name) : std::vector<std::string>();
}

}  // namespace choir::parallel
