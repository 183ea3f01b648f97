// What the node tells its observer, told to several, one after the other. Threads and lifetime: as
// choir/observer.h says of each.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "choir/observer.h"

namespace choir::serve {

class Observers final : public Observer {
 public:
  explicit Observers(std::vector<std::shared_ptr<Observer>> all) : all_(std::move(all)) {}

  void on_request_ended(const RequestEnded& request) override {
    for (const auto& one : all_) one->on_request_ended(request);
  }
  void on_step(const StepDone& step) override {
    for (const auto& one : all_) one->on_step(step);
  }
  void on_load(const LoadDone& load) override {
    for (const auto& one : all_) one->on_load(load);
  }
  void on_left(const ExecutorLeft& left) override {
    for (const auto& one : all_) one->on_left(left);
  }

 private:
  const std::vector<std::shared_ptr<Observer>> all_;
};

}  // namespace choir::serve
