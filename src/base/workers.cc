#include "base/workers.h"

#include <optional>
#include <string>
#include <utility>

#include "base/caught.h"
#include "base/scope_end.h"

namespace choir {

std::unique_ptr<Workers> Workers::by_hand(const Limits& limits) {
  return std::unique_ptr<Workers>(new Workers(limits));
}

bool Workers::run_here() {
  return service_.run_here([this](Next next) { carry_out(std::move(next)); });
}

Result<std::unique_ptr<Workers>> Workers::start(const Limits& limits) {
  std::unique_ptr<Workers> workers = by_hand(limits);
  // Those that could be had end with the object.
  const Status started = caught([&] {
    workers->service_.start(
        limits.threads, [self = workers.get()](Next next) { self->carry_out(std::move(next)); });
  });
  if (!started)
    return tl::unexpected(Error(started.error()).in("no threads for work in the background"));
  return workers;
}

Workers::~Workers() { service_.stop(Left::kCarriedOut); }

Status Workers::post(Key key, std::function<void()> work) {
  return service_.change([&](Queue& q) -> Status {
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
  return service_.with([&](const Queue& q) { return q.lines.contains(key); });
}

std::optional<Workers::Next> Workers::next(Queue& q) const {
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
  return std::nullopt;
}

void Workers::carry_out(Next next) {
  const ScopeEnd over([&] {
    next.work = nullptr;  // before the lock: what it holds may take a lock of its owner
    service_.change([&](Queue& q) {
      const auto line = q.lines.find(next.key);
      if (--line->second.running == 0 && line->second.waiting.empty()) q.lines.erase(line);
    });
  });
  next.work();
}

}  // namespace choir
