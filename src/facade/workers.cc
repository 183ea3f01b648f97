#include "facade/workers.h"

#include <optional>

namespace choir::parallel {
namespace {

thread_local bool this_thread_works = false;

}  // namespace

Workers::Workers(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { loop(); });
}

Workers::~Workers() {
  queue_.change([](Queue& q) { q.stopping = true; });
  for (std::thread& thread : threads_) thread.join();
}

void Workers::post(std::function<void()> work) {
  queue_.change([&](Queue& q) { q.work.push_back(std::move(work)); });
}

bool Workers::on_worker_thread() { return this_thread_works; }

void Workers::loop() {
  this_thread_works = true;
  for (;;) {
    using Next = std::optional<std::function<void()>>;
    const std::function<void()> work = *queue_.wait([](Queue& q) -> Next {
      if (!q.work.empty()) {
        Next next = std::move(q.work.front());
        q.work.pop_front();
        return next;
      }
      return q.stopping ? Next(nullptr) : Next();
    });
    if (!work) return;
    work();
  }
}

}  // namespace choir::parallel
