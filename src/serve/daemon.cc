#include "serve/daemon.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/log.h"
#include "choir/catalog.h"
#include "choir/node.h"
#include "serve/access_log.h"
#include "serve/config_route.h"
#include "serve/doors.h"
#include "serve/ended_requests.h"
#include "serve/events.h"
#include "serve/history.h"
#include "serve/key_reload.h"
#include "serve/observers.h"
#include "serve/openapi.h"
#include "serve/own_session.h"
#include "serve/pulls.h"
#include "serve/routes.h"
#include "serve/service_manager.h"
#include "serve/services.h"
#include "serve/sessions.h"
#include "serve/ui_routes.h"

namespace choir::serve {
namespace {

constexpr Nanos kLookEvery = std::chrono::seconds(1);  // of the history, while there is work

// How threads that may outlive the server post to its loop.
class LoopPost {
 public:
  void open(Server& server) {
    server_.with([&](Server*& s) { s = &server; });
  }
  void close() {
    server_.with([](Server*& s) { s = nullptr; });
  }
  // Any thread; does not block. Nothing happens once it is closed.
  void post(std::function<void()> work) {
    server_.with([&](Server*& s) {
      if (s != nullptr) s->post(std::move(work));
    });
  }
  // As post(), after a time. On the loop only.
  void post_after(Nanos time, std::function<void()> work) {
    server_.with([&](Server*& s) {
      if (s != nullptr) s->after(time, std::move(work));
    });
  }

 private:
  Guarded<Server*> server_{nullptr};
};

std::string seconds_text(Nanos time) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(time).count());
}

}  // namespace

// In the order in which it is made; it ends in the other order: first connections, then the
// threads that submit for them, then the node.
class Daemon::Inside {
 public:
  Inside(std::shared_ptr<Metrics> metrics, std::shared_ptr<const EndedRequests> ended,
         std::unique_ptr<AccessLog> access_log, std::unique_ptr<Node> node,
         std::unique_ptr<Pulls> pulls, std::unique_ptr<Doors> doors, const DaemonConfig& config)
      : metrics_(std::move(metrics)),
        ended_(std::move(ended)),
        access_log_(std::move(access_log)),
        node_(std::move(node)),
        models_(*node_, config.model_defaults),
        pulls_(std::move(pulls)),
        doors_(std::move(doors)),
        router_(config.host_rules, config.keys),
        has_ui_(has_ui(config.ui)),
        drain_(config.drain),
        services_(services(config)),
        keys_file_(config.keys_file),
        keys_needed_(config.keys_needed) {
    router_.set_sessions(sessions_);
    add_routes(router_, services_);
    add_ui_routes(router_, *doors_, config.ui);
    add_config_route(router_, config.settings);
    add_openapi(router_);  // last: it describes those that are there
  }
  ~Inside() { loop_.close(); }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

  Status open(const DaemonConfig& config) {
    std::vector<std::string> preloaded;
    for (const ModelConfig& model : config.models) {
      auto declared = models_.declare(model);
      if (!declared) return tl::unexpected(std::move(declared).error().in("'models' (--model)"));
      const std::string& name = *declared;
      if (config.preload || model.preload) preloaded.push_back(name);
      if (std::ranges::find(declared_, name, &DeclaredModel::name) == declared_.end())
        declared_.push_back(
            {name, CHOIR_TRY(node_->executor(models_.replicas().of(name).front())).config.path});
    }
    for (const std::string& name : preloaded)
      for (const std::string& executor : models_.replicas().of(name))
        CHOIR_CHECK_OK(node_->load(executor));
    ServerConfig server = config.server;
    server.on_begin = [this](const HttpRequest& head) { note_work(head.method); };
    server.on_reply = [this](int status) { metrics_->on_reply(status); };
    server.on_exchange = [this](Exchange exchange) {
      note_work(exchange.method);
      if (access_log_) access_log_->add(std::move(exchange), unix_ms());
    };
    read_heads_of(services_, models_.list().unread);
    server_ = CHOIR_TRY(Server::create(server, router_));
    loop_.open(*server_);
    server_->on_signal([this] { end(); });
    server_->on_hangup([this] { read_keys_again(); });
    return {};
  }

  void run() {
    tell_service_manager(ServiceState::kReady);  // connections are taken in already
    server_->run();
  }

  std::string dashboard_link() {
    const std::string page = this->page();
    if (page.empty() || !has_ui_ || has_service_manager()) return {};
    const auto link = link_of_socket(sessions_, page, kFirstLinkLives);
    return link ? *link : std::string();
  }

  const std::vector<DeclaredModel>& declared() const { return declared_; }
  std::span<const Route> routes() const { return router_.routes(); }
  const Server& server() const { return *server_; }

 private:
  Services services(const DaemonConfig& config) {
    return {*node_,
            models_,
            *doors_,
            *metrics_,
            *pulls_,
            events_,
            [this] { loop_.post([this] { end(); }); },
            sessions_,
            [this] { return page(); },
            history_,
            *ended_,
            clock_,
            config.load_wait,
            config.ping_every,
            [this](Nanos time, std::function<void()> work) {
              loop_.post_after(time, std::move(work));
            }};
  }
  std::string page() const { return page_at(server_->addresses()); }

  // ---- the history, on the loop
  // Requests that may change something begin or end: from now on the node is looked at each second,
  // until it is idle.
  void note_work(std::string_view method) {
    if (method.empty() || method == "GET" || method == "HEAD") return;
    history_.begin(clock_.now());
    looks_again_ = true;
    if (!std::exchange(looks_, true)) look_later();
  }
  void look_later() {
    loop_.post_after(kLookEvery, [this] { look(); });
  }
  void look() {
    looks_again_ = false;
    const Status posted = doors_->post([this] {
      const std::vector<RequestInfo> active = node_->requests();  // before those that have ended
      const bool goes_on = history_.add(
          clock_.now(),
          {.executors = node_->executors(),
           .bytes_promised = node_->info().memory_bytes_promised,
           .first_tokens = first_tokens_.fresh(active, metrics_->take_first_tokens())});
      loop_.post([this, goes_on] {
        looks_ = goes_on || looks_again_;
        if (looks_) look_later();
      });
    });
    if (!posted) look_later();  // the doors are busy
  }

