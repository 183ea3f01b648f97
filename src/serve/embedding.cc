#include "serve/embedding.h"

#include <atomic>
#include <optional>
#include <utility>

#include "base/guarded.h"
#include "serve/about_field.h"
#include "serve/busy.h"
#include "serve/by_door.h"
#include "serve/cold_model.h"
#include "serve/exchange.h"
#include "serve/ignored_header.h"
#include "serve/load_wait.h"
#include "serve/model_defaults.h"
#include "serve/openai_out.h"

namespace choir::serve {
namespace {

struct Slot {
  std::optional<ApiError> error = {};
  std::string refused_by = {};  // beside an error: the model, where it was known
  std::optional<EmbedCompletion> done = {};
  std::optional<RequestId> submitted = {};
};

// Shared by the work on the loop, the door thread, and the callback of the request.
class EmbedDesk : public std::enable_shared_from_this<EmbedDesk> {
 public:
  EmbedDesk(const Services& services, HttpRequest request, Wake wake)
      : services_(services), request_(std::move(request)), wake_(std::move(wake)) {}

  const Asked& asked() const { return asked_; }  // once something is in the slot
  const std::string& model() const { return model_; }
  const std::string& executor() const { return executor_; }
  ApiError error_of(const Error& error) const {
    const ApiError about =
        about_prompt(error, "input", asked_.alone ? Several::kNo : Several::kYes);
    return with_room(about, services_.node, executor_);
  }
  std::optional<ApiError> wrong_size(std::size_t size) const {
    if (asked_.dimensions == 0 || std::cmp_equal(asked_.dimensions, size)) return std::nullopt;
    return field_error("dimensions", "is " + std::to_string(asked_.dimensions) + "; vectors of '" +
                                         model_ + "' have " + std::to_string(size));
  }

  // ---- on a door thread
  void open() {
    auto asked = read_body(services_, kEmbeddings, request_);
    if (!asked) return refuse(std::move(asked).error());
    asked_ = std::move(*asked);
    if (auto error = read_headers(asked_, request_)) return refuse(std::move(*error));
    if (asked_.embed.texts.empty() && asked_.embed.tokens.empty())
      return refuse(field_error("input", "is missing"));
    if (auto executor = services_.models.known(asked_.model)) {
      model_ = *executor;
      return submit();
    }
    if (const Status there = services_.models.is_there(asked_.model); !there)
      return refuse(model_error_at(there.error()));
    post(Door::kFiles, &EmbedDesk::find_model);
  }

  void submit() {
    if (gone_.load()) return;
    Replicas& replicas = services_.models.replicas();
    Sent sent = replicas.send(model_, sight_of(asked_.embed));
    executor_ = sent.executor;
    const auto info = services_.node.executor(executor_);
    if (auto error = unfit(info)) return refuse(std::move(*error));
    fill_in(services_.models.defaults_of(model_), request_.client, asked_);
    EmbedRequest request = std::move(asked_.embed);
    request.executor = executor_;
    request.tenant = request_.client.tenant;
    const auto hold = hold_of(services_, model_, request_.client.tenant, asked_.keep_alive);
    auto submission = services_.node.enqueue_embed(
        std::move(request),
        // The reply is told when the node no longer counts the request: a client that has it may
        // unload the model.
        {.on_done = [hold](const EmbedCompletion&) { hold(); },
         .on_settled = [self = shared_from_this()](
                           const EmbedCompletion& completion) { self->done(completion); }});
    if (!submission && submission.error().code != Code::kOverloaded)
      return refuse(error_of(submission.error()));
    if (!submission)
      return refuse(
          busy_error(services_.node, executor_, request_.client.tenant, submission.error()));
    replicas.taken(std::move(sent), 0);
    slot_.with([&](Slot& s) { s.submitted = submission->id; });
    loads_.store(info && !info->loaded);
    if (gone_.load()) static_cast<void>(services_.node.cancel(submission->id));
  }

