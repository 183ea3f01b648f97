// The KV state of conversations while no executor has it: in memory, or in files.
#include <algorithm>

#include "base/caught.h"
#include "base/log.h"
#include "base/scope_end.h"
#include "context/conversations.h"

namespace choir {
namespace {

// How long a conversation with a store rests before its KV state is written, and how often the
// writer looks: an answer is in the store at once, its KV state only saves work after a crash.
constexpr std::chrono::milliseconds kRest = std::chrono::seconds(2);
constexpr Nanos kLook = std::chrono::seconds(1);

}  // namespace

void Conversations::keep(ConversationKey key, KvState state) {
  const auto find_it = [&](const Table& t) -> TalkPtr {
    const auto found = t.by_key.find(key);
    return found == t.by_key.end() ? nullptr : found->second;
  };
  const TalkPtr talk = table_.with(find_it);
  if (!talk) return;
  if (talk->folder) return write_kv(talk, std::move(state));
  put_aside(*talk, std::move(state));
  if (!table_.with(find_it)) (void)take_aside(*talk);  // erased in the meantime
}

// The others make room, those not used for longest first.
void Conversations::put_aside(const Talk& talk, KvState state) {
  const std::uint64_t bytes = state.blob.size();
  const Instant used = talk.state.with([](const Talk::State& s) { return s.used; });
  aside_.with([&](Aside& a) {
    const auto remove = [&](auto entry) {
      a.bytes -= entry->second.state.blob.size();
      a.entries.erase(entry);
    };
    if (const auto old = a.entries.find(talk.key); old != a.entries.end()) remove(old);
    if (bytes > limits_.aside_bytes_max) return;
    while (a.bytes + bytes > limits_.aside_bytes_max)
      remove(std::ranges::min_element(a.entries, {}, [](const auto& e) { return e.second.used; }));
    a.bytes += bytes;
    a.entries.emplace(talk.key, Aside::Entry{std::move(state), used});
  });
}

KvState Conversations::take_aside(const Talk& talk) {
  return aside_.with([&](Aside& a) -> KvState {
    const auto found = a.entries.find(talk.key);
    if (found == a.entries.end()) return {};
    KvState state = std::move(found->second.state);
    a.bytes -= state.blob.size();
    a.entries.erase(found);
    return state;
  });
}

void Conversations::write_kv(const TalkPtr& talk, KvState state) {
  Snapshot snapshot{.model_fingerprint = {},
                    .kv_type = std::string(to_string(state.kv_type)),
                    .tokens = std::move(state.tokens),
                    .kv = std::move(state.blob),
                    .reuse_scope = std::move(state.reuse_scope)};
  std::uint64_t turns = 0;
  bool is_there = false;
  Status written = with_record(talk, [&](const Talk::State& s) -> Status {
    snapshot.model_fingerprint = s.record->model_fingerprint;
    turns = s.record->turns;
    is_there = s.kv_turns == turns;
    return {};
  });
  SnapshotFolder& snapshots = talk->folder->snapshots();
  if (written && is_there && snapshots.has(talk->executor, talk->id)) return;
  if (written)
    written = talk->snapshot.with([&](const Talk::OnDisk& disk) -> Status {
      if (disk.erased) return {};
      return snapshots.write(talk->executor, talk->id, snapshot);
    });
  if (written)
    talk->state.with([&](Talk::State& s) { s.kv_turns = turns; });
  else
    log(LogLevel::kWarn,
        "conversation '" + talk->id +
            "' will be computed again after a restart: " + written.error().message);
}

KvState Conversations::read_kv(const Talk& talk, const Model& model, KvType kv_type) const {
  SnapshotFolder& snapshots = talk.folder->snapshots();
  auto snapshot = snapshots.read(talk.executor, talk.id);
  if (snapshot && snapshot->model_fingerprint == model.fingerprint() &&
      snapshot->kv_type == to_string(kv_type))
    return {std::move(snapshot->kv), std::move(snapshot->tokens), kv_type,
            std::move(snapshot->reuse_scope)};
  if (!snapshot && snapshot.error().code == Code::kNotFound) return {};
  log(LogLevel::kWarn,
      "conversation '" + talk.id + "' is computed again: " +
          (snapshot ? "its KV state is of another model or KV type" : snapshot.error().message));
  (void)snapshots.erase(talk.executor, talk.id);
  return {};
}

int Conversations::write_behind(std::chrono::milliseconds idle) {
  const Instant now = clock_.now();
  int written = 0;
  const auto unwritten = table_.with([](const Table& t) { return t.unwritten; });
  for (const auto& entry : unwritten) {
    const TalkPtr& talk = entry.second;
    if (writer_.stopping()) break;
    const auto [rests, runtime] = talk->state.with([&](const Talk::State& s) {
      return std::pair(!s.busy && now - s.used >= idle, s.runtime.lock());
    });
    if (!rests) continue;
    // A turn that ends from here on puts it back.
    table_.with([&](Table& t) { t.unwritten.erase(talk->key); });
    if (!runtime) continue;
    auto state = runtime->kept().copy(talk->executor, talk->key);
    if (!state) continue;
    write_kv(talk, std::move(*state));
    ++written;
  }
  return written;
}

Status Conversations::begin_writing() {
  return writing_.with([&](bool& writing) -> Status {
    if (writing) return {};
    return caught([&] {
      const auto look_later = [this] {
        writer_.with([&](Instant& next) { next = clock_.now() + kLook; });
      };
      look_later();
      writer_.start(1, [this, look_later](Look) {
        const ScopeEnd looked(look_later);
        write_behind(kRest);
      });
      writing = true;
    });
  });
}

}  // namespace choir
