#include "context/conversations.h"

#include <algorithm>
#include <atomic>

#include "base/caught.h"
#include "base/scope_end.h"

namespace choir {
namespace {

// Ends of turns that are stored, and prompts of the turns behind them, at the same time.
constexpr int kWorkers = 2;

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

tl::unexpected<Error> no_conversation(const std::string& executor, const std::string& id) {
  return fail(Code::kNotFound, "'" + executor + "' has no conversation '" + id + "'");
}

std::uint64_t bytes_of(const ConversationRecord& r) {
  std::uint64_t bytes = sizeof(r) + r.system.size() + r.covered.size() +
                        r.tokens.size() * sizeof(TokenId) + r.history.size() * sizeof(Message);
  for (const Message& message : r.history) bytes += message.role.size() + message.content.size();
  for (const auto& [key, value] : r.metadata) bytes += key.size() + value.size();
  return bytes;
}

}  // namespace

Conversations::Talk::Talk(std::string its_executor, std::string its_id,
                          std::shared_ptr<ConversationFolder> whose)
    : key(new_key()),
      executor(std::move(its_executor)),
      id(std::move(its_id)),
      folder(std::move(whose)) {}

Result<std::unique_ptr<Conversations>> Conversations::start(const Limits& limits) {
  std::unique_ptr<Conversations> conversations(new Conversations(limits));
  conversations->workers_ = CHOIR_TRY(Workers::start({.threads = kWorkers}));
  return conversations;
}

Conversations::~Conversations() {
  writer_.stop(Left::kDropped);
  workers_.reset();
}

void Conversations::serve(Runtime& runtime) {
  runtime.kept().set_keeper(
      [this](ConversationKey key, KvState state) { keep(key, std::move(state)); });
}

Status Conversations::attach(const std::string& executor, const std::string& folder,
                             std::uint64_t kv_bytes_max) {
  const auto taken = [&] {
    return fail(Code::kAlreadyExists, "'" + executor + "' keeps its conversations already");
  };
  if (table_.with([&](const Table& t) { return t.homes.contains(executor); })) return taken();
  Home home;
  if (!folder.empty()) {
    OpenFolders::Use use = CHOIR_TRY(folders_.use(folder, kv_bytes_max));
    Talks talks;
    const std::vector<std::string> ids = CHOIR_TRY(use.folder()->ids(executor));
    for (const std::string& id : ids)
      talks.emplace(id, std::make_shared<Talk>(executor, id, use.folder()));
    CHOIR_CHECK_OK(begin_writing());
    home.use = std::move(use);
    home.talks = std::move(talks);
  }
  const bool ours = table_.with([&](Table& t) {
    if (t.homes.contains(executor)) return false;
    for (const auto& [id, talk] : home.talks) t.by_key.emplace(talk->key, talk);
    t.homes.emplace(executor, std::move(home));
    return true;
  });
  if (!ours) return taken();
  return {};
}

void Conversations::detach(const std::string& executor) {
  const Talks talks = talks_of(executor);
  for (const auto& [id, talk] : talks) {
    const auto runtime = talk->state.with([](const Talk::State& s) { return s.runtime.lock(); });
    if (!talk->folder || !runtime) continue;
    if (auto state = runtime->kept().copy(executor, talk->key)) write_kv(talk, std::move(*state));
  }
  for (const auto& [id, talk] : talks) forget(*talk);
  // Ends outside of the lock, which waits for the disk.
  const auto home = table_.with([&](Table& t) { return t.homes.extract(executor); });
}

// Of all the places that know it.
void Conversations::forget(const Talk& talk) {
  table_.with([&](Table& t) {
    t.by_key.erase(talk.key);
    t.unwritten.erase(talk.key);
    const auto home = t.homes.find(talk.executor);
    if (home == t.homes.end()) return;
    Talks& talks = home->second.talks;
    if (const auto found = talks.find(talk.id);
        found != talks.end() && found->second.get() == &talk)
      talks.erase(found);
  });
  (void)take_aside(talk);
  histories_.with([&](Histories& h) {
    if (const auto found = h.unstored.find(talk.key); found != h.unstored.end()) {
      h.unstored_bytes -= found->second;
      h.unstored.erase(found);
    }
    const auto entry = h.entries.find(talk.key);
    if (entry == h.entries.end()) return;
    h.bytes -= entry->second.bytes;
    h.entries.erase(entry);
  });
}

// Its id is taken, and find() does not give it yet.
Result<Conversations::TalkPtr> Conversations::reserve(const ConversationRecord& record) {
  return table_.with([&](Table& t) -> Result<TalkPtr> {
    const auto home = t.homes.find(record.executor);
    if (home == t.homes.end())
      return fail(Code::kNotFound, "'" + record.executor + "' keeps no conversations");
    Talks& talks = home->second.talks;
    if (talks.size() >= kConversationsMax)
      return fail(Code::kOverloaded, "'" + record.executor + "' has " +
                                         std::to_string(talks.size()) +
                                         " conversations, as many as it may; delete some");
    std::string id = record.id;
    while (id.empty()) {
      id = "context_" + std::to_string(home->second.next_id++);
      if (talks.contains(id)) id.clear();
    }
    if (talks.contains(id))
      return fail(Code::kAlreadyExists,
                  "'" + record.executor + "' has a conversation '" + id + "' already");
    auto talk = std::make_shared<Talk>(record.executor, id, home->second.use.folder());
    talk->state.with([](Talk::State& s) { s.phase = Talk::Phase::kComing; });
    t.by_key.emplace(talk->key, talk);
    talks.emplace(id, talk);
    return talk;
  });
}

Result<std::string> Conversations::create(ConversationRecord record) {
  CHOIR_CHECK_OK(check(record));
  const TalkPtr talk = CHOIR_TRY(reserve(record));
  ScopeEnd undo([&] { forget(*talk); });
  CHOIR_CHECK_OK(has_room(talk->executor, talk->folder != nullptr));
  record.id = talk->id;
  if (talk->folder)
    CHOIR_CHECK_OK(
        talk->stored_record.with([&](const Talk::OnDisk&) { return talk->folder->put(record); }));
  talk->state.with([&](Talk::State& s) {
    s.record = std::move(record);
    s.used = clock_.now();
    s.phase = Talk::Phase::kHere;
  });
  undo.release();
  count_history(talk);
  return talk->id;
}

Status Conversations::update(ConversationRecord record) {
  CHOIR_CHECK_OK(check(record));
  const TalkPtr talk = CHOIR_TRY(find(record.executor, record.id));
  CHOIR_CHECK_OK(has_room(talk->executor, talk->folder != nullptr));
  // As a turn: those that come meanwhile wait for it.
  if (talk->state.with([](Talk::State& s) { return std::exchange(s.busy, true); }))
    return fail(Code::kOverloaded,
                "a request runs in conversation '" + record.id + "'; change it when it has ended");
  const ScopeEnd pass_on([&] { next(talk); });
  CHOIR_CHECK_OK(with_record(talk, [&](const Talk::State& s) -> Status {
    // What the model has seen stays known: next_prompt() finds out how much of it still holds.
    record.tokens = s.record->tokens;
    record.covered = s.record->covered;
    record.model_fingerprint = s.record->model_fingerprint;
    record.turns = s.record->turns;
    record.created_ms = s.record->created_ms;
    return {};
  }));
  Status changed = talk->stored_record.with([&](const Talk::OnDisk& disk) -> Status {
    if (disk.erased) return no_conversation(talk->executor, talk->id);
    if (talk->folder) CHOIR_CHECK_OK(talk->folder->put(record));
    talk->state.with([&](Talk::State& s) {
      s.record = std::move(record);
      s.stored = true;
    });
    return {};
  });
  count_history(talk);
  return changed;
}

Status Conversations::erase(const std::string& executor, const std::string& id) {
  const TalkPtr talk = CHOIR_TRY(find(executor, id));
  const auto phase =
      talk->state.with([](Talk::State& s) { return std::exchange(s.phase, Talk::Phase::kGone); });
  if (phase == Talk::Phase::kGone) return no_conversation(executor, id);
  const auto set_erased = [&](bool erased) {
    talk->snapshot.with([&](Talk::OnDisk& disk) { disk.erased = erased; });
  };
  ScopeEnd undo([&] {
    set_erased(false);
    talk->state.with([](Talk::State& s) { s.phase = Talk::Phase::kHere; });
  });
  set_erased(true);
  Status erased = talk->stored_record.with([&](Talk::OnDisk& disk) -> Status {
    if (talk->folder) {
      (void)talk->folder->snapshots().erase(executor, id);
      CHOIR_CHECK_OK(talk->folder->erase(executor, id));
    }
    disk.erased = true;
    return {};
  });
  if (!erased) return erased;
  undo.release();
  forget(*talk);
  // One that has no id yet finds out by itself, see say_first().
  std::vector<RequestId> waiting;
  const auto runtime = talk->state.with([&](Talk::State& s) {
    if (s.running && !s.running->opened) waiting.push_back(s.running->id);
    for (const auto& pending : std::exchange(s.waiting, {})) waiting.push_back(pending->id);
    return s.runtime.lock();
  });
  if (!runtime) return {};
  for (const RequestId turn : waiting) runtime->refuse(turn, was_deleted(id));
  runtime->kept().forget(executor, talk->key);
  return {};
}

Result<ConversationRecord> Conversations::get(const std::string& executor,
                                              const std::string& id) const {
  return with_record(CHOIR_TRY(find(executor, id)),
                     [](const Talk::State& s) -> Result<ConversationRecord> { return *s.record; });
}

std::vector<std::string> Conversations::ids(const std::string& executor) const {
  std::vector<std::string> ids;
  for (const auto& [id, talk] : talks_of(executor))
    if (talk->state.with([](const Talk::State& s) { return s.phase; }) == Talk::Phase::kHere)
      ids.push_back(id);
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

// One that was erased while its executor was between two nodes has its KV state in the new one.
void Conversations::moved(const std::string& executor, Runtime& runtime) {
  std::set<ConversationKey> known;
  for (const auto& [id, talk] : talks_of(executor)) {
    talk->state.with([&](Talk::State& s) { s.runtime = runtime.weak_from_this(); });
    known.insert(talk->key);
  }
  runtime.kept().forget_others(executor, std::move(known));
}

Status Conversations::copy_all(const std::string& from, const std::string& to) {
  for (const std::string& id : ids(from)) {
    const auto talk = find(from, id);
    if (!talk) continue;  // erased in the meantime
    ConversationRecord record = CHOIR_TRY(get(from, id));
    record.executor = to;
    (void)erase(to, id);  // a store may have one of an earlier clone
    CHOIR_TRY(create(std::move(record)));
    const auto runtime = (*talk)->state.with([](const Talk::State& s) { return s.runtime.lock(); });
    if (!runtime) continue;
    if (auto state = runtime->kept().copy(from, (*talk)->key)) keep(key(to, id), std::move(*state));
  }
  return {};
}

Result<Conversations::TalkPtr> Conversations::find(const std::string& executor,
                                                   const std::string& id) const {
  const auto talk = table_.with([&](const Table& t) -> TalkPtr {
    const auto home = t.homes.find(executor);
    if (home == t.homes.end()) return nullptr;
    const auto found = home->second.talks.find(id);
    return found == home->second.talks.end() ? nullptr : found->second;
  });
  const auto is_here = [](const Talk::State& s) { return s.phase == Talk::Phase::kHere; };
  if (!talk || !talk->state.with(is_here)) return no_conversation(executor, id);
  return talk;
}

Status Conversations::read(const TalkPtr& talk) const {
  // Under the lock of those that write it: what is read is what is there.
  Status found = talk->stored_record.with([&](const Talk::OnDisk& disk) -> Status {
    if (disk.erased || !talk->folder) return no_conversation(talk->executor, talk->id);
    auto record = CHOIR_TRY(talk->folder->get(talk->executor, talk->id));
    if (!record) return no_conversation(talk->executor, talk->id);
    talk->state.with([&](Talk::State& s) {
      if (!s.record) s.record = std::move(record);
    });
    return {};
  });
  if (found) count_history(talk);
  return found;
}

Status Conversations::has_room(const std::string& executor, bool stored) const {
  if (stored) return {};
  const std::uint64_t bytes = unstored_bytes();
  if (bytes < limits_.unstored_bytes_max) return {};
  return fail(Code::kOverloaded,
              "conversations without a store take " + std::to_string(bytes) + " bytes, at most " +
                  std::to_string(limits_.unstored_bytes_max) + "; delete some, or give '" +
                  executor + "' a store",
              {Fact::of("bytes", bytes), Fact::of("bytes_max", limits_.unstored_bytes_max)});
}

void Conversations::count_history(const TalkPtr& talk) const {
  const std::uint64_t bytes = talk->state.with(
      [](const Talk::State& s) { return s.record ? bytes_of(*s.record) : std::uint64_t{0}; });
  if (!talk->folder) {
    const auto set = [&](std::uint64_t now) {
      histories_.with([&](Histories& h) {
        h.unstored_bytes += now - std::exchange(h.unstored[talk->key], now);
        if (now == 0) h.unstored.erase(talk->key);
      });
    };
    set(bytes);
    // Who erases it takes it from the table first.
    if (!table_.with([&](const Table& t) { return t.by_key.contains(talk->key); })) set(0);
    return;
  }
  std::vector<TalkPtr> leave;
  histories_.with([&](Histories& h) {
    Histories::Entry& entry = h.entries[talk->key];
    h.bytes += bytes - entry.bytes;
    entry = {bytes, ++h.last_use, talk};
    while (h.bytes > limits_.history_bytes_max && h.entries.size() > 1) {
      const auto oldest =
          std::ranges::min_element(h.entries, {}, [](const auto& e) { return e.second.use; });
      leave.push_back(oldest->second.talk.lock());
      h.bytes -= oldest->second.bytes;
      h.entries.erase(oldest);
    }
  });
  // One that is busy is counted again at the end of its turn.
  for (const TalkPtr& one : leave)
    if (one)
      one->state.with([](Talk::State& s) {
        if (s.stored && !s.busy) s.record.reset();
      });
}

std::uint64_t Conversations::history_bytes() const {
  return histories_.with([](const Histories& h) { return h.bytes; });
}

std::uint64_t Conversations::unstored_bytes() const {
  return histories_.with([](const Histories& h) { return h.unstored_bytes; });
}

}  // namespace choir
