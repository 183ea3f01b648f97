#include "serve/events.h"

#include <algorithm>
#include <utility>

#include "base/caught.h"
#include "base/log.h"

namespace choir::serve {
namespace {

constexpr std::size_t kReadersEachTick = 64;
constexpr std::size_t kTicksMost = 32;

template <class Frames>
typename Frames::mapped_type of_audience(const Frames& frames, const std::string& audience) {
  const auto found = frames.find(audience);
  return found == frames.end() ? typename Frames::mapped_type{} : found->second;
}

// So many of `all` that `parts` such parts are all of them.
std::size_t part_of(std::size_t all, std::size_t parts) { return (all + parts - 1) / parts; }

}  // namespace

int ticks_between_looks(std::size_t readers) {
  return static_cast<int>(
      std::clamp<std::size_t>(part_of(readers, kReadersEachTick), 1, kTicksMost));
}

Events::~Events() { watch_log(false); }

std::string Events::audience_of(const Client& client) {
  return (client.scopes & kAdmin) != 0 ? std::string(kAll) : "=" + client.tenant;
}

// ---- readers ------------------------------------------------------------------------------------

std::uint64_t Events::join(Topics topics, const Client& client, Wake wake, std::uint64_t since) {
  bool first = false;
  bool log_begins = false;
  const Instant now = clock_.now();
  const std::uint64_t reader = state_.with([&](State& s) {
    const std::uint64_t id = ++s.last_reader;
    log_begins = (topics & kLogTopic) != 0;
    Reader& added = s.readers.emplace(id, Reader{topics, audience_of(client), std::move(wake), {}})
                        .first->second;
    forget_old(s, now);
    added.resumed = resume(s, added, since);
    s.snapshot_wanted = s.snapshot_wanted || !added.resumed;
    s.newcomer = s.newcomer || !added.resumed;
    first = !std::exchange(s.ticking, true);
    if (first) s.ticks_to_look = 0;
    return id;
  });
  if (log_begins) watch_log(true);
  if (first)
    tick();
  else
    look_for_newcomer();
  return reader;
}

// What it has missed is known if no frame after `since` is forgotten, and the table of its requests
// has been the same one since then.
bool Events::resume(State& s, Reader& reader, std::uint64_t since) {
  if (since == 0 || since < s.forgotten || since > s.newest) return false;
  if ((reader.topics & kRequestsTopic) != 0) {
    const auto table = s.tables.find(reader.audience);
    if (table == s.tables.end() || since <= table->second) return false;
  }
  std::vector<Frame> missed;
  for (const auto& [made, kept] : s.kept)
    if (kept.number > since && (kept.topic & reader.topics) != 0 &&
        (kept.topic != kRequestsTopic || kept.audience == reader.audience))
      missed.push_back(kept.frame);
  reader.queue.begin(missed);
  return true;
}

bool Events::resumed(std::uint64_t reader) const {
  return state_.with([&](const State& s) {
    const auto found = s.readers.find(reader);
    return found != s.readers.end() && found->second.resumed;
  });
}

void Events::forget_old(State& s, Instant now) {
  while (!s.kept.empty() &&
         (now - s.kept.front().first > kFramesKept || s.kept_bytes > kFramesKeptBytes)) {
    s.forgotten = s.kept.front().second.number;
    s.kept_bytes -= s.kept.front().second.frame->size();
    s.kept.pop_front();
  }
}

void Events::leave(std::uint64_t reader) {
  const bool log_ends = state_.with([&](State& s) {
    s.readers.erase(reader);
    return std::ranges::none_of(
        s.readers, [](const auto& one) { return (one.second.topics & kLogTopic) != 0; });
  });
  if (log_ends) watch_log(false);
}

Frame Events::take(std::uint64_t reader) {
  return state_.with([&](State& s) -> Frame {
    const auto found = s.readers.find(reader);
    if (found == s.readers.end()) return nullptr;
    Frame frame = found->second.queue.take();
    if (!frame && found->second.queue.wants_snapshot()) s.snapshot_wanted = true;
    return frame;
  });
}

bool Events::ended() const {
  return state_.with([](const State& s) { return s.ended; });
}

// ---- looking ------------------------------------------------------------------------------------

void Events::tick() {
  std::vector<Wake> wakes;
  Nanos pause{0};
  const bool node_ends = node_.info().door_closed;
  const Look look = state_.with([&](State& s) {
    s.ticking = !s.readers.empty();
    wakes = next_wakes(s);
    pause = next_tick(s);
    const Look next = s.ticking ? next_look(s, node_ends) : Look::kNone;
    s.looking = s.looking || next != Look::kNone;
    return next;
  });
  if (look != Look::kNone) post(look);
  for (const Wake& wake : wakes) wake();
  if (pause > Nanos(0)) after_(pause, [self = shared_from_this()] { self->tick(); });
}

// 0: there is none.
Nanos Events::next_tick(const State& s) {
  if (!s.ticking) return Nanos(0);
  const bool quiet = s.quiet_looks >= kQuietLooks && s.to_wake.empty();
  return quiet && ticks_between_looks(s.readers.size()) == 1 ? kQuietTick : kEventTick;
}

void Events::post(Look look) {
  const Status posted = doors_.post([self = shared_from_this(), look, now = clock_.now()] {
    const Status looked = caught([&] { self->look(look, now); });
    if (looked) return self->look_for_newcomer();
    log(LogLevel::kError, "events: " + looked.error().message);
    self->state_.with([](State& s) { s.looking = false; });
  });
  if (!posted)  // the doors are busy: later
    state_.with([](State& s) {
      s.looking = false;
      s.ticks_to_look = 0;
    });
}

// One that has come between two looks does not wait for the next: it gets what the last one saw.
void Events::look_for_newcomer() {
  const bool begins = state_.with([](State& s) {
    const bool look = s.newcomer && !s.looking;
    s.looking = s.looking || look;
    return look;
  });
  if (begins) post(Look::kSnapshots);
}

// Where the last look has not ended, the next one is at a later tick.
Events::Look Events::next_look(State& s, bool node_ends) {
  const bool due = --s.ticks_to_look <= 0 || (node_ends && !s.ended);
  if (s.looking || (!due && !s.snapshot_wanted)) return Look::kNone;
  if (!due) return Look::kSnapshots;
  s.ticks_to_look = ticks_between_looks(s.readers.size());
  return Look::kNode;
}

void Events::look(Look what, Instant now) {
  const Wanted wanted = this->wanted(what);
  const Made made = make(wanted);
  hand_out(made, what, node_.info().door_closed, now);
}

Events::Wanted Events::wanted(Look what) {
  return state_.with([&](State& s) {
    Wanted wanted;
    wanted.look = what;
    s.snapshot_wanted = s.newcomer = false;
    for (auto& [id, reader] : s.readers) {
      wanted.topics |= reader.topics;
      const bool snapshot = reader.queue.wants_snapshot();
      if ((reader.topics & kStateTopic) != 0) wanted.state_snapshot |= snapshot;
      if ((reader.topics & kTurnsTopic) != 0) wanted.turns_snapshot |= snapshot;
      if ((reader.topics & kRequestsTopic) != 0) wanted.audiences[reader.audience] |= snapshot;
    }
    if (what == Look::kNode) {
      wanted.lines = std::exchange(s.lines, {});
      wanted.lines_dropped = std::exchange(s.lines_dropped, 0);
    }
    return wanted;
  });
}

void Events::hand_out(const Made& made, Look what, bool ended, Instant now) {
  const std::vector<Wake> wakes = state_.with([&](State& s) {
    s.looking = false;
    s.ended = s.ended || ended;
    if (what == Look::kNode) s.quiet_looks = made.kept.empty() ? s.quiet_looks + 1 : 0;
    for (const Kept& kept : made.kept) {
      s.kept_bytes += kept.frame->size();
      s.kept.emplace_back(now, kept);
    }
    s.newest = std::max(s.newest, made.newest);
    s.tables = made.tables;
    forget_old(s, now);
    const std::size_t before = s.to_wake.empty() ? 0 : s.wakes_each_tick;
    bool all_fed = true;
    for (auto& [id, reader] : s.readers) {
      // It came back for a table that this look has given up.
      if ((reader.topics & kRequestsTopic) != 0 && !s.tables.contains(reader.audience))
        reader.queue.begin_anew();
      feed(reader, made);
      all_fed = all_fed && !reader.queue.wants_snapshot();
      if ((!s.ended && reader.queue.empty()) || reader.wakes_soon) continue;
      reader.wakes_soon = true;
      s.to_wake.push_back(id);
    }
    if (all_fed) s.snapshot_wanted = s.newcomer = false;
    const int parts = s.ended ? 1 : ticks_between_looks(s.readers.size());
    s.wakes_each_tick =
        std::max(before, part_of(s.to_wake.size(), static_cast<std::size_t>(parts)));
    return next_wakes(s);
  });
  for (const Wake& wake : wakes) wake();
}

// Takes the next part of those that have frames.
std::vector<Wake> Events::next_wakes(State& s) {
  std::vector<Wake> wakes;
  while (!s.to_wake.empty() && wakes.size() < s.wakes_each_tick) {
    const auto found = s.readers.find(s.to_wake.front());
    s.to_wake.pop_front();
    if (found == s.readers.end()) continue;
    found->second.wakes_soon = false;
    wakes.push_back(found->second.wake);
  }
  return wakes;
}

// One that came after the look began is fed by the next.
void Events::feed(Reader& reader, const Made& made) {
  const bool state = (reader.topics & kStateTopic) != 0;
  const bool requests = (reader.topics & kRequestsTopic) != 0;
  const bool turns = (reader.topics & kTurnsTopic) != 0;
  if (reader.queue.wants_snapshot()) {
    std::vector<Whole> parts;
    if (state) parts.push_back(made.state_whole);
    if (requests) parts.push_back(of_audience(made.requests_whole, reader.audience));
    if (turns) parts.push_back(made.turns_whole);
    std::vector<Frame> snapshot;
    snapshot.reserve(parts.size());
    for (const Whole& whole : parts) snapshot.push_back(whole.part);
    if (std::ranges::find(snapshot, Frame()) != snapshot.end()) return;
    if (!parts.empty()) snapshot.back() = parts.back().last;
    reader.queue.begin(snapshot);
  } else {
    if (state && made.state) reader.queue.add(made.state);
    if (requests)
      if (const Frame frame = of_audience(made.requests, reader.audience)) reader.queue.add(frame);
    if (turns && made.turns) reader.queue.add(made.turns);
  }
  if ((reader.topics & kLogTopic) != 0 && made.log) reader.queue.add(made.log);
}

}  // namespace choir::serve
