// Generations by a running daemon, for `--host`: jobs go to its POST /choir/v1/parallel.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "choir/parallel_evaluation.h"
#include "choir/request.h"
#include "serve/client.h"

namespace choir::app {

struct RemoteModel {
  std::string name;
  std::string path;  // there; empty: the daemon has not used it yet
};

class RemoteDaemon {
 public:
  // `host`: as serve::daemon_address() has it. Does not connect.
  static Result<RemoteDaemon> at(const std::string& host);

  // kNotFound: no daemon answers, or it has no such model.
  Result<RemoteModel> model(const std::string& name) const;
  // Cores of its node.
  Result<std::int32_t> cores() const;

  struct Reader {
    std::function<void(std::size_t job)> on_begin = {};  // when it is submitted
    std::function<void(std::size_t job, std::string_view text, std::int32_t tokens)> on_text = {};
    std::function<void(std::size_t job, const Completion& completion)> on_end = {};
    std::function<bool()> go_on = [] { return true; };  // polled; false gives up
  };
  using Order = ParallelEvaluation::Order;
  // Submits requests, together or each when the one before has ended, and waits for their ends.
  // `executor` of each is the name of a model there. Blocks. A job that fails is a completion with
  // its error. After go_on() was false, those that had not ended are kCancelled, with what there
  // was of their text; total_seconds of their usage is not known then.
  struct Answers {
    std::vector<Completion> completions;
    double load_seconds = 0;
    double total_seconds = 0;
  };
  Result<Answers> run(const std::vector<Request>& requests, Order order,
                      const Reader& reader) const;
  // The same of one request. kTooLong is an error here, as Node::submit() has it.
  Result<Completion> run(const Request& request, const Reader& reader) const;

 private:
  explicit RemoteDaemon(serve::DaemonAddress address) : address_(std::move(address)) {}
  serve::DaemonAddress address_;
};

}  // namespace choir::app
