#include "serve/by_model.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "serve/about_field.h"
#include "serve/by_door.h"
#include "serve/cold_model.h"
#include "serve/ignored_header.h"
#include "serve/load_wait.h"

namespace choir::serve {
namespace {

// Shared by the work on the loop and the door threads, on which one step follows another.
class ModelDesk : public std::enable_shared_from_this<ModelDesk> {
 public:
  // What is left for the loop.
  struct Slot {
    std::unique_ptr<Work> reply;
    std::optional<LoadTicket> load;  // when it has ended: go_on()
  };

  ModelDesk(const Services& services, std::shared_ptr<const ModelRoute> route, HttpRequest request,
            Wake wake)
      : services_(services),
        route_(std::move(route)),
        request_(std::move(request)),
        wake_(std::move(wake)) {}

  // ---- on the loop
  const std::string& name() const { return model_; }  // once a load is in the slot
  void begin() { post(Door::kQuick, &ModelDesk::read); }
  void go_on(const LoadState& load) {
    if (load.error)
      return refuse(with_room(route_->error(*load.error), services_.node, loads_.back()));
    loads_.pop_back();
    post(Door::kQuick, &ModelDesk::load);
  }
  Slot take() {
    return slot_.with([](Slot& s) { return std::exchange(s, {}); });
  }
  void refuse(const ApiError& error) { put(reply_with_error(error)); }
  void leave() {
    gone_.store(true);
    Slot slot = take();
    if (slot.load && gives_up()) slot.load->cancel();
  }
  bool gives_up() const { return route_->in_passing; }

 private:
  using Needs = ModelRoute::Needs;
  using Step = void (ModelDesk::*)();

  void post(Door door, Step step) {
    post_step(services_.doors, door, shared_from_this(), [this, step] {
      if (!gone_.load() || !gives_up()) (this->*step)();
    });
  }
  void put(std::unique_ptr<Work> reply) {
    slot_.with([&](Slot& s) { s.reply = std::move(reply); });
    wake_();
  }

  void read() {
    auto body = route_->read(request_, ignored_);
    services_.metrics.on_ignored_fields(ignored_.size());
    if (!body) return refuse(body.error());
    body_ = std::move(*body);
    auto name = route_->name(request_, body_);
    if (!name) return refuse(name.error());
    name_ = std::move(*name);
    auto known = services_.models.known(name_);
    if (!known && (name_.empty() || route_->needs == Needs::kServed))
      return refuse(name_error(known.error()));
    if (!known)
      if (const Status there = services_.models.is_there(name_); !there)
        return refuse(name_error(there.error()));
    model_ = executor_ = known ? *known : name_;
    if (route_->needs == Needs::kName) return post(route_->door, &ModelDesk::answer);
    if (!known) return post(Door::kFiles, &ModelDesk::find);
    found();
  }
  ApiError name_error(const Error& error) const {
    ApiError wrong = route_->error(error);
    wrong.param = "model";
    if (route_->named_in == ModelRoute::NamedIn::kBody) wrong.pointer = "/model";
    return wrong;
  }
  void find() {
    auto found_name = services_.models.find(name_);
    if (!found_name) return refuse(name_error(found_name.error()));
    model_ = executor_ = std::move(*found_name);
    found();
  }
  void found() {
    if (route_->needs != Needs::kLoaded) return post(route_->door, &ModelDesk::answer);
    const Replicas& replicas = services_.models.replicas();
    if (route_->in_passing)
      loads_ = {executor_ = replicas.ready(model_)};
    else
      loads_ = replicas.of(model_);
    std::ranges::reverse(loads_);
    load();
  }
  // One after another, the first replica first. Each is loaded once, even if it leaves for the next
  // one.
  void load() {
    if (loads_.empty()) return post(route_->door, &ModelDesk::answer);
    const std::string& next = loads_.back();
    const auto info = services_.node.executor(next);
    if (!info) return refuse(route_->error(info.error()));
    if (info->loaded) {
      loads_.pop_back();
      return load();
    }
    auto ticket =
        services_.node.begin_load(next, {.on_end = wake_, .heed_failures = route_->in_passing});
    if (!ticket) return refuse(with_room(route_->error(ticket.error()), services_.node, next));
    slot_.with([&](Slot& s) { s.load = std::move(*ticket); });
    wake_();
  }
  void answer() {
    const ApiResult<Json> json = route_->answer(executor_, request_, body_);
    if (!json && has_left(json.error())) return found();
    if (!json) return put(reply_with_error(json.error()));
    ReplyHead head{.headers = {{"content-type", "application/json"}}};
    if (auto header = ignored_header(ignored_)) head.headers.push_back(std::move(*header));
    put(reply_with(std::move(head), to_text(*json)));
  }