  // ---- on the loop
  void post(Door door, void (EmbedDesk::*step)()) {
    post_step(services_.doors, door, shared_from_this(), [this, step] { (this->*step)(); });
  }
  void leave() {
    gone_.store(true);
    const auto id = slot_.with([](const Slot& s) { return s.submitted; });
    if (id) static_cast<void>(services_.node.cancel(*id));
  }
  void refuse(ApiError error) {
    slot_.with([&](Slot& s) {
      s.error = std::move(error);
      s.refused_by = model_;
    });
    wake_();
  }
  // Whether the request was submitted while its model was not in memory.
  bool loads() const { return loads_.load(); }
  Slot look() {
    return slot_.with([](Slot& s) {
      Slot taken = std::exchange(s, {});
      s.submitted = taken.submitted;
      return taken;
    });
  }

 private:
  // What the model cannot do; it is known where it is in memory.
  std::optional<ApiError> unfit(const Result<ExecutorInfo>& info) const {
    if (!info) return api_error(info.error());
    if (!info->loaded) return std::nullopt;
    if (info->model.generates)
      return model_error_at(
          {Code::kInvalidArgument,
           "'" + model_ +
               "' writes text and does not embed it; POST /v1/chat/completions uses it"});
    return wrong_size(static_cast<std::size_t>(info->model.embedding_size));
  }
  void find_model() {
    if (gone_.load()) return;
    auto executor = services_.models.find(asked_.model);
    if (!executor) return refuse(model_error_at(executor.error()));
    model_ = *executor;
    post(Door::kQuick, &EmbedDesk::submit);
  }
  void done(const EmbedCompletion& completion) {
    if (completion.error && completion.error->code == Code::kInvalidArgument)
      if (auto error = unfit(services_.node.executor(executor_))) return refuse(std::move(*error));
    slot_.with([&](Slot& s) { s.done = completion; });
    wake_();
  }

  const Services services_;
  HttpRequest request_;
  const Wake wake_;
  Asked asked_;
  std::string model_;     // that the request names
  std::string executor_;  // that embeds
  std::atomic<bool> gone_{false};
  std::atomic<bool> loads_{false};
  Guarded<Slot> slot_;
};

class EmbeddingWork final : public Work {
 public:
  EmbeddingWork(const Services& services, HttpRequest request, Wake wake)
      : load_wait_(services),
        desk_(std::make_shared<EmbedDesk>(services, std::move(request), std::move(wake))) {
    desk_->post(Door::kQuick, &EmbedDesk::open);
  }
  ~EmbeddingWork() override {
    if (!ended_) desk_->leave();
  }

  Output advance() override {
    const Slot slot = desk_->look();
    if (slot.error) {
      facts_.model = slot.refused_by;
      return refused(*slot.error);
    }
    if (!slot.done) return {};
    facts_.model = desk_->model();
    add_usage(facts_, slot.done->usage);
    if (slot.done->error) return refused(desk_->error_of(*slot.done->error));
    // A model that was not in memory is known only now.
    if (const auto error = desk_->wrong_size(slot.done->embeddings.front().vector.size()))
      return refused(*error);
    ended_ = true;
    ReplyHead head{.headers = {{"content-type", "application/json"}}};
    if (auto ignored = ignored_header(desk_->asked().ignored))
      head.headers.push_back(std::move(*ignored));
    return {.head = std::move(head),
            .bytes = to_text(whole_embeddings(desk_->model(), *slot.done, desk_->asked().base64)),
            .end = true};
  }

  Output silence(Nanos /*silent*/) override {
    if (!desk_->loads() || !load_wait_.look(desk_->executor()) || !load_wait_.is_over()) return {};
    desk_->leave();
    return refused(load_wait_.error(desk_->model()));
  }

  WorkFacts facts() const override { return facts_; }

 private:
  Output refused(const ApiError& error) {
    ended_ = true;
    return reply_with_error(error)->advance();
  }
  const LoadWait load_wait_;
  const std::shared_ptr<EmbedDesk> desk_;
  WorkFacts facts_;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<Work> begin_embedding(const Services& services, HttpRequest request, Wake wake) {
  return std::make_unique<EmbeddingWork>(services, std::move(request), std::move(wake));
}

}  // namespace choir::serve
