// The second half of a pair (begin and end, take and give back): it runs when the scope is left,
// by return or by an exception, unless it was released.
#pragma once

#include <utility>

namespace choir {

// `work` must not throw.
template <class F>
class ScopeEnd {
 public:
  explicit ScopeEnd(F work) : work_(std::move(work)) {}
  ~ScopeEnd() {
    if (armed_) work_();
  }
  ScopeEnd(const ScopeEnd&) = delete;
  ScopeEnd& operator=(const ScopeEnd&) = delete;

  void release() { armed_ = false; }

 private:
  F work_;
  bool armed_ = true;
};

}  // namespace choir
