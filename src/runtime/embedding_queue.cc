#include "runtime/embedding_queue.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <tuple>
#include <utility>

#include "base/caught.h"
#include "policy/chunk.h"
#include "policy/turn.h"

namespace choir {

bool EmbeddingQueue::post(std::shared_ptr<RequestState> request) {
  if (request->priority != Priority::kCritical) return came_.post(std::move(request));
  return control_.post_urgent(1, [&] { return came_.post(std::move(request)); });
}

bool EmbeddingQueue::post_accepted(std::shared_ptr<RequestState> request) {
  if (request->priority != Priority::kCritical) return came_.post_accepted(std::move(request));
  return control_.post_urgent(1, [&] { return came_.post_accepted(std::move(request)); });
}

void EmbeddingQueue::take_mail(Instant now) {
  came_.take_all(mail_);
  for (auto& request : mail_) {
    if (request->priority == Priority::kCritical) control_.urgent_accepted();
    const Status entered = caught([&] { enter(request, now); });
    if (!entered)
      finish({.request = request, .last_progress = now}, Finish::kFailed, entered.error(), now);
  }
  mail_.clear();
}

void EmbeddingQueue::enter(std::shared_ptr<RequestState> request, Instant now) {
  Entry& entry = *queue_.emplace_back(
      std::make_unique<Entry>(Entry{.request = std::move(request), .last_progress = now}));
  // The executor became smaller, or is another one, since its texts were checked.
  const std::size_t longest = entry.request->embedding->longest();
  const auto most = static_cast<std::size_t>(facts_.sequence_tokens_max());
  if (longest <= most) return;
  finish(entry, Finish::kFailed,
         Error{Code::kTooLong,
               "text to embed has " + std::to_string(longest) + " tokens, '" + facts_.name() +
                   "' embeds at most " + std::to_string(most) + " now",
               {Fact::of("n_prompt_tokens", longest), Fact::of("n_ctx", most)}},
         now);
}

void EmbeddingQueue::end_the_ended(Instant now) {
  for (const auto& entry : queue_) {
    const RequestState& request = *entry->request;
    if (request.cancelled.load(std::memory_order_relaxed))
      finish(*entry, Finish::kCancelled, Error{Code::kCancelled, "the embedding was cancelled"},
             now);
    else if (request.deadline != Instant{} && now >= request.deadline)
      finish(
          *entry, Finish::kDeadline,
          Error{Code::kDeadlineExceeded, "deadline exceeded: the embedding had " +
                                             std::to_string((request.deadline - request.submitted) /
                                                            std::chrono::milliseconds(1)) +
                                             " ms"},
          now);
  }
  erase_ended();
}

bool EmbeddingQueue::may_compute(const Entry& entry) const {
  const NodeRules& node = facts_.node();
  return !facts_.suspended() && !entry.request->awaited.load() &&
         (!node.one_request.load() || node.turn_of.load() == entry.request->id);
}

void EmbeddingQueue::order(Instant now) {
  const bool classes = facts_.node().classes.load();
  Priority best = Priority::kLow;
  for (const auto& entry : queue_) best = std::min(best, entry->request->priority);
  order_.clear();
  for (const auto& entry : queue_) {
    const Priority earned =
        aged(entry->request->priority, now - entry->last_progress, facts_.rules().age_step);
    entry->lifted = std::min(entry->lifted, std::max(best, earned));
    if (may_compute(*entry)) order_.push_back(entry.get());
  }
  std::ranges::sort(order_, {}, [classes](const Entry* entry) {
    const RequestState& request = *entry->request;
    return std::tuple(classes ? entry->lifted : Priority::kNormal, request.submitted, request.id);
  });
}

// The first text goes in any case: what is here is no longer than the engine takes.
void EmbeddingQueue::plan(const EngineConfig& engine, int threads, bool contended) {
  const NodeRules& node = facts_.node();
  const std::int32_t most = std::min(
      engine.batch_tokens_max,
      chunk_tokens(
          {.seconds_per_token = speeds_.seconds_per_prompt_token(threads, engine.batch_tokens_max),
           .contended = contended || control_.immune(),
           .quantum = quantum_beside(node.quantum.load(), node.urgent.first_token()),
           .batch_tokens_max = engine.batch_tokens_max}));
  const std::size_t texts_max = alone_ > 0 ? 1 : static_cast<std::size_t>(engine.sequences_max);
  std::size_t tokens = 0;
  rows_.clear();
  texts_.clear();
  requests_.clear();
  for (Entry* entry : order_) {
    const EmbedWork& work = *entry->request->embedding;
    for (std::size_t i = work.next; i < work.texts.size(); ++i) {
      tokens += work.texts[i].size();
      const bool full = rows_.size() == texts_max || tokens > static_cast<std::size_t>(most);
      if (full && !rows_.empty()) return;
      rows_.push_back({entry, i});
      texts_.emplace_back(work.texts[i]);
      if (requests_.empty() || requests_.back() != entry->request.get())
        requests_.push_back(entry->request.get());
    }
  }
}

ComputedRows EmbeddingQueue::compute(Engine& engine, Pool& pool, bool contended) {
  if (empty()) return {};
  const Instant now = facts_.clock().now();
  take_mail(now);
  end_the_ended(now);
  order(now);
  if (order_.empty()) return {};
  plan(engine.config(), pool.threads(), contended);
  ComputedRows computed;
  for (const auto text : texts_) computed.prompt_tokens += static_cast<std::int32_t>(text.size());
  for (const RequestState* request : requests_)
    computed.best = std::min(computed.best, request->priority);
  run(engine, pool);
  end_the_ended(facts_.clock().now());
  return computed;
}

void EmbeddingQueue::run(Engine& engine, Pool& pool) {
  control_.begin(requests_);
  const Instant began = facts_.clock().now();
  for (const Row& row : rows_)
    if (!row.entry->begun) row.entry->begun = began;
  engine.attach(pool);
  auto vectors = engine.embed(texts_, control_.signal());
  engine.detach();
  const Instant ended = facts_.clock().now();
  const bool aborted = !vectors && control_.signal().stop();
  control_.end(aborted ? PassControl::Ended::kAborted : PassControl::Ended::kOtherwise);
  if (aborted) {
    facts_.counters().aborts.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  if (alone_ > 0) --alone_;
  std::int32_t tokens = 0;
  for (const auto text : texts_) tokens += static_cast<std::int32_t>(text.size());
  facts_.counters().steps.fetch_add(1, std::memory_order_relaxed);
  facts_.counters().prompt_tokens.fetch_add(static_cast<std::uint64_t>(tokens),
                                            std::memory_order_relaxed);
  if (vectors) {
    speeds_.count(pool.threads(), tokens, tokens, to_seconds(ended - began));
    tell(tokens, began);
    give(std::move(*vectors), ended);
  } else if (rows_.size() == 1) {
    finish(*rows_.front().entry, Finish::kFailed, vectors.error(), ended);
  } else {
    alone_ = rows_.size();  // to find the one that is to blame
  }
}

void EmbeddingQueue::give(std::vector<std::vector<float>> vectors, Instant ended) {
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    Entry& entry = *rows_[i].entry;
    RequestState& request = *entry.request;
    EmbedWork& work = *request.embedding;
    if (request.finished()) continue;
    if (!std::ranges::all_of(vectors[i], [](float x) { return std::isfinite(x); })) {
      finish(entry, Finish::kFailed,
             Error{Code::kEngineFailed, "model '" + facts_.model().info().name + "' in '" +
                                            facts_.name() +
                                            "' computed an embedding of numbers that are not "
                                            "finite; its file may be damaged"},
             ended);
      continue;
    }
    work.embeddings[rows_[i].text].vector = std::move(vectors[i]);
    work.next = rows_[i].text + 1;
    entry.last_progress = ended;
    request.progress.computed.fetch_add(work.embeddings[rows_[i].text].tokens,
                                        std::memory_order_relaxed);
    if (work.next == work.texts.size()) finish(entry, Finish::kStop, std::nullopt, ended);
  }
}

void EmbeddingQueue::finish(const Entry& entry, Finish finish, std::optional<Error> error,
                            Instant now) {
  RequestState& request = *entry.request;
  if (request.finished()) return;
  Completion completion;
  completion.id = request.id;
  completion.executor = facts_.name();
  completion.finish = finish;
  completion.error = std::move(error);
  completion.usage.prompt_tokens = request.progress.prompt_tokens.load();
  completion.usage.held_seconds = request.progress.held_seconds.load();
  completion.usage.queue_seconds = to_seconds(entry.begun.value_or(now) - request.submitted);
  completion.usage.total_seconds = to_seconds(now - request.submitted);
  ExecutorStats& stats = facts_.counters();
  stats.requests_done.fetch_add(1, std::memory_order_relaxed);
  if (completion.error) stats.requests_failed.fetch_add(1, std::memory_order_relaxed);
  request.finish(std::move(completion));
  notify_(entry.request);
}

void EmbeddingQueue::erase_ended() {
  std::erase_if(queue_, [](const auto& entry) { return entry->request->finished(); });
}

void EmbeddingQueue::tell(std::int32_t tokens, Instant began) const {
  const Observing* observing = facts_.rules().observing;
  if (observing == nullptr) return;
  StepDone step{.executor = facts_.name(),
                .seconds = to_seconds(facts_.clock().now() - began),
                .prompt_tokens = tokens};
  std::vector<StepDone::Part> parts;
  for (const Row& row : rows_) {
    const RequestState& request = *row.entry->request;
    ++step.rows.at(static_cast<std::size_t>(request.priority));
    count_part(parts, request.tenant, request.priority);
  }
  step.parts = parts;
  observing->tell([&](Observer& observer) { observer.on_step(step); });
}

bool EmbeddingQueue::fail_all(const Error& why, Instant now) {
  take_mail(now);
  bool all = true;
  for (const auto& entry : queue_) {
    const Status told = caught([&] {
      if (entry->request->finished())
        notify_(entry->request);
      else
        finish(*entry, Finish::kFailed, why, now);
    });
    all = all && told;
  }
  if (all) queue_.clear();
  return all;
}

EmbeddingQueue::Requests EmbeddingQueue::take_all() {
  take_mail(facts_.clock().now());
  erase_ended();
  Requests requests;
  for (auto& entry : queue_) requests.push_back(std::move(entry->request));
  queue_.clear();
  return requests;
}

void EmbeddingQueue::adopt(Requests requests) {
  for (auto& request : requests) enter(std::move(request), facts_.clock().now());
}

void EmbeddingQueue::open_gate(std::span<const RequestId> requests) {
  take_mail(facts_.clock().now());
  for (const auto& entry : queue_)
    if (std::ranges::find(requests, entry->request->id) != requests.end())
      entry->request->awaited.store(false);
}

std::size_t EmbeddingQueue::longest() {
  take_mail(facts_.clock().now());
  std::size_t most = 0;
  for (const auto& entry : queue_) most = std::max(most, entry->request->embedding->longest());
  return most;
}

void EmbeddingQueue::add_to(TurnResult& result) const {
  for (const auto& entry : queue_) {
    if (entry->request->deadline != Instant{}) result.add_alarm(entry->request->deadline);
    if (may_compute(*entry)) result.add_work(entry->request->priority);
  }
}

}  // namespace choir
