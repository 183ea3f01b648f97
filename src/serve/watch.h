// A program that watches a daemon: its stream of events stays open, small requests go beside it,
// and the program waits for all of it and for its terminal in one place.
//
// One thread. Nothing blocks but wait(), which calls the callbacks.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "serve/client.h"

namespace choir::serve {

class DaemonWatch {
 public:
  // No callback may call open() or close().
  struct Callbacks {
    // `id` is empty where the event has none.
    std::function<void(std::string_view name, std::string_view id, std::string_view data)> on_event;
    // The stream has ended: its reply, with a body where the status is not 200; or why there is
    // none (kNotFound: no daemon answers there). Not after close().
    std::function<void(const Result<ClientReply>& reply)> on_end;
  };
  using OnReply = std::function<void(const Result<ClientReply>& reply)>;

  explicit DaemonWatch(const DaemonAddress& daemon);
  ~DaemonWatch();  // gives up what goes on
  DaemonWatch(const DaemonWatch&) = delete;
  DaemonWatch& operator=(const DaemonWatch&) = delete;

  // Begins GET of a stream of server-sent events; one that is open is closed before.
  Status open(const std::string& path, Callbacks callbacks);
  void close();
  bool is_open() const;
  // Begins another request. Not called back if this is destroyed before the reply.
  Status send(const std::string& method, const std::string& path, OnReply on_reply);
  // Until something has come from the daemon or can be read from `file` (-1: none), or a signal was
  // caught, or `longest` has passed.
  void wait(std::chrono::milliseconds longest, int file = -1);

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace choir::serve
