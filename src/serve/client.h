// How the program `choir` talks to a daemon.
//
// Any thread may call; ask() and ask_events() block.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "choir/result.h"

namespace choir::serve {

// Where a daemon on this port has its unix socket when it is told nothing else:
// choir-PORT.sock in XDG_RUNTIME_DIR, or in the cache folder where that is not set or CHOIR_CACHE
// is. Empty: there is no such folder.
std::string default_socket(std::uint16_t port);

struct ClientReply {
  int status = 0;
  std::string body;
};

// One request over a unix socket, until the reply is complete. kNotFound: no daemon answers there.
Result<ClientReply> ask(const std::string& socket, const std::string& method,
                        const std::string& path, const std::string& body = {});

// Where a daemon is, as a user writes it: "http://HOST:PORT", or the path of its unix socket, with
// "unix:" in front or not.
struct DaemonAddress {
  std::string url;     // without a '/' at its end
  std::string socket;  // empty: over TCP
};
// kInvalidArgument: it is neither. Pure.
Result<DaemonAddress> daemon_address(const std::string& text);

// One request, until the reply is complete. With the variable CHOIR_API_KEY as the key, if it is
// there. kNotFound: no daemon answers there.
Result<ClientReply> ask(const DaemonAddress& daemon, const std::string& method,
                        const std::string& path, const std::string& body = {});

// Called on the thread that asks.
struct EventReader {
  std::function<void(std::string_view data)> on_event;  // of each event of the stream
  // About every 50 ms; false ends the request, and the daemon sees the client leave.
  std::function<bool()> go_on = [] { return true; };
};
// POST whose reply is a stream of server-sent events. The body of the reply is empty then; it is
// the error where the status is not 200. kCancelled: go_on() was false. kUnavailable: the stream
// broke.
Result<ClientReply> ask_events(const DaemonAddress& daemon, const std::string& path,
                               const std::string& body, const EventReader& reader);

// The events in what comes of a stream, piece by piece. One thread.
class EventLines {
 public:
  // Calls `on_event` with the data of each event that these bytes complete.
  void add(std::string_view bytes, const std::function<void(std::string_view data)>& on_event);
  // Of the event that `on_event` is called with; empty: it has none.
  std::string_view name() const { return name_; }
  std::string_view id() const { return id_; }

 private:
  std::string line_;  // that has not ended
  std::string data_;  // of the event that has not ended
  std::string name_;  // of that event
  std::string id_;    // of that event
};

}  // namespace choir::serve
