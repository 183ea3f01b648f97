// What is known of one exchange when it has ended, and the two headers by which a client, a proxy
// and the access log name it: x-request-id, and traceparent (W3C Trace Context, level 1).
//
// Plain values and functions without state, apart from the random bytes of the system: any thread,
// none blocks. Each thread keeps some random bytes: they name exchanges, and are no secrets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "choir/request.h"
#include "serve/http.h"

namespace choir::serve {

// Never a text of a request or an answer, and never a key.
struct Exchange {
  std::string id = {};           // x-request-id: the client's, or one that was made here
  std::string traceparent = {};  // of the daemon's span; empty: the client sent none that is valid
  std::string method = {};       // empty: the head of the request could not be read
  std::string path = {};         // without the query
  std::string address = {};      // of the client; "unix" for the unix socket
  std::string key = {};          // name of the client's key; empty: it has none
  std::string tenant = {};       // empty: refused before it was known
  int status = 0;
  std::uint64_t bytes = 0;  // of the reply that the socket has taken, its head included
  double seconds = 0;       // from the first byte of the request to the last of the reply
  WorkFacts facts = {};
  bool operator==(const Exchange&) const = default;
};

// Of a client that went away, or read nothing for too long, before its reply was complete. It is in
// the log only and never in a reply.
inline constexpr int kClientGone = 499;
inline constexpr std::size_t kRequestIdMax = 128;

// What is known when the head of a request has been read. `address`: of the client; empty: it came
// over the unix socket.
Exchange exchange_of(const HttpRequest& head, const std::string& address);

// Adds x-request-id, and traceparent where the client has sent one.
void name_exchange(ReplyHead& head, const Exchange& exchange);

// 1 .. kRequestIdMax visible ASCII characters.
bool is_request_id(std::string_view text);

// The same trace with `span` (16 hexadecimal digits) in place of the client's. Empty: `traceparent`
// is not valid, and the trace ends here.
std::string child_of(std::string_view traceparent, std::string_view span);

// Two hexadecimal digits for each byte.
std::string random_hex(std::size_t bytes);

// Of several answers to one request the counts are added; the first token is that of the fastest.
void add_usage(WorkFacts& facts, const Usage& usage);

}  // namespace choir::serve
