// The streams of POST /choir/v1/parallel that are under way, by secrets that only their readers
// know, so that a reader can stop one job of its stream without a right over the requests of
// others.
//
// Of the loop thread. No call blocks.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <utility>

namespace choir::serve {

class ParallelCalls {
 public:
  // Stops a job; false: it never was one of the call's, or has ended.
  using Stop = std::function<bool(std::size_t job)>;

  // `stop` is valid until remove().
  void add(const std::string& secret, Stop stop) { calls_[secret] = std::move(stop); }
  void remove(const std::string& secret) { calls_.erase(secret); }

  // False: there is no such call under way, or no such job of it.
  bool stop(const std::string& secret, std::size_t job) const {
    const auto call = calls_.find(secret);
    return call != calls_.end() && call->second(job);
  }

 private:
  std::map<std::string, Stop> calls_;
};

}  // namespace choir::serve
