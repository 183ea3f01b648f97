// How long a request waits for its model to be loaded, and what its client hears meanwhile.
//
// Any thread; nothing blocks.
#pragma once

#include <optional>
#include <string>

#include "choir/node.h"
#include "serve/services.h"

namespace choir::serve {

// ": loading 42 %", as a comment of a stream. `fraction`: from 0 to 1.
std::string loading_comment(double fraction);

// Whether it goes on. Pure.
bool is_open(const LoadState& load);

class LoadWait {
 public:
  // The request waits from now on. The node and the clock outlive this object.
  explicit LoadWait(const Services& services);

  // How far the load is, from 0 to 1, where 0 is also one that has not begun yet; nullopt: the
  // executor is in memory, or there is none of that name.
  std::optional<double> look(const std::string& executor) const;
  // Whether the request has waited as long as it may, and what it is told then. The load goes on.
  bool is_over() const;
  ApiError error(const std::string& model) const;

 private:
  const Node& node_;
  const Clock& clock_;
  const Nanos most_;
  const Instant began_;
};

}  // namespace choir::serve
