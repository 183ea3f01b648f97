// Tells a service manager how far the daemon is: the protocol of systemd's sd_notify(3), a datagram
// to the socket that NOTIFY_SOCKET names. Where that is not set, nothing happens.
//
// It is written here and not taken from libsystemd, as systemd's own documentation advises: the
// protocol is one datagram, and stable.
#pragma once

#include <cstdint>

namespace choir::serve {

enum class ServiceState : std::uint8_t { kReady, kStopping };

// Whether a service manager has started this process; it keeps what is printed. Any thread.
bool has_service_manager();
// Any thread; does not block. What cannot be sent is not told to anybody.
void tell_service_manager(ServiceState state);

}  // namespace choir::serve
