#include "facade/manager_inside.h"

#include <algorithm>
#include <cmath>

#include "base/caught.h"
#include "base/log.h"
#include "base/process_exit.h"
#include "base/scope_end.h"
#include "choir/text.h"

namespace choir::parallel {

bool ManagerInside::report(const char* call, const Status& status) const {
  return last_error_.report("manager", call, status);
}

Status ManagerInside::initialize() {
  if (initialized()) return {};
  auto world = CHOIR_TRY(World::get());
  if (policy_set_.load()) CHOIR_CHECK_OK(world->set_policy(policy_.load()));
  table_.with([&](Table& t) {
    if (!t.world) t.world = std::move(world);
    return 0;
  });
  return {};
}

void ManagerInside::shutdown() {
  if (process_exits()) return;
  std::map<std::string, Llm> llms;
  auto world = table_.with([&](Table& t) {
    llms.swap(t.llms);
    t.coming.clear();
    return std::exchange(t.world, nullptr);
  });
  for (const auto& [id, llm] : llms) llm->shutdown();
}

bool ManagerInside::initialized() const { return world() != nullptr; }

Result<ManagerInside::Llm> ManagerInside::create(const LLMExecutionConfig& config) {
  auto handle = std::make_shared<ExecutorHandle>(config, names_);
  CHOIR_CHECK_OK(adopt(handle));
  const Llm made = find(config.llmId);
  if (!made) return fail(Code::kCancelled, "the manager was shut down in the meantime");
  return made;
}

// The place is taken before the load, so that two of one id, or one too many, never load both.
Status ManagerInside::adopt(const std::shared_ptr<ExecutorHandle>& handle) {
  const std::string id = handle->config().llmId;
  const Status room = table_.with([&](Table& t) -> Status {
    if (!t.world)
      return fail(Code::kNotFound, "the manager is not initialized; call initialize() first");
    if (id.empty()) return fail(Code::kInvalidArgument, "llmId is empty");
    if (t.llms.contains(id) || t.coming.contains(id))
      return fail(Code::kAlreadyExists, "an LLM '" + id + "' exists already");
    const std::size_t count = t.llms.size() + t.coming.size();
    if (static_cast<int>(count) >= llms_max_.load())
      return fail(Code::kOverloaded, "there are " + std::to_string(count) + " LLMs, at most " +
                                         std::to_string(llms_max_.load()) +
                                         "; destroy one or raise setMaxLLMs()");
    t.coming.emplace(id, handle.get());
    return {};
  });
  CHOIR_CHECK_OK(room);
  ScopeEnd leave_place([&] {
    table_.with([&](Table& t) {
      if (const auto place = t.coming.find(id);
          place != t.coming.end() && place->second == handle.get())
        t.coming.erase(place);
    });
  });
  handle->set_adopter(
      [weak = weak_from_this()](const std::shared_ptr<ExecutorHandle>& clone) -> Status {
        if (const auto manager = weak.lock()) return manager->adopt(clone);
        return fail(Code::kNotFound, "its manager is gone");
      });
  handle->set_profiling(profiling_.load());
  Status entered = handle->initialize();
  Llm llm(new AdvancedLLMExecutor(handle));
  leave_place.release();
  const bool kept = table_.with([&](Table& t) {
    const auto place = t.coming.find(id);
    if (place == t.coming.end() || place->second != handle.get()) return false;
    t.coming.erase(place);
    if (entered) t.llms.emplace(id, llm);
    return true;
  });
  if (entered && !kept) {
    llm->shutdown();
    return fail(Code::kCancelled, "the manager was shut down in the meantime");
  }
  return entered;
}

Status ManagerInside::destroy(const std::string& id) {
  Llm gone;
  const bool found = table_.with([&](Table& t) {
    const auto place = t.llms.find(id);
    if (place == t.llms.end()) return false;
    gone = std::move(place->second);
    t.llms.erase(place);
    return true;
  });
  if (!found)
    return fail(Code::kNotFound, "there is no LLM '" + printable_line(id, 60) + "' to destroy");
  gone->shutdown();
  return {};
}

ManagerInside::Llm ManagerInside::find(const std::string& id) const {
  return table_.with([&](const Table& t) {
    const auto found = t.llms.find(id);
    return found == t.llms.end() ? nullptr : found->second;
  });
}

std::vector<ManagerInside::Llm> ManagerInside::all() const {
  return table_.with([](const Table& t) {
    std::vector<Llm> llms;
    for (const auto& [id, llm] : t.llms) llms.push_back(llm);
    return llms;
  });
}

std::map<std::string, std::vector<std::shared_ptr<ExecutorHandle>>> ManagerInside::groups() const {
  std::map<std::string, std::vector<std::shared_ptr<ExecutorHandle>>> groups;
  for (const Llm& llm : all())
    if (const std::string group = llm->handle_->group(); !group.empty())
      groups[group].push_back(llm->handle_);
  return groups;
}

Result<std::shared_ptr<ExecutorHandle>> ManagerInside::resolve(const LLMExecutionRequest& request) {
  if (!initialized())
    return fail(Code::kNotFound, "the manager is not initialized; call initialize() first");
  const std::string& id = request.llmId;
  if (const Llm llm = find(id))
    return llm->handle_;  // an executor's own name goes before a group's
  std::vector<std::shared_ptr<ExecutorHandle>> candidates;
  const auto all_groups = groups();
  if (id.empty()) {
    for (const Llm& llm : all()) candidates.push_back(llm->handle_);
  } else if (const auto group = all_groups.find(id); group != all_groups.end()) {
    candidates = group->second;
  } else {
    std::vector<std::string> known;
    for (const Llm& llm : all()) known.push_back(llm->getLLMId());
    for (const auto& [name, members] : all_groups) known.push_back(name);
    std::string message = "there is no LLM '" + printable_line(id, 60) + "'";
    if (const auto close = nearest(id, known)) message += "; the nearest is '" + *close + "'";
    return fail(Code::kNotFound, message);
  }
  return choose(candidates, request);
}

Result<std::shared_ptr<ExecutorHandle>> ManagerInside::choose(
    const std::vector<std::shared_ptr<ExecutorHandle>>& candidates,
    const LLMExecutionRequest& request) {
  const auto context = request.parameters.find("context_id");
  const bool talks = context != request.parameters.end();
  // Replicas may be in several nodes, each of which has its own ids: here the index is the id.
  std::vector<ReplicaView> loaded;
  std::vector<ReplicaView> away;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto place = candidates[i]->place();
    // An encoder only takes what names it; a conversation goes where it is.
    if (!place || (request.llmId.empty() && place->encoder)) continue;
    ConversationKey key;
    if (talks) key = place->world->conversations().key(place->name, context->second);
    if (talks && key == ConversationKey{}) continue;
    auto view = place->node->look(place->name, key);
    if (!view) continue;
    view->id = {i};
    (candidates[i]->loaded() ? loaded : away).push_back(*view);
  }
  const std::uint64_t turn = table_.with([&](Table& t) { return t.turns[request.llmId]++; });
  const auto chosen = route(loaded.empty() ? away : loaded,
                            {.prompt_tokens = kConversationTokens,
                             .output_tokens_max = static_cast<std::int32_t>(
                                 std::min<std::size_t>(request.maxOutputLength, kPromptTokensMax)),
                             .turn = turn,
                             .balance = balance_.load()});
  if (chosen) return candidates[chosen->value];
  return fail(Code::kNotFound, talks
                                   ? "no LLM that may answer has a context '" +
                                         printable_line(context->second, 60) + "'"
                                   : std::string("there is no LLM that could answer; create one"));
}

