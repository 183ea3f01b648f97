// How long first tokens took, each told once and in the second in which it came: those of requests
// that still write are not left out until their end.
//
// Owned by one caller, which calls one at a time.
#pragma once

#include <set>
#include <span>
#include <vector>

#include "choir/ids.h"
#include "choir/request_info.h"

namespace choir::serve {

// Of a request that has ended.
struct FirstToken {
  RequestId id;
  double seconds = 0;  // since it was submitted
};

class FirstTokens {
 public:
  // In seconds, those that are new since the last call. `active`: all active requests, seen before
  // `ended` was taken, so that one which is not among them has ended and was told.
  std::vector<double> fresh(std::span<const RequestInfo> active, std::span<const FirstToken> ended);

 private:
  std::set<RequestId> told_;  // active ones
};

}  // namespace choir::serve
