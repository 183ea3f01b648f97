#include "base/workers.h"

#include <optional>
#include <string>
#include <utility>

#include "base/caught.h"
#include "base/log.h"

namespace choir {

Result<std::unique_ptr<Workers>> Workers::start(const Limits& limits) {
  std::unique_ptr<Workers> workers(new Workers(limits));
  // Those that could be had end with the object.
  const Status started = caught([&]() -> Status {
    for (int i = 0; i < limits.threads; ++i)
      workers->threads_.start([self = workers.get()] { self->loop(); });
    return {};
  });
  if (!started)
    return tl::unexpected(Error(started.error()).in("no threads for work in the background"));
  return workers;
}

Workers::~Workers() {
  queue_.change([](Queue& q) { q.stopping = true; });
  threads_.join();
}

void Workers::drop_until(Instant end) {
  queue_.change([](Queue& q) { q.stopping = q.dropping = true; });
  threads_.join_until(clock_, end);
}

Status Workers::post(Key key, std::function<void()> work) {
  return queue_.change([&](Queue& q) -> Status {
    const auto line = q.lines.find(key);
    if (key != kNoKey && line != q.lines.end() &&
        line->second.waiting.size() >= limits_.waiting_max)
      return fail(
          Code::kOverloaded,
          std::to_string(limits_.waiting_max) + " requests wait for it already; try again later",
          {Fact::of("waiting", line->second.waiting.size()),
           Fact::of("queue_max", limits_.waiting_max)});
    q.lines[key].waiting.push_back(std::move(work));
    return {};
  });
}

bool Workers::busy(Key key) const {
  return queue_.with([&](const Queue& q) { return q.lines.contains(key); });
}

std::optional<Workers::Next> Workers::next(Queue& q) const {
  if (q.dropping) return Next{};
  auto line = q.lines.upper_bound(q.last);
  for (std::size_t i = 0; i < q.lines.size(); ++i, ++line) {
    if (line == q.lines.end()) line = q.lines.begin();
    Line& one = line->second;
    if (one.waiting.empty() || (line->first != kNoKey && one.running >= limits_.at_once)) continue;
    Next next{line->first, std::move(one.waiting.front())};
    one.waiting.pop_front();
    ++one.running;
    q.last = line->first;
    return next;
  }
  // What waits behind its own key is begun by the thread that has that key's work.
  return q.stopping && q.lines.empty() ? std::optional(Next{}) : std::nullopt;
}

void Workers::loop() {
  for (;;) {
    Next now = *queue_.wait([&](Queue& q) { return next(q); });
    if (!now.work) return;
    const Status done = caught([&]() -> Status {
      now.work();
      return {};
    });
    if (!done) log(LogLevel::kError, "work in the background: " + done.error().message);
    now.work = nullptr;  // here: what it holds may take a lock of its owner
    queue_.change([&](Queue& q) {
      const auto line = q.lines.find(now.key);
      if (--line->second.running == 0 && line->second.waiting.empty()) q.lines.erase(line);
    });
  }
}

}  // namespace choir
