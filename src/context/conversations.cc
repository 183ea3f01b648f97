#include "context/conversations.h"

#include <algorithm>
#include <atomic>

#include "base/log.h"
#include "context/snapshot.h"

namespace choir {
namespace {

// How long a conversation with a store rests before its KV state is written, and how often the
// writer looks: an answer is in the store at once, its KV state only saves work after a crash.
constexpr Nanos kRest = std::chrono::seconds(2);
constexpr Nanos kLook = std::chrono::seconds(1);

ConversationKey new_key() {
  static std::atomic<std::uint64_t> last{0};
  return {++last};
}

Status check(const ConversationRecord& record) {
  if (record.id.size() > kNameBytesMax)
    return fail(Code::kInvalidArgument, "the conversation's id has " +
                                            std::to_string(record.id.size()) + " bytes, at most " +
                                            std::to_string(kNameBytesMax));
  if (record.history.size() > kMessagesMax)
    return fail(Code::kInvalidArgument, "the history has " + std::to_string(record.history.size()) +
                                            " messages, at most " + std::to_string(kMessagesMax));
  if (record.tokens_max < 0)
    return fail(Code::kInvalidArgument, "the conversation's limit is negative");
  return {};
}

auto no_conversation(const std::string& executor, const std::string& id) {
  return fail(Code::kNotFound, "'" + executor + "' has no conversation '" + id + "'");
}

}  // namespace

Conversations::Conversations(std::uint64_t aside_bytes_max) : aside_bytes_max_(aside_bytes_max) {}

Conversations::~Conversations() {
  stopping_.change([](bool& stopping) { stopping = true; });
  if (writer_.joinable()) writer_.join();
}

void Conversations::serve(Runtime& runtime) {
  runtime.set_keeper([this](ConversationKey key, KvState state) { keep(key, std::move(state)); });
}

Status Conversations::attach(const std::string& executor, const std::string& folder) {
  return table_.with([&](Table& t) -> Status {
    if (t.homes.contains(executor))
      return fail(Code::kAlreadyExists, "'" + executor + "' keeps its conversations already");
    Home home{.folder = folder, .store = nullptr, .talks = {}};
    if (!folder.empty()) {
      home.store = t.stores[folder].lock();
      if (!home.store) {
        home.store = CHOIR_TRY(ConversationStore::open(folder));
        sweep_snapshots(folder);
      }
      t.stores[folder] = home.store;
      for (const std::string& id : CHOIR_TRY(home.store->ids(executor))) {
        auto stored = home.store->get(executor, id);
        if (!stored || !*stored) {  // the others are still good
          if (!stored)
            log(LogLevel::kError, "conversation '" + id + "': " + stored.error().message);
          continue;
        }
        ConversationRecord& record = **stored;
        auto talk = std::make_shared<Talk>();
        talk->key = new_key();
        talk->store = home.store;
        talk->folder = folder;
        talk->turns_written = record.turns;  // or was not: then it is computed
        talk->record = std::move(record);
        t.by_key.emplace(talk->key, talk);
        home.talks.emplace(talk->record.id, std::move(talk));
      }
      if (!writer_.joinable()) writer_ = std::thread([this] { writer(); });
    }
    t.homes.emplace(executor, std::move(home));
    return {};
  });
}

void Conversations::detach(const std::string& executor) {
  const auto talks = talks_of(executor);
  for (const auto& [id, talk] : talks) {
    const auto runtime = talk->runtime.lock();
    if (!talk->store || !runtime) continue;
    if (auto state = runtime->copy_kept(executor, talk->key)) write_kv(talk, std::move(*state));
  }
  table_.with([&](Table& t) {
    for (const auto& [id, talk] : talks) {
      t.aside_bytes -= talk->aside.blob.size();
      talk->aside = {};
      t.by_key.erase(talk->key);
    }
    t.homes.erase(executor);
  });
}

Result<std::string> Conversations::create(ConversationRecord record) {
  CHOIR_CHECK_OK(check(record));
  return table_.with([&](Table& t) -> Result<std::string> {
    const auto home = t.homes.find(record.executor);
    if (home == t.homes.end())
      return fail(Code::kNotFound, "'" + record.executor + "' keeps no conversations");
    auto& talks = home->second.talks;
    while (record.id.empty()) {
      record.id = "context_" + std::to_string(t.next_id++);
      if (talks.contains(record.id)) record.id.clear();
    }
    if (talks.contains(record.id))
      return fail(Code::kAlreadyExists,
                  "'" + record.executor + "' has a conversation '" + record.id + "' already");
    auto talk = std::make_shared<Talk>();
    talk->key = new_key();
    talk->store = home->second.store;
    talk->folder = home->second.folder;
    talk->used = clock_.now();
    talk->record = std::move(record);
    if (talk->store) CHOIR_CHECK_OK(talk->store->put(talk->record));
    t.by_key.emplace(talk->key, talk);
    talks.emplace(talk->record.id, talk);
    return talk->record.id;
  });
}

Status Conversations::update(ConversationRecord record) {
  CHOIR_CHECK_OK(check(record));
  const auto talk = CHOIR_TRY(find(record.executor, record.id));
  return table_.with([&](Table&) -> Status {
    if (talk->busy)
      return fail(Code::kOverloaded, "a request runs in conversation '" + record.id +
                                         "'; change it when it has ended");
    // What the model has seen stays known: next_prompt() finds out how much of it still holds.
    record.tokens = talk->record.tokens;
    record.covered = talk->record.covered;
    record.model_fingerprint = talk->record.model_fingerprint;
    record.turns = talk->record.turns;
    record.created_ms = talk->record.created_ms;
    if (talk->store) CHOIR_CHECK_OK(talk->store->put(record));
    talk->record = std::move(record);
    return {};
  });
}

Status Conversations::erase(const std::string& executor, const std::string& id) {
  const auto talk = CHOIR_TRY(find(executor, id));
  std::deque<std::shared_ptr<Pending>> waiting;
  const Status erased = table_.with([&](Table& t) -> Status {
    if (talk->erased) return no_conversation(executor, id);
    if (talk->store) {
      (void)erase_snapshot(snapshot_path(talk->folder, executor, id));
      CHOIR_CHECK_OK(talk->store->erase(executor, id));
    }
    talk->erased = true;
    waiting.swap(talk->waiting);
    t.aside_bytes -= talk->aside.blob.size();
    talk->aside = {};
    t.by_key.erase(talk->key);
    // The executor may have left with all of its conversations in the meantime.
    if (const auto home = t.homes.find(executor); home != t.homes.end())
      if (const auto found = home->second.talks.find(id);
          found != home->second.talks.end() && found->second == talk)
        home->second.talks.erase(found);
    return {};
  });
  CHOIR_CHECK_OK(erased);
  const auto runtime = talk->runtime.lock();
  if (!runtime) return {};
  for (const auto& pending : waiting)
    runtime->provide(pending->id, fail(Code::kCancelled, "conversation '" + id + "' was deleted"),
                     {});
  runtime->forget_kept(executor, talk->key);
  return {};
}

Result<ConversationRecord> Conversations::get(const std::string& executor,
                                              const std::string& id) const {
  const auto talk = CHOIR_TRY(find(executor, id));
  return table_.with([&](const Table&) { return talk->record; });
}

std::vector<std::string> Conversations::ids(const std::string& executor) const {
  std::vector<std::string> ids;
  for (const auto& [id, talk] : talks_of(executor)) ids.push_back(id);
  return ids;
}

Conversations::Talks Conversations::talks_of(const std::string& executor) const {
  return table_.with([&](const Table& t) {
    const auto home = t.homes.find(executor);
    return home == t.homes.end() ? Talks() : home->second.talks;
  });
}

ConversationKey Conversations::key(const std::string& executor, const std::string& id) const {
  const auto talk = find(executor, id);
  return talk ? (*talk)->key : ConversationKey{};
}

void Conversations::moved(const std::string& executor, Runtime& runtime) {
  table_.with([&](Table& t) {
    if (const auto home = t.homes.find(executor); home != t.homes.end())
      for (auto& [id, talk] : home->second.talks) talk->runtime = runtime.weak_from_this();
    return 0;
  });
}

Status Conversations::copy_all(const std::string& from, const std::string& to) {
  const auto talks = talks_of(from);
  for (const auto& [id, one] : talks) {
    const auto& talk = one;
    ConversationRecord record = table_.with([&](const Table&) { return talk->record; });
    record.executor = to;
    (void)erase(to, id);  // a store may have one of an earlier clone
    CHOIR_TRY(create(std::move(record)));
    if (const auto runtime = talk->runtime.lock())
      if (auto state = runtime->copy_kept(from, talk->key)) keep(key(to, id), std::move(*state));
  }
  return {};
}

Result<std::shared_ptr<Conversations::Talk>> Conversations::find(const std::string& executor,
                                                                 const std::string& id) const {
  return table_.with([&](const Table& t) -> Result<std::shared_ptr<Talk>> {
    const auto home = t.homes.find(executor);
    if (home == t.homes.end()) return no_conversation(executor, id);
    const auto found = home->second.talks.find(id);
    if (found == home->second.talks.end()) return no_conversation(executor, id);
    return found->second;
  });
}

void Conversations::keep(ConversationKey key, KvState state) {
  const auto talk = table_.with([&](Table& t) -> std::shared_ptr<Talk> {
    const auto found = t.by_key.find(key);
    if (found == t.by_key.end()) return nullptr;
    if (found->second->store) return found->second;
    // The others make room, those not used for longest first.
    while (t.aside_bytes + state.blob.size() > aside_bytes_max_) {
      Talk* oldest = nullptr;
      for (const auto& [other, one] : t.by_key)
        if (!one->aside.blob.empty() && (oldest == nullptr || one->used < oldest->used))
          oldest = one.get();
      if (oldest == nullptr) return nullptr;
      t.aside_bytes -= oldest->aside.blob.size();
      oldest->aside = {};
    }
    t.aside_bytes += state.blob.size();
    t.aside_bytes -= found->second->aside.blob.size();
    found->second->aside = std::move(state);
    return nullptr;
  });
  if (talk) write_kv(talk, std::move(state));
}

void Conversations::write_kv(const std::shared_ptr<Talk>& talk, KvState state) {
  std::string executor;
  std::string id;
  std::string fingerprint;
  std::uint64_t turns = 0;
  table_.with([&](const Table&) {
    const ConversationRecord& r = talk->record;
    executor = r.executor;
    id = r.id;
    fingerprint = r.model_fingerprint;
    turns = r.turns;
    return 0;
  });
  const Status written = write_snapshot(snapshot_path(talk->folder, executor, id),
                                        {.model_fingerprint = fingerprint,
                                         .kv_type = std::string(to_string(state.kv_type)),
                                         .tokens = std::move(state.tokens),
                                         .kv = std::move(state.blob)});
  if (!written) {
    log(LogLevel::kWarn, "conversation '" + id + "' will be computed again after a restart: " +
                             written.error().message);
    return;
  }
  table_.with([&](Table&) {
    talk->turns_written = turns;
    return 0;
  });
}

int Conversations::write_behind(std::chrono::milliseconds idle) {
  const Instant now = clock_.now();
  std::vector<std::shared_ptr<Talk>> rested;
  table_.with([&](const Table& t) {
    for (const auto& [key, talk] : t.by_key)
      if (talk->store && !talk->busy && talk->turns_written < talk->record.turns &&
          now - talk->used >= idle)
        rested.push_back(talk);
    return 0;
  });
  int written = 0;
  for (const auto& talk : rested) {
    const auto runtime = talk->runtime.lock();
    if (!runtime) continue;
    const std::string executor = table_.with([&](const Table&) { return talk->record.executor; });
    auto state = runtime->copy_kept(executor, talk->key);
    if (!state) continue;
    write_kv(talk, std::move(*state));
    ++written;
  }
  return written;
}

void Conversations::writer() {
  while (!stopping_.wait_for(kLook, [](const bool& stopping) { return stopping; }))
    write_behind(std::chrono::duration_cast<std::chrono::milliseconds>(kRest));
}

}  // namespace choir
