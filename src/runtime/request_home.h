// What a node does for its requests, and the way to it, which outlives the node.
//
// Requests move between nodes, and the thread that tells a request's end may be one of a node
// that it came through. So a request keeps no pointer to a node, but a HomeLink: it leads to the
// node until that ends, and nowhere afterwards.
#pragma once

#include <functional>
#include <memory>

#include "base/guarded.h"
#include "choir/ids.h"
#include "runtime/opening.h"

namespace choir {

class Executor;
class RequestHome;
class RequestState;
struct Completion;

class HomeLink {
 public:
  explicit HomeLink(RequestHome* home) : home_(home) {}
  // Calls `use(RequestHome&)`, during which the node cannot end. False where it has ended. Takes a
  // lock: never under a lock of the node, and `use` must not wait.
  template <class F>
  bool with(F&& use) {
    return home_.with([&](RequestHome* home) {
      if (home != nullptr) use(*home);
      return home != nullptr;
    });
  }
  // The node ends: no thread is inside when this returns, and none comes again.
  void close() {
    home_.with([](RequestHome*& home) { home = nullptr; });
  }

 private:
  Guarded<RequestHome*> home_;
};

// Where a request is: a node, and the executor there.
struct RequestPlace {
  std::shared_ptr<HomeLink> home;
  ExecutorId executor;
  bool operator==(const RequestPlace&) const = default;
};

// Run by the thread that has the turn of the executor that holds the request.
using RequestJob = std::function<void(Executor&)>;

class RequestHome {
 public:
  RequestHome() = default;
  RequestHome(const RequestHome&) = delete;
  RequestHome& operator=(const RequestHome&) = delete;
  virtual ~RequestHome() { link_->close(); }

  virtual void drained(const RequestState& request) = 0;  // its text was taken
  // Its on_done was told of its end.
  virtual void ended(const RequestState& request, const Completion& completion) = 0;
  // Its `cancelled` was set.
  virtual void cancelled(const RequestState& request) = 0;
  // Takes a job for the executor that has the request. False: it is not here (any more).
  virtual bool post(const RequestState& request, const RequestJob& job) = 0;
  // Its tokens are made by `open` (runtime/opening.h). False: as in post().
  virtual bool open(const RequestState& request, const Opener& open) = 0;
  // It ends as failed where its executor has not taken it yet. False: as in post().
  virtual bool refuse(const RequestState& request, const Error& error) = 0;

  const std::shared_ptr<HomeLink>& link() const { return link_; }

 private:
  const std::shared_ptr<HomeLink> link_ = std::make_shared<HomeLink>(this);
};

}  // namespace choir
