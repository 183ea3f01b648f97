// Kills a process in the middle of its writing, again and again on the same folder, and looks at
// what is left: all that it had reported, at most the one step more that it was in, nothing torn.
//
// CHOIR_KILL_MOMENTS: how many kills each test makes; 40 where it is not set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/fd.h"
#include "context/snapshot.h"
#include "context/store.h"
#include "tests/temp_folder.h"

namespace choir {
namespace {

using testing::AnyOf;
using testing::Eq;
using testing::Gt;

constexpr const char* kExecutor = "writer";
constexpr std::uint32_t kSeed = 20240229;
constexpr std::uint32_t kSpinsMax = 10'000'000;  // some 10 ms: an operation or two
constexpr std::size_t kKvBytesMax = 600'000;
constexpr int kOperationsMax = 30;  // of one process
constexpr int kReportsMax = 16;     // before the kill: seldom has it ended by itself then

// What should be in the folder, by id.
struct World {
  std::map<std::string, ConversationRecord> records;
  std::map<std::string, Snapshot> snapshots;
  bool operator==(const World&) const = default;
};
// One line, since a whole one is megabytes.
void PrintTo(const World& world, std::ostream* out) {
  for (const auto& [id, r] : world.records) *out << id << " with " << r.turns << " turns, ";
  for (const auto& [id, s] : world.snapshots) *out << id << "'s " << s.kv.size() << " bytes, ";
}

// An id with a record is put or, without one, erased; and so is one with a snapshot.
struct Operation {
  enum class On : unsigned char { kRecord, kSnapshot };
  On on = On::kRecord;
  std::string id;
  std::optional<ConversationRecord> record = {};
  std::optional<Snapshot> snapshot = {};
};

ConversationRecord one_turn_later(ConversationRecord r, std::mt19937& rng) {
  const std::string text(rng() % 3000, static_cast<char>('a' + rng() % 26));
  r.history.push_back({"user", text});
  r.history.push_back({"assistant", text});
  r.tokens.insert(r.tokens.end(), rng() % 400, static_cast<TokenId>(rng() % 50'000));
  r.covered += text;
  if (rng() % 8 == 0) {  // over its limit: the oldest leave
    r.history.erase(r.history.begin(), r.history.begin() + 2);
    r.tokens.resize(r.tokens.size() / 2);
    r.covered.resize(r.covered.size() / 2);
  }
  ++r.turns;
  return r;
}

// The same operation in every process that knows the world and the number.
Operation operation(const World& world, std::uint32_t number) {
  std::mt19937 rng(kSeed + number);
  const std::string id(1, static_cast<char>('0' + rng() % 5));
  const auto found = world.records.find(id);
  if (found == world.records.end()) {
    ConversationRecord first;
    first.executor = kExecutor;
    first.id = id;
    return {Operation::On::kRecord, id, one_turn_later(first, rng)};
  }
  switch (rng() % 10) {
    case 0:
      return {Operation::On::kRecord, id};
    case 1:
      return {Operation::On::kSnapshot, id};
    case 2:
    case 3:
    case 4:
      return {.on = Operation::On::kSnapshot,
              .id = id,
              .snapshot = Snapshot{"f", "f16", found->second.tokens,
                                   std::string(rng() % kKvBytesMax, static_cast<char>(rng()))}};
    default:
      return {Operation::On::kRecord, id, one_turn_later(found->second, rng)};
  }
}

template <class T>
void set(std::map<std::string, T>& all, const std::string& id, const std::optional<T>& value) {
  value ? static_cast<void>(all.insert_or_assign(id, *value)) : static_cast<void>(all.erase(id));
}

World after(World world, const Operation& o) {
  if (o.on == Operation::On::kRecord)
    set(world.records, o.id, o.record);
  else
    set(world.snapshots, o.id, o.snapshot);
  return world;
}

Status carry_out(ConversationStore& store, const std::string& folder, const Operation& o) {
  if (o.on == Operation::On::kRecord)
    return o.record ? store.put(*o.record) : store.erase(kExecutor, o.id);
  const std::string path = snapshot_path(folder, kExecutor, o.id);
  return o.snapshot ? write_snapshot(path, *o.snapshot) : erase_snapshot(path);
}

// Ends with a signal, or with a status that is not 0 where something failed.
[[noreturn]] void write_and_report(const std::string& folder, World world, std::uint32_t number,
                                   const Fd& report) {
  const auto store = ConversationStore::open(folder);
  if (!store) ::_exit(2);
  for (int i = 0; i < kOperationsMax; ++i) {
    const Operation next = operation(world, number + static_cast<std::uint32_t>(i));
    if (!carry_out(**store, folder, next)) ::_exit(3);
    if (::write(report.get(), "", 1) != 1) ::_exit(4);
    world = after(std::move(world), next);
  }
  ::_exit(0);
}

// How many bytes came before `most` or the end.
std::uint32_t read_reports(const Fd& reports, std::uint32_t most) {
  std::uint32_t count = 0;
  for (char byte = 0; count < most;) {
    const ssize_t got = ::read(reports.get(), &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    ++count;
  }
  return count;
}

void spin(std::uint32_t count) {
  volatile std::uint32_t left = count;
  while (left > 0) left = left - 1;
}

// When the writer dies: by a signal after a number of reports and a while of spinning, or, by the
// kernel's hand, where one of its files would grow beyond a size.
struct Moment {
  std::uint32_t reports = kOperationsMax;
  std::uint32_t spins = 0;
  std::optional<rlim_t> file_bytes_max = {};
};

class Kill : public testing::Test {
 protected:
  static int moments() {
    const char* set = std::getenv("CHOIR_KILL_MOMENTS");
    return set != nullptr ? std::atoi(set) : 40;
  }

  // Lets a writer write, and checks what is left.
  void survive(const Moment& moment) {
    const std::uint32_t reported = write_until(moment);
    const auto store = ConversationStore::open(folder_.path());
    ASSERT_TRUE(store) << store.error().message;
    swept_ += sweep_snapshots(folder_.path());
    const World seen = look(**store);
    for (std::uint32_t i = 0; i < reported; ++i) {
      const Operation done = operation(world_, number_ + i);
      world_ = after(std::move(world_), done);
    }
    const World next = after(world_, operation(world_, number_ + reported));
    ASSERT_THAT(seen, AnyOf(Eq(world_), Eq(next))) << "after " << reported << " reports";
    unreported_ += seen == world_ ? 0 : 1;
    operations_ += reported;
    world_ = seen;
    number_ += reported + 1;
  }

  void tell() const {
    std::cout << kills_ << " kills in " << operations_ << " operations: " << unreported_
              << " after one that was done and not yet reported, " << swept_
              << " in the middle of a snapshot\n";
  }

  std::size_t swept_ = 0;

 private:
  // Returns how many operations were reported.
  std::uint32_t write_until(const Moment& moment) {
    int ends[2];
    CHOIR_CHECK(::pipe(ends) == 0, "a pipe");
    const Fd reports(ends[0]);
    Fd report(ends[1]);
    const pid_t writer = ::fork();
    if (writer == 0) {
      if (moment.file_bytes_max) limit_files(*moment.file_bytes_max);
      write_and_report(folder_.path(), world_, number_, report);
    }
    CHOIR_CHECK(writer > 0, "a process of its own");  // a signal to -1 would reach everybody
    report = Fd();
    std::uint32_t reported = read_reports(reports, moment.reports);
    spin(moment.spins);
    if (!moment.file_bytes_max) ::kill(writer, SIGKILL);
    reported += read_reports(reports, kOperationsMax);
    int status = 0;
    EXPECT_EQ(::waitpid(writer, &status, 0), writer);
    EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0) << "it failed by itself";
    kills_ += WIFSIGNALED(status) ? 1 : 0;
    return reported;
  }

  static void limit_files(rlim_t bytes) {
    const rlimit none{0, 0};
    const rlimit small{bytes, bytes};
    ::setrlimit(RLIMIT_CORE, &none);
    ::setrlimit(RLIMIT_FSIZE, &small);
    ::signal(SIGXFSZ, SIG_DFL);
  }

  World look(const ConversationStore& store) {
    World seen;
    const auto records = store.all(kExecutor);
    EXPECT_TRUE(records) << records.error().message;
    if (records)
      for (const ConversationRecord& r : *records) seen.records.emplace(r.id, r);
    std::size_t files = 0;
    for (const char* id : {"0", "1", "2", "3", "4"}) {
      auto snapshot = read_snapshot(snapshot_path(folder_.path(), kExecutor, id));
      if (!snapshot)
        EXPECT_EQ(snapshot.error().code, Code::kNotFound) << snapshot.error().message;
      else
        seen.snapshots.emplace(id, *std::move(snapshot));
    }
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(folder_ / "kv", none))
      files += entry.is_regular_file() ? 1 : 0;
    EXPECT_EQ(files, seen.snapshots.size()) << "something is left over";
    return seen;
  }

  const TempFolder folder_;
  World world_;
  std::uint32_t number_ = 0;  // of the next operation
  std::uint32_t operations_ = 0;
  std::uint32_t kills_ = 0;
  std::uint32_t unreported_ = 0;
};

TEST_F(Kill, AtAnyMomentLosesNothingThatWasReported) {
  std::mt19937 rng(kSeed);
  for (int i = 0; i < moments() && !HasFailure(); ++i) {
    SCOPED_TRACE("moment " + std::to_string(i));
    survive({.reports = static_cast<std::uint32_t>(rng() % kReportsMax),
             .spins = static_cast<std::uint32_t>(rng() % kSpinsMax)});
  }
  tell();
}

TEST_F(Kill, AtAnyByteOfAFileLosesNothingThatWasReported) {
  std::mt19937 rng(kSeed);
  for (int i = 0; i < moments() && !HasFailure(); ++i) {
    SCOPED_TRACE("moment " + std::to_string(i));
    survive({.file_bytes_max = rng() % kKvBytesMax});
  }
  tell();
  EXPECT_THAT(swept_, Gt(0U)) << "no kill was in the middle of a snapshot";
}

}  // namespace
}  // namespace choir