void ManagerInside::start(const LLMExecutionRequest& request, ExecutorHandle::Way way,
                          ExecutorHandle::Done done) {
  auto handle = caught([&] { return resolve(request); });
  if (handle) return (*handle)->start(request, std::move(way), std::move(done));
  (void)report("execute", tl::unexpected(handle.error()));
  done(refusal(request, request.llmId, handle.error().message));
}

Status ManagerInside::cancel(const std::string& request_id) const {
  const ExecutorHandle* owner = names_->owner(request_id);
  for (const Llm& llm : all())
    if (llm->handle_.get() == owner && owner != nullptr)
      return llm->handle_->cancel(request_id) ? Status()
                                              : fail(Code::kNotFound, llm->handle_->last_error());
  return fail(Code::kNotFound,
              "no active request is named '" + printable_line(request_id, 60) + "'");
}

Status ManagerInside::cancel_all() const {
  for (const Llm& llm : all()) llm->handle_->cancel_all();
  return {};
}

std::vector<std::string> ManagerInside::active(const std::string& id) const {
  if (id.empty()) return names_->active(nullptr);
  const Llm llm = find(id);
  return llm ? llm->handle_->active() : std::vector<std::string>();
}

Status ManagerInside::optimize() {
  if (!initialized()) return fail(Code::kNotFound, "the manager is not initialized");
  Status first;
  double optimized = 0;
  for (const Llm& llm : all()) {
    const auto place = llm->handle_->place();
    if (!place || place->encoder) continue;
    const Status status = llm->handle_->optimize(std::chrono::seconds(10));
    if (status)
      ++optimized;
    else if (first)
      first = tl::unexpected(Error(status.error()).in("'" + llm->getLLMId() + "'"));
  }
  counts_.with([&](Counts& c) {
    c.optimized = optimized;
    return 0;
  });
  return first;
}

