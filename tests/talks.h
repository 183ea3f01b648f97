// Conversations on a node of the fake engine, with a store whose syncs a test can hold. For one
// file of a test program: it defines fsync() and fdatasync().
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/guarded.h"
#include "base/log.h"
#include "context/conversations.h"
#include "runtime/dispatcher.h"
#include "tests/fake_node.h"
#include "tests/store_folder.h"

namespace choir {

// What waits for the disk comes by here: a test can hold it, and see who waits.
class Disk {
 public:
  // From now on the next sync of a file with this in its name waits for open().
  void hold(const std::string& part) {
    state_.change([&](State& s) { s = {.part = part, .held = true}; });
  }
  void wait_until_held() const {
    state_.wait([](const State& s) { return s.waiting; });
  }
  void open() {
    state_.change([](State& s) { s.held = false; });
  }
  void sync(int fd) {
    if (Dispatcher::on_dispatcher_thread()) ++on_dispatchers;
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    std::array<char, 4096> name{};
    const ssize_t bytes = ::readlink(link.c_str(), name.data(), name.size());
    const std::string_view path(name.data(), static_cast<std::size_t>(std::max<ssize_t>(bytes, 0)));
    const bool ours = state_.change([&](State& s) {
      if (s.part.empty() || path.find(s.part) == path.npos) return false;
      s.part.clear();
      return s.waiting = true;
    });
    if (ours) state_.wait([](const State& s) { return !s.held; });
  }

  std::atomic<int> on_dispatchers{0};

 private:
  struct State {
    std::string part;
    bool held = false;
    bool waiting = false;
  };
  mutable Monitor<State> state_;
};
inline Disk& disk() {
  static Disk& disk = *new Disk;
  return disk;
}

class Talks : public testing::Test {
 protected:
  Talks() { set_log_level(LogLevel::kOff); }
  ~Talks() override {
    disk().open();
    set_log_level(LogLevel::kWarn);
  }
  void SetUp() override { begin({}); }
  virtual std::shared_ptr<Runtime> make_node() { return start(); }
  void begin(const Conversations::Limits& limits) {
    node_.reset();
    talks_ = Conversations::start(limits).value();
    node_ = make_node();
    talks_->serve(*node_);
    ASSERT_TRUE(node_->add(executor("a")));
  }
  void end() {
    node_.reset();
    talks_.reset();
  }
  void attach() { ASSERT_TRUE(talks_->attach("a", folder_ / "store")); }
  std::string create(const std::string& id) {
    auto made = talks_->create(record("a", id));
    EXPECT_TRUE(made) << made.error().message;
    return made.value_or("");
  }
  Result<Submission> begin_turn(const std::string& id, const std::string& text,
                                Callbacks callbacks = {}) {
    return talks_->say(*node_, id, {.request = request("a", text, 8), .system = {}},
                       std::move(callbacks));
  }
  Completion say(const std::string& id, const std::string& text) {
    auto submission = begin_turn(id, text);
    EXPECT_TRUE(submission) << submission.error().message;
    return submission ? submission->result.get() : Completion{};
  }
  std::vector<std::string> texts(const std::string& id) const {
    std::vector<std::string> texts;
    const auto r = talks_->get("a", id);
    if (r)
      for (const Message& message : r->history) texts.push_back(message.content);
    return texts;
  }
  std::string database() const { return folder_ / "store/conversations.db"; }
  std::size_t snapshots() const {
    std::size_t count = 0;
    std::error_code none;
    for (const auto& file : std::filesystem::directory_iterator(folder_ / "store/kv", none))
      count += file.path().extension() == ".kv" ? 1 : 0;
    return count;
  }
  // Conversations whose KV state the executor has, after its next turn.
  static std::int32_t kept(Runtime& node) {
    EXPECT_TRUE(node.run(request("a", "Something else", 1)));
    return node.executor("a")->kept;
  }

  const TempFolder folder_;
  std::unique_ptr<Conversations> talks_;
  std::shared_ptr<Runtime> node_;  // ends first
};

}  // namespace choir

extern "C" __attribute__((visibility("default"))) int fsync(int fd) {
  choir::disk().sync(fd);
  return static_cast<int>(::syscall(SYS_fsync, fd));
}
extern "C" __attribute__((visibility("default"))) int fdatasync(int fd) {
  choir::disk().sync(fd);
  return static_cast<int>(::syscall(SYS_fdatasync, fd));
}
