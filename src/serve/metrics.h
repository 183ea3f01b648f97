// What the daemon counts, in Prometheus' text format.
//
// Figures that the node counts itself are read when the metrics are asked for; the others are
// counted here, told by the node as its observer. Choir's own names begin with choir_.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "choir/node.h"
#include "choir/observer.h"
#include "serve/first_tokens.h"
#include "serve/metric_names.h"

namespace choir::serve {

class Metrics final : public Observer {
 public:
  explicit Metrics(MetricNames names = kChoirNames);
  ~Metrics() override;

  // Observer: as choir/observer.h says.
  void on_request_ended(const RequestEnded& request) override;
  void on_step(const StepDone& step) override;
  void on_load(const LoadDone& load) override;
  void on_left(const ExecutorLeft& left) override;

  // Any thread; none blocks.
  void on_reply(int status);
  void on_ignored_fields(std::size_t count);
  void on_lost_lines(std::uint64_t count);  // of the access log
  // The first tokens of the requests that have ended since the last call; of very many the first
  // ones.
  std::vector<FirstToken> take_first_tokens();

  // Everything, as text. Any thread; copies under locks.
  std::string text(const Node& node) const;

 private:
  class Inside;
  const std::unique_ptr<Inside> inside_;
};

}  // namespace choir::serve
