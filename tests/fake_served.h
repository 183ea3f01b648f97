// The daemon's server and routes over a node on the fake engine: a unix socket in a folder of its
// own, and a thread for the loop. Clients are real ones.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "choir/catalog.h"
#include "choir/node.h"
#include "serve/client.h"
#include "serve/ended_requests.h"
#include "serve/events.h"
#include "serve/history.h"
#include "serve/pulls.h"
#include "serve/routes.h"
#include "serve/server.h"
#include "serve/services.h"
#include "serve/sessions.h"
#include "tests/fake_node.h"
#include "tests/temp_folder.h"

namespace choir {

// A Node has no other way to an engine of its own: the rules of access do not hold for what a
// template is instantiated with.
std::shared_ptr<Runtime> Node::*member_runtime();
template <std::shared_ptr<Runtime> Node::*kMember>
struct OpensNode {
  friend std::shared_ptr<Runtime> Node::*member_runtime() { return kMember; }
};
template struct OpensNode<&Node::runtime_>;

namespace serve {

class FakeServed {
 public:
  FakeServed() {
    services_.node.shutdown(Drain::kCancel);
    *node_.*member_runtime() = start({.observer = metrics_});
    for (const char* name : {"writer", "still", "encoder"})
      EXPECT_TRUE(node_->declare(executor(name)));
    add_routes(router_, services_);
    auto server = Server::create(
        {.endpoints = {.hosts = {}, .port = 0, .unix_socket = folder_ / "socket"}}, router_);
    EXPECT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    loop_ = std::thread([this] { server_->run(); });
  }
  ~FakeServed() {
    server_->stop();
    wait();
  }
  FakeServed(const FakeServed&) = delete;
  FakeServed& operator=(const FakeServed&) = delete;

  Node& node() { return *node_; }
  Server& server() { return *server_; }
  const Services& services() const { return services_; }
  // Until the server has ended.
  void wait() {
    if (loop_.joinable()) loop_.join();
  }

  // ---- any thread
  Result<ClientReply> ask(const std::string& method, const std::string& path,
                          const std::string& body = {}) const {
    return serve::ask(folder_ / "socket", method, path, body);
  }
  Result<ClientReply> stream(const std::string& path, const std::string& body,
                             const EventReader& reader) const {
    return ask_events({.url = "http://localhost", .socket = folder_ / "socket"}, path, body,
                      reader);
  }

 private:
  const TempFolder folder_;
  const std::shared_ptr<Metrics> metrics_ = std::make_shared<Metrics>();
  const std::shared_ptr<EndedRequests> ended_ =
      std::make_shared<EndedRequests>(std::make_shared<SteadyClock>());
  const std::unique_ptr<Node> node_ = Node::create({}).value();
  Models models_{*node_, {}};
  const std::unique_ptr<Pulls> pulls_ = Pulls::create(pull).value();
  const std::unique_ptr<Doors> doors_ = Doors::create().value();
  const SteadyClock clock_;
  History history_{clock_.now()};
  Sessions sessions_{clock_};
  const std::shared_ptr<Events> events_ = std::make_shared<Events>(
      *node_, models_.replicas(), *doors_, clock_,
      [this](Nanos time, std::function<void()> work) { server_->after(time, std::move(work)); });
  const Services services_{
      *node_,
      models_,
      *doors_,
      *metrics_,
      *pulls_,
      events_,
      [] {},
      sessions_,
      [] { return std::string(); },
      history_,
      *ended_,
      clock_,
      std::chrono::minutes(2),
      std::chrono::seconds(15),
      [this](Nanos time, std::function<void()> work) { server_->after(time, std::move(work)); }};
  Router router_;
  std::unique_ptr<Server> server_;
  std::thread loop_;
};

}  // namespace serve
}  // namespace choir