  // On the loop. A second call ends at once.
  void end() {
    if (std::exchange(draining_, true)) {
      server_->stop();
      return;
    }
    tell_service_manager(ServiceState::kStopping);
    node_->close_door();
    say_what_is_in_flight();
    server_->drain([this] { server_->stop(); });
    server_->after(drain_, [this] { end_what_is_left(); });
  }
  // The time to drain is over. Clients learn it before their connections end.
  void end_what_is_left() {
    server_->end_all(
        {.status = 503,
         .message = "the daemon is ending and cut this short after " + seconds_text(drain_) + " s",
         .headers = {{"retry-after", "5"}},
         .code = "draining"});
    server_->after(kTimeToTell, [this] { server_->stop(); });
  }

  // So that nobody takes the daemon for stuck.
  void say_what_is_in_flight() const {
    const std::size_t count = node_->requests().size();
    if (count == 0) return;
    log(LogLevel::kWarn,
        "ending: " + std::to_string(count) + (count == 1 ? " request is" : " requests are") +
            " in flight, for at most " + seconds_text(drain_) + " s; a second signal ends at once");
  }

  // On the loop; the file is read on a door thread.
  void read_keys_again() {
    const Status posted = doors_->post_to(Door::kFiles, [this, before = router_.keys()] {
      auto keys = keys_again(keys_file_, before, keys_needed_);
      loop_.post([this, keys = std::move(keys)] { take_keys(keys); });
    });
    if (!posted) log(LogLevel::kError, "the keys are not read again: " + posted.error().message);
  }
  void take_keys(const Result<Keys>& keys) {
    if (!keys) {
      log(LogLevel::kError, "the keys stay as they were: " + keys.error().message);
      return;
    }
    const std::vector<std::string> removed = removed_keys(router_.keys(), *keys);
    router_.set_keys(*keys);
    server_->end_clients(removed,
                         {401, "the key of this request is not one of the daemon's any more"});
    log(LogLevel::kInfo, "there are " + std::to_string(keys->all().size()) + " keys now");
  }

  const std::shared_ptr<Metrics> metrics_;
  const std::shared_ptr<const EndedRequests> ended_;
  const std::unique_ptr<AccessLog> access_log_;  // null: there is none
  const std::unique_ptr<Node> node_;
  Models models_;
  const std::unique_ptr<Pulls> pulls_;
  LoopPost loop_;
  const SteadyClock clock_;
  History history_{clock_.now()};
  FirstTokens first_tokens_;  // of look(), one at a time
  const std::unique_ptr<Doors> doors_;
  const std::shared_ptr<Events> events_ = std::make_shared<Events>(
      *node_, models_.replicas(), *doors_, clock_,
      [this](Nanos time, std::function<void()> work) { loop_.post_after(time, std::move(work)); });
  Sessions sessions_{clock_};
  Router router_;
  const bool has_ui_;
  const Nanos drain_;
  const Services services_;
  const std::string keys_file_;
  const bool keys_needed_;
  std::vector<DeclaredModel> declared_;  // at the start
  bool draining_ = false;                // on the loop
  bool looks_ = false;                   // on the loop: a look at the node comes
  bool looks_again_ = false;             // on the loop: work has come since the last look began
  std::unique_ptr<Server> server_;
};

Daemon::Daemon(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {}
Daemon::~Daemon() = default;

Result<std::unique_ptr<Daemon::Inside>> Daemon::make(const DaemonConfig& config) {
  const auto metrics = std::make_shared<Metrics>(CHOIR_TRY(metric_names(config.metric_names)));
  std::unique_ptr<AccessLog> access_log;
  if (!config.access_log.empty())
    access_log = CHOIR_TRY(AccessLog::open(
        config.access_log, [metrics](std::uint64_t lines) { metrics->on_lost_lines(lines); }));
  NodeConfig node_config = config.node;
  const auto ended = std::make_shared<EndedRequests>(std::make_shared<SteadyClock>());
  node_config.observer =
      std::make_shared<Observers>(std::vector<std::shared_ptr<Observer>>{metrics, ended});
  auto node = CHOIR_TRY(Node::create(node_config));
  auto doors = CHOIR_TRY(Doors::create());
  auto pulls = CHOIR_TRY(Pulls::create(pull));
  return std::make_unique<Inside>(metrics, ended, std::move(access_log), std::move(node),
                                  std::move(pulls), std::move(doors), config);
}

Result<std::unique_ptr<Daemon>> Daemon::start(const DaemonConfig& config) {
  auto inside = CHOIR_TRY(make(config));
  CHOIR_CHECK_OK(inside->open(config));
  return std::unique_ptr<Daemon>(new Daemon(std::move(inside)));
}

Result<ApiDocument> Daemon::api() {
  const auto inside = CHOIR_TRY(make({}));
  const auto routes = inside->routes();
  return ApiDocument{openapi_text(routes), api_markdown(routes), fuzz_dictionary(routes)};
}

std::vector<std::string> Daemon::addresses() const { return inside_->server().addresses(); }
std::vector<DeclaredModel> Daemon::models() const { return inside_->declared(); }
std::string Daemon::dashboard_link() { return inside_->dashboard_link(); }
void Daemon::run() { inside_->run(); }

}  // namespace choir::serve
