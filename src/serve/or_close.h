// Work for a connection, on the loop thread.
#pragma once

#include <utility>

#include "base/caught.h"
#include "base/log.h"
#include "serve/connection.h"

namespace choir::serve {

// What it throws ends the connection, and no other.
template <class F>
void or_close(Connection& connection, F&& work) {
  const Status done = caught([&] { std::forward<F>(work)(); });
  if (done) return;
  log(LogLevel::kError, "a connection ends: " + done.error().message);
  connection.close();
}

}  // namespace choir::serve
