// A request whose prompt has been checked, rendered and tokenized: the first half of a submission.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "choir/request.h"
#include "choir/units.h"

namespace choir {

// A value; made by Node::prepare(), used up by Node::enqueue().
class Prepared {
 public:
  const Request& request() const { return request_; }
  // 0: not known, because the executor was not in memory. Then the prompt is tokenized when the
  // executor has been loaded, on a thread of the node.
  std::int32_t prompt_tokens() const { return static_cast<std::int32_t>(tokens_.size()); }
  // Another choice of the same prompt (Request::stream), which is not tokenized again.
  Prepared choice(std::uint32_t stream) const {
    Prepared other = *this;
    other.request_.stream = stream;
    return other;
  }

 private:
  friend class Runtime;
  friend class Arrivals;
  explicit Prepared(Request request) : request_(std::move(request)) {}

  Request request_;
  std::vector<TokenId> tokens_;
  std::string fingerprint_;  // of the model whose tokens these are
};

}  // namespace choir
