// What an HTTP exchange is for the rest of the daemon: values in, and work that gives bytes out.
// Connections (serve/connection) know sockets and nothing of models; routes know models and nothing
// of sockets. This file is what both know.
//
// Threads: all of this lives on the loop thread of the server. Only a Wake may be called elsewhere.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "choir/units.h"
#include "serve/client_rights.h"

namespace choir::serve {

struct Header {
  std::string name;  // in lower case
  std::string value;
  bool operator==(const Header&) const = default;
};

struct HttpRequest {
  std::string method = {};  // "GET"
  std::string path = {};    // "/v1/models/a": decoded, without the query
  std::string query = {};   // what follows '?', as it came
  std::string rest = {};    // what the '*' of the route's path stands for
  std::vector<Header> headers = {};
  std::string body = {};
  bool over_unix_socket = false;
  std::string address = {};  // of the client: "127.0.0.1"; empty on a unix socket
  Client client = {};        // on whose account; the router says

  // The value of the first header of that name (in lower case); empty: it is not there.
  std::string_view header(std::string_view name) const {
    for (const Header& header : headers)
      if (header.name == name) return header.value;
    return {};
  }
};

struct ReplyHead {
  int status = 200;
  std::vector<Header> headers = {};  // without those about length and connection
  bool streamed = false;             // the body comes in pieces; else it comes with the head, whole
  bool close = false;                // the connection ends after this reply
  bool operator==(const ReplyHead&) const = default;
};

// What can be sent now. All members empty: nothing yet.
struct Output {
  std::optional<ReplyHead> head = {};  // once, before any bytes
  std::string bytes = {};              // of the body
  bool end = false;                    // nothing follows
  bool empty() const { return !head && bytes.empty() && !end; }
};

// Why a request has no answer, or the rest of one.
struct Refusal {
  int status = 400;
  std::string message;
  std::vector<Header> headers = {};
  bool wrong_key = false;      // a key was sent, and it is not one of the daemon's
  std::string_view code = {};  // of the error; empty: what the status says
};

// What an exchange was about, for the access log. Never a text of a request or an answer.
struct WorkFacts {
  std::string model = {};  // that answers, or has refused; empty: none does
  std::int32_t prompt_tokens = 0;
  std::int32_t output_tokens = 0;
  std::int32_t reused_tokens = 0;  // of the prompt: not computed again
  double first_token_seconds = 0;  // 0: there was none
  bool operator==(const WorkFacts&) const = default;
};

// One exchange that is being answered. The connection asks for output when the socket has taken
// what came before, so a slow client is a slow reader of whatever the work reads from.
// It is destroyed after its end, or earlier when the client has gone; then it gives up what it
// began.
class Work {
 public:
  Work() = default;
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;
  virtual ~Work() = default;

  // Called at once, after each wake, and after output that was not empty. Does not block.
  virtual Output advance() = 0;
  // Called about once a second while nothing was sent for `silent`; for bytes that keep a
  // connection alive. Does not block.
  virtual Output silence(Nanos silent);
  // The daemon ends the answer. Returns what says so in the form of the answer, as its last output,
  // with a head where none was given out; empty: there is no such form, and the connection refuses
  // or is closed. Called once at most, advance() not any more. Does not block.
  virtual Output cut_short(const Refusal& why);
  // What is known so far; asked for once, when the exchange ends. Does not block.
  virtual WorkFacts facts() const;
};

// Tells the connection that advance() has output. Any thread; does not block; may be called after
// the connection has ended. It may be copied.
using Wake = std::function<void()>;

// Begins to answer a request, on the loop thread; must not block.
using Handler = std::function<std::unique_ptr<Work>(HttpRequest, Wake)>;

// A reply that is known at once.
std::unique_ptr<Work> reply_with(ReplyHead head, std::string body);
std::unique_ptr<Work> reply_with_json(int status, std::string body);

// ASCII letters in lower case; names of headers and hosts ignore case.
std::string lower_case(std::string_view text);

// "Not Found" of 404; "Status" where there is no name.
std::string_view reason_of(int status);

// The path of a target, with its %XX decoded; nullopt if it has an escape that is none, a decoded
// control character, or a segment ".." or ".".
std::optional<std::string> decoded_path(std::string_view target);

}  // namespace choir::serve
