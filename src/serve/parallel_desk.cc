#include "serve/parallel_desk.h"

#include <algorithm>
#include <set>
#include <utility>

#include "serve/by_door.h"
#include "serve/cold_model.h"
#include "serve/model_defaults.h"
#include "serve/model_state.h"
#include "serve/request_of.h"
#include "serve/secret.h"

namespace choir::serve {
namespace {

constexpr std::size_t kPreparedAtOnce = 16;  // prompts in one go of a door thread

// The result of a job that was refused.
Completion refused_job(const std::string& executor, Error error) {
  Completion completion;
  completion.executor = executor;
  completion.error = std::move(error);
  return completion;
}

}  // namespace

// ---- the loop -----------------------------------------------------------------------------------

void ParallelDesk::post(Door door, void (ParallelDesk::*step)()) {
  post_step(services_.doors, door, shared_from_this(), [this, step] {
    if (!gone_.load()) (this->*step)();
  });
}

void ParallelDesk::refuse(ApiError error) {
  sent_.clear();
  slot_.with([&](Slot& s) { s.error = std::move(error); });
  wake_();
}

ParallelDesk::Slot ParallelDesk::take() {
  return slot_.with([](Slot& s) { return std::exchange(s, {}); });
}

void ParallelDesk::submit_job(std::size_t job) {
  next_job_ = job;
  post(Door::kQuick, &ParallelDesk::submit_next);
}

std::vector<std::size_t> ParallelDesk::take_news() {
  return news_.with([](std::vector<std::size_t>& news) { return std::exchange(news, {}); });
}

bool ParallelDesk::settled(std::size_t job) const {
  return settled_.with([&](const std::set<std::size_t>& jobs) { return jobs.contains(job); });
}

void ParallelDesk::leave() {
  gone_.store(true);
  Slot slot = take();
  for (auto& [executor, ticket] : slot.loads) ticket.cancel();
  if (slot.submitted) cancel(slot.submitted->submissions);
  if (slot.begun) cancel({&slot.begun->submission, 1});
}

void ParallelDesk::cancel(std::span<const Submission> submissions) {
  for (const Submission& submission : submissions)
    if (submission.stream) static_cast<void>(services_.node.cancel(submission.id));
}

bool ParallelDesk::is_named(const std::string& executor) const {
  return std::ranges::find(models_, executor) != models_.end();
}

ApiError ParallelDesk::load_error_of(const std::string& executor, const Error& error) const {
  return load_error(services_.node, executor, error);
}

// ---- the doors ----------------------------------------------------------------------------------

void ParallelDesk::read() {
  const Result<Json> body = parse_json(std::exchange(request_.body, {}));
  if (!body) return refuse(api_error(body.error()));
  auto asked = read_parallel(*body);
  if (!asked) return refuse(std::move(asked).error());
  asked_ = std::move(*asked);
  stream_.store(asked_.stream);
  text_every_.store(asked_.text_every);
  if (asked_.order == ParallelEvaluation::Order::kOneAtATime) {
    if (const Status fresh = reuse_nothing_of_before(); !fresh)
      return refuse(api_error(fresh.error()));
  }
  for (ParallelJob& job : asked_.jobs)
    if (auto error = read_headers(job.asked, request_)) return refuse(std::move(*error));
  if (!find_models(false)) {
    if (cold_models().empty()) return load();
    return post(Door::kHeads, &ParallelDesk::check_loads);
  }
  std::set<std::string> names;
  for (const ParallelJob& job : asked_.jobs)
    if (names.insert(job.asked.model).second)
      if (const Status there = services_.models.is_there(job.asked.model); !there)
        return refuse(model_error_at(there.error(), job.model_pointer));
  post(Door::kFiles, &ParallelDesk::find_new_models);
}

// What ran together before would help what is compared with it.
Status ParallelDesk::reuse_nothing_of_before() {
  const std::string salt = CHOIR_TRY(random_secret("alone_"));
  for (ParallelJob& job : asked_.jobs) job.asked.cache_salt.insert(0, salt);
  return {};
}

void ParallelDesk::find_new_models() {
  if (auto error = find_models(true)) return refuse(std::move(*error));
  post(Door::kHeads, &ParallelDesk::check_loads);
}

// While the reply can still have the status of an error.
void ParallelDesk::check_loads() {
  for (const std::string& executor : cold_models())
    if (auto error = load_refusal(services_.node, executor)) return refuse(std::move(*error));
  post(Door::kQuick, &ParallelDesk::load);
}

// Of which no load is under way.
std::vector<std::string> ParallelDesk::cold_models() const {
  std::vector<std::string> cold;
  for (const std::string& model : std::set(models_.begin(), models_.end())) {
    if (absent(model).empty()) continue;
    const auto info = services_.node.executor(model);
    if (info && is_cold(*info)) cold.push_back(model);
  }
  return cold;
}

// All executors of a model none of which is in memory.
std::vector<std::string> ParallelDesk::absent(const std::string& model) const {
  const auto ready = services_.node.executor(services_.models.replicas().ready(model));
  if (ready && ready->loaded) return {};
  return services_.models.replicas().of(model);
}

std::optional<ApiError> ParallelDesk::find_models(bool also_new) {
  std::map<std::string, std::string> found;  // each name is looked for once
  models_.clear();
  for (const ParallelJob& job : asked_.jobs) {
    const std::string& name = job.asked.model;
    if (!found.contains(name)) {
      auto executor = also_new ? services_.models.find(name) : services_.models.known(name);
      if (!executor) return model_error_at(executor.error(), job.model_pointer);
      found.emplace(name, std::move(*executor));
    }
    models_.push_back(found.at(name));
  }
  return std::nullopt;
}

void ParallelDesk::load() {
  std::map<std::string, LoadTicket> loads;
  std::set<std::string> executors;
  for (const std::string& model : std::set(models_.begin(), models_.end()))
    for (std::string& executor : absent(model)) executors.insert(std::move(executor));
  for (const std::string& executor : executors) {
    if (!began_loading_) began_loading_ = clock_.now();
    auto ticket = services_.node.begin_load(executor, {.on_end = wake_, .heed_failures = true});
    if (ticket) loads.emplace(executor, std::move(*ticket));
    if (!ticket && is_named(executor))
      return refuse(load_error(services_.node, executor, ticket.error()));
  }
  if (loads.empty()) return prepare_loaded();
  slot_.with([&](Slot& s) { s.loads = std::move(loads); });
  wake_();
}

void ParallelDesk::prepare_loaded() {
  if (began_loading_) load_seconds_ = seconds_since(*began_loading_);
  if (auto error = check_models()) return refuse(std::move(*error));
  sent_.resize(asked_.jobs.size());
  if (asked_.order == ParallelEvaluation::Order::kOneAtATime) return submit_first();
  prepare();
}

std::optional<ApiError> ParallelDesk::check_models() const {
  for (const std::string& model : std::set(models_.begin(), models_.end())) {
    const auto info = services_.node.executor(services_.models.replicas().ready(model));
    if (!info) return model_error(info.error());
    if (info->loaded && !info->model.generates)
      return model_error(
          {Code::kInvalidArgument, "'" + model + "' is an encoder: it writes no text"});
  }
  return std::nullopt;
}

Result<Prepared> ParallelDesk::prepared(std::size_t job) {
  Asked& asked = asked_.jobs[job].asked;
  fill_in(services_.models.defaults_of(models_[job]), request_.client, asked);
  sent_[job] = services_.models.replicas().send(models_[job], sight_of(asked, request_.client));
  const bool default_template = asked.request.default_template;
  Request request = request_of(asked, request_.client, sent_[job].executor);
  request.default_template = default_template;
  auto prepared = services_.node.prepare(std::move(request));
  if (!prepared) sent_[job].coming.reset();
  return prepared;
}

// The prompts of others go in between.
void ParallelDesk::prepare() {
  const std::size_t end = std::min(prepared_.size() + kPreparedAtOnce, asked_.jobs.size());
  while (prepared_.size() < end) {
    const std::size_t job = prepared_.size();
    prepared_.emplace(job, prepared(job));
  }
  if (prepared_.size() < asked_.jobs.size()) return post(Door::kQuick, &ParallelDesk::prepare);
  submit();
}

ParallelSubmitted ParallelDesk::described() const {
  ParallelSubmitted all;
  for (std::size_t job = 0; job < asked_.jobs.size(); ++job)
    all.shown.push_back({models_[job], asked_.jobs[job].prompt});
  all.submissions.resize(asked_.jobs.size());
  all.load_seconds = load_seconds_;
  all.cores = services_.node.info().cores;
  all.order = asked_.order;
  all.against = asked_.against;
  all.began = clock_.now();
  return all;
}

void ParallelDesk::submit() {
  ParallelSubmitted all = described();
  std::map<std::string, std::vector<std::size_t>> by_executor;
  for (const auto& [job, prepared] : prepared_) {
    if (prepared)
      by_executor[sent_[job].executor].push_back(job);
    else
      all.refused.emplace(job, refused_job(models_[job], prepared.error()));
  }
  for (const auto& [executor, jobs] : by_executor) {
    auto entered = enter(jobs);
    if (!entered) {
      cancel(all.submissions);
      return refuse(api_error(entered.error()));
    }
    for (std::size_t i = 0; i < jobs.size(); ++i)
      all.submissions[jobs[i]] = std::move((*entered)[i]);
  }
  hand_over(std::move(all));
}

// While the reply can still have the status of an error.
void ParallelDesk::submit_first() {
  ParallelSubmitted all = described();
  auto first = begun(0);
  if (!first) return refuse(api_error(first.error()));
  if (first->refused) all.refused.emplace(0, std::move(*first->refused));
  all.submissions[0] = std::move(first->submission);
  hand_over(std::move(all));
}

// One that is refused ends, and the next one is submitted.
void ParallelDesk::submit_next() {
  auto next = begun(next_job_);
  if (!next)
    next = Begun{.job = next_job_,
                 .began = {},
                 .submission = {},
                 .refused = refused_job(models_[next_job_], next.error())};
  const bool has_request = static_cast<bool>(next->submission.stream);
  const RequestId id = next->submission.id;
  slot_.with([&](Slot& s) { s.begun = std::move(*next); });
  if (gone_.load() && has_request) static_cast<void>(services_.node.cancel(id));
  wake_();
}

void ParallelDesk::hand_over(ParallelSubmitted all) {
  std::vector<RequestId> ids;
  for (const Submission& submission : all.submissions)
    if (submission.stream) ids.push_back(submission.id);
  slot_.with([&](Slot& s) { s.submitted = std::move(all); });
  if (gone_.load())
    for (const RequestId id : ids) static_cast<void>(services_.node.cancel(id));
  wake_();
}

// An error: there is no place for it.
Result<ParallelDesk::Begun> ParallelDesk::begun(std::size_t job) {
  const Instant began = clock_.now();
  prepared_.clear();
  const auto& here = prepared_.emplace(job, prepared(job)).first->second;
  if (!here)
    return Begun{.job = job,
                 .began = began,
                 .submission = {},
                 .refused = refused_job(models_[job], here.error())};
  auto entered = CHOIR_TRY(enter({job}));
  return Begun{.job = job, .began = began, .submission = std::move(entered.front()), .refused = {}};
}

// Those of one executor: all of them, or none.
Result<std::vector<Submission>> ParallelDesk::enter(const std::vector<std::size_t>& jobs) {
  std::vector<Prepared> prepared;
  std::vector<Callbacks> callbacks;
  std::vector<std::int32_t> tokens;
  for (const std::size_t job : jobs) {
    Prepared& one = *prepared_.at(job);
    tokens.push_back(one.prompt_tokens());
    prepared.push_back(std::move(one));
    callbacks.push_back(callbacks_of(job));
  }
  auto entered = services_.node.enqueue_all(std::move(prepared), std::move(callbacks));
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    Sent sent = std::exchange(sent_[jobs[i]], {});
    if (entered) services_.models.replicas().taken(std::move(sent), tokens[i]);
  }
  return entered;
}

// The loop may be woken before the submission is in the slot: the news then waits there, and the
// loop is woken once more.
Callbacks ParallelDesk::callbacks_of(std::size_t job) {
  const auto hold =
      hold_of(services_, models_[job], request_.client.tenant, asked_.jobs[job].asked.keep_alive);
  return {.on_event = {},
          .on_done = [hold](const Completion&) { hold(); },
          .on_settled =
              [self = shared_from_this(), job](const Completion&) {
                self->settled_.with([&](std::set<std::size_t>& jobs) { jobs.insert(job); });
                self->wake_();
              },
          .on_news =
              [self = shared_from_this(), job](RequestId) {
                self->news_.with([&](std::vector<std::size_t>& news) { news.push_back(job); });
                self->wake_();
              }};
}

}  // namespace choir::serve