  // Whether the model was in memory and is not any more, which a request in passing does not
  // notice.
  bool has_left(const ApiError& error) {
    return route_->needs == Needs::kLoaded && route_->in_passing && error.code == "unavailable" &&
           ++departures_ < kDeparturesMost;
  }

  static constexpr int kDeparturesMost = 100;  // then it is told: it might go on for ever
  const Services& services_;
  const std::shared_ptr<const ModelRoute> route_;
  const HttpRequest request_;
  const Wake wake_;
  int departures_ = 0;
  Json body_;
  std::vector<std::string> ignored_;  // fields of it
  std::string name_;                  // that the request names
  std::string model_;                 // of it
  std::string executor_;              // of the answer
  std::vector<std::string> loads_;    // that are still to do, the next one last
  std::atomic<bool> gone_{false};
  Guarded<Slot> slot_;
};

class ModelWork final : public Work {
 public:
  ModelWork(const Services& services, std::shared_ptr<ModelDesk> desk)
      : load_wait_(services), desk_(std::move(desk)) {
    desk_->begin();
  }
  ~ModelWork() override {
    desk_->leave();
    if (load_ && desk_->gives_up()) load_->cancel();
  }

  Output advance() override {
    if (ended_) return {};
    ModelDesk::Slot slot = desk_->take();
    if (slot.load) load_ = std::move(slot.load);
    if (slot.reply) {
      ended_ = true;
      return slot.reply->advance();
    }
    if (!load_) return {};
    const LoadState state = load_->state();
    if (is_open(state)) return {};
    load_.reset();
    desk_->go_on(state);
    return {};
  }

  Output silence(Nanos /*silent*/) override {
    if (ended_ || !load_ || !desk_->gives_up() || !load_wait_.is_over()) return {};
    load_.reset();  // it goes on
    ended_ = true;
    return reply_with_error(load_wait_.error(desk_->name()))->advance();
  }

 private:
  const LoadWait load_wait_;
  const std::shared_ptr<ModelDesk> desk_;
  std::optional<LoadTicket> load_;
  bool ended_ = false;
};

}  // namespace

ModelRoute::Answer in_form(ErrorForm error, ModelResult result) {
  return
      [error, result = std::move(result)](const std::string& executor, const HttpRequest& request,
                                          const Json& body) -> ApiResult<Json> {
        auto json = result(executor, request, body);
        if (!json) return tl::unexpected(error(json.error()));
        return std::move(*json);
      };
}

Handler by_model(const Services& services, ModelRoute route) {
  return [&services, route = std::make_shared<const ModelRoute>(std::move(route))](
             HttpRequest request, Wake wake) {
    return std::make_unique<ModelWork>(
        services,
        std::make_shared<ModelDesk>(services, route, std::move(request), std::move(wake)));
  };
}

Handler by_shown_model(const Services& services,
                       const std::function<std::string(const HttpRequest&)>& name,
                       ShownModel answer, std::span<const BodyField> query) {
  return by_model(
      services,
      {.read = [](const HttpRequest&, auto&) -> ApiResult<Json> { return Json::object(); },
       .name = [name](const HttpRequest& r, const Json&) -> ApiResult<std::string> {
         return name(r);
       },
       .named_in = ModelRoute::NamedIn::kHead,
       .answer = [query, answer = std::move(answer)](const std::string& executor,
                                                     const HttpRequest& r,
                                                     const Json&) -> ApiResult<Json> {
         auto json = answer(executor, r);
         if (json) return std::move(*json);
         return tl::unexpected(about_query(api_error(json.error()), query));
       },
       .error = api_error});
}

}  // namespace choir::serve
