// A process ends while requests run: nothing crashes, nothing is printed, the exit code is the one
// that was asked for, and it is gone soon. Each process is a program of its own (tests/exiting),
// which ends at a random moment of its work in a random way; with libchoir beside it, or with all
// of it inside.
//
// CHOIR_EXIT_PROCESSES: how many there are for each kind of work; 4 where it is not set.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>

#include "base/child.h"
#include "base/clock.h"
#include "context/store.h"
#include "tests/real_models.h"
#include "tests/temp_folder.h"

namespace choir {
namespace {

constexpr std::uint32_t kSeed = 20240229;
#ifdef CHOIR_SANITIZED
constexpr int kSlower = 10;
#else
constexpr int kSlower = 1;
#endif
constexpr std::chrono::seconds kGoneWithin{2 * kSlower};
constexpr std::chrono::seconds kStartsWithin{120};
constexpr int kStepsMax = 120 / kSlower;

// What comes, or the end of it; false when neither came in time.
bool readable(const Fd& fd, std::chrono::milliseconds most) {
  pollfd one{.fd = fd.get(), .events = POLLIN, .revents = 0};
  return ::poll(&one, 1, static_cast<int>(most.count())) == 1;
}

class Exit : public testing::TestWithParam<const char*> {
 protected:
  static int processes() {
    const char* set = std::getenv("CHOIR_EXIT_PROCESSES");
    return set != nullptr ? std::atoi(set) : 4;
  }

  // One process that ends at that moment.
  void leave(const std::string& program, const std::string& way, int code, int moment) {
    const std::string log = folder_ / "log";
    const auto own = std::filesystem::read_symlink("/proc/self/exe").parent_path();
    auto child =
        Child::start({.argv = {(own / program).string(), GetParam(), way, std::to_string(code),
                               std::to_string(moment), stories(), folder_ / "store"},
                      .folder = folder_.path(),
                      .environment = {},
                      .log_path = log,
                      .output = ChildCommand::Output::kPipe});
    ASSERT_TRUE(child) << child.error().message;
    char mark = 0;
    ASSERT_TRUE(readable(child->output(), kStartsWithin)) << "it came to no end";
    const bool told = ::read(child->output().get(), &mark, 1) == 1;
    const Instant began = clock_.now();
    ASSERT_TRUE(readable(child->output(), kGoneWithin)) << "it is still there";
    const int status = child->wait();
    slowest_ = std::max(slowest_, clock_.now() - began);
    EXPECT_EQ(status, code) << (told ? "" : "before its time");
    EXPECT_EQ(text_of_file(log), "");
    std::filesystem::remove(log);
  }

  void look_at_store() {
    if (!std::filesystem::exists(folder_ / "store")) return;
    const auto store = ConversationStore::open(folder_ / "store");
    ASSERT_TRUE(store) << store.error().message;
    const auto all = (*store)->all("a");
    ASSERT_TRUE(all) << all.error().message;
    for (const ConversationRecord& record : *all)
      EXPECT_EQ(record.history.size() % 2, 0U) << "half a turn in " << record.id;
  }

  const TempFolder folder_;
  const SteadyClock clock_{};
  Nanos slowest_{0};
};

TEST_P(Exit, WhileItWorksIsSilentAndQuick) {
  std::mt19937 rng(kSeed + static_cast<std::uint32_t>(std::string(GetParam()).size()));
  for (int i = 0; i < processes() && !HasFailure(); ++i) {
    const std::string program = rng() % 2 == 0 ? "exiting" : "exiting_static";
    constexpr const char* kWays[] = {"main", "exit", "thread", "callback", "fork"};
    const std::string way = kWays[(static_cast<std::uint32_t>(i) + rng() % 3) % 5];
    const int moment = 1 + static_cast<int>(rng() % kStepsMax);
    const int code = static_cast<int>(rng() % 90);
    SCOPED_TRACE(program + " " + GetParam() + " " + way + " " + std::to_string(code) + " " +
                 std::to_string(moment));
    leave(program, way, code, moment);
    look_at_store();
  }
  std::cout << "the slowest was gone after " << slowest_ / std::chrono::milliseconds(1) << " ms\n";
}

std::string name_of(const testing::TestParamInfo<const char*>& work) {
  std::string name = work.param;
  std::erase(name, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Work, Exit,
                         testing::Values("static_node", "node_in_function", "leaked_node", "loads",
                                         "moves", "changes", "last_owners", "singleton",
                                         "singleton_loads", "conversations", "static_manager"),
                         name_of);

}  // namespace
}  // namespace choir