Status ManagerInside::balance() {
  if (!initialized()) return fail(Code::kNotFound, "the manager is not initialized");
  std::int32_t moved = 0;
  for (const auto& [group, handles] : groups()) {
    std::map<std::shared_ptr<Runtime>, std::vector<std::string>> names;
    for (const auto& handle : handles)
      if (const auto place = handle->place()) names[place->node].push_back(place->name);
    for (const auto& [node, members] : names) moved += CHOIR_TRY(node->spread_queues(members));
  }
  counts_.with([&](Counts& c) {
    c.moved += moved;
    return 0;
  });
  return {};
}

Status ManagerInside::cleanup() {
  if (!initialized()) return fail(Code::kNotFound, "the manager is not initialized");
  for (const Llm& llm : all()) {
    const auto info = llm->handle_->info();
    if (!info || !info->loaded || info->active > 0 || info->config.pinned ||
        info->idle_seconds < idle_unload_.load())
      continue;
    if (!llm->handle_->unload()) continue;  // got work in this moment
    counts_.with([](Counts& c) {
      ++c.unloaded;
      return 0;
    });
  }
  return {};
}

Status ManagerInside::validate() {
  if (!initialized()) return fail(Code::kNotFound, "the manager is not initialized");
  double problems = 0;
  std::string what;
  for (const Llm& llm : all()) {
    const Status status = llm->handle_->validate_resources();
    if (status) continue;
    ++problems;
    what += (what.empty() ? "'" : "; '") + llm->getLLMId() + "': " + status.error().message;
  }
  counts_.with([&](Counts& c) {
    c.problems = problems;
    return 0;
  });
  if (what.empty()) return {};
  return fail(Code::kUnavailable, what);
}

void ManagerInside::set_profiling(bool on) {
  profiling_.store(on);
  for (const Llm& llm : all()) llm->handle_->set_profiling(on);
}

Status ManagerInside::set_llms_max(int most) {
  if (most < 1 || most > 1024)
    return fail(Code::kInvalidArgument,
                "max_llms is " + std::to_string(most) + ", allowed 1 .. 1024");
  llms_max_.store(most);
  return {};
}

Status ManagerInside::set_policy(const std::string& name) {
  for (std::size_t i = 0; i < kExecutionPolicyNames.size(); ++i) {
    if (name != kExecutionPolicyNames.at(i)) continue;
    const auto policy = static_cast<ExecutionPolicy>(i);
    policy_.store(policy);
    policy_set_.store(true);
    if (const auto shared = world()) return shared->set_policy(policy);
    return {};  // takes effect with initialize()
  }
  return fail(Code::kInvalidArgument,
              "execution_policy is '" + printable_line(name, 60) +
                  "', allowed balanced, optimized, latency, fair or sequential");
}

std::string ManagerInside::policy() const {
  const auto shared = world();  // the node's, which another manager may have set
  return std::string(to_string(shared ? shared->home()->policy() : policy_.load()));
}

Status ManagerInside::set_balance(const std::string& name) {
  const auto balance = balance_named(name);
  if (!balance)
    return fail(Code::kInvalidArgument,
                "load_balancing_strategy is '" + printable_line(name, 60) +
                    "', allowed round_robin, least_loaded, priority, fastest or prefix_affinity");
  balance_.store(*balance);
  return {};
}

Status ManagerInside::set_idle_unload(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e9)
    return fail(Code::kInvalidArgument,
                "idle_unload_s is " + std::to_string(seconds) + ", allowed 0 .. 1000000000");
  idle_unload_.store(seconds);
  return {};
}

}  // namespace choir::parallel
