// How long a connection may take for what it does. Pure: any thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "choir/units.h"

namespace choir::serve {

struct Timeouts {
  Nanos head = std::chrono::seconds(10);        // first byte of a head to its end
  Nanos idle = std::chrono::seconds(75);        // between two requests
  Nanos body_grace = std::chrono::seconds(10);  // from then on a body needs its pace
  std::size_t body_bytes_per_second = 1024;
  Nanos body = std::chrono::seconds(120);
  Nanos stalled = std::chrono::seconds(30);  // a socket takes no byte while bytes wait for it
  Nanos linger = std::chrono::seconds(2);    // after the last reply, for the client to read it
};

enum class Phase : std::uint8_t {
  kIdle,     // no byte of a request has come
  kHead,     // a part of a head has come
  kBody,     // the head is complete, the body is not
  kWork,     // the request is complete and is being answered
  kSending,  // bytes wait for the socket
  kLinger,   // all is sent and the connection ends
};

enum class Overdue : std::uint8_t {
  kNo,
  kClose,    // nothing is lost: close it
  kTooSlow,  // answer 408 and close
  kStalled,  // the client does not read
};

// `lasts`: how long the phase lasts; for kSending, since the socket took the last byte. `bytes`: of
// the body, so far.
Overdue overdue(Phase phase, Nanos lasts, std::size_t bytes, const Timeouts& timeouts);

}  // namespace choir::serve
