#include "base/child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>
#include <system_error>

namespace choir {
namespace {

constexpr int kStatusLost = 255;  // another thread reaped it (SIGCHLD ignored by our host program)

// posix_spawn's two description structs, freed at the end of start().
struct Actions {
  posix_spawn_file_actions_t value{};
  Actions() { posix_spawn_file_actions_init(&value); }
  ~Actions() { posix_spawn_file_actions_destroy(&value); }
  Actions(const Actions&) = delete;
  Actions& operator=(const Actions&) = delete;
};
struct Attributes {
  posix_spawnattr_t value{};
  Attributes() { posix_spawnattr_init(&value); }
  ~Attributes() { posix_spawnattr_destroy(&value); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
};

std::vector<std::string> merged_environment(const std::vector<std::string>& ours) {
  std::vector<std::string> merged = ours;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string_view key = text.substr(0, text.find('=') + 1);
    if (std::ranges::none_of(ours, [&](const std::string& o) { return o.starts_with(key); }))
      merged.emplace_back(text);
  }
  return merged;
}

// The child starts with no signal blocked or ignored, whatever the host program does with its own.
void set_attributes(Attributes& attributes) {
  sigset_t none;
  sigset_t defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGXFSZ}) sigaddset(&defaults, signal);
  posix_spawnattr_setsigmask(&attributes.value, &none);
  posix_spawnattr_setsigdefault(&attributes.value, &defaults);
  posix_spawnattr_setpgroup(&attributes.value, 0);
  posix_spawnattr_setflags(&attributes.value,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

}  // namespace

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

Result<Child> Child::start(const ChildCommand& command) {
  const bool piped = command.output == ChildCommand::Output::kPipe;
  Fd read_end;
  Fd write_end;
  if (piped) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
      return fail(Code::kUnavailable, "no pipe: " + std::generic_category().message(errno));
    read_end = Fd(ends[0]);
    write_end = Fd(ends[1]);
  }

  Actions actions;
  posix_spawn_file_actions_addchdir_np(&actions.value, command.folder.c_str());
  posix_spawn_file_actions_addopen(&actions.value, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions.value, 2, command.log_path.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0666);
  posix_spawn_file_actions_adddup2(&actions.value, piped ? write_end.get() : 2, 1);
  Attributes attributes;
  set_attributes(attributes);

  std::vector<std::string> argv = command.argv;
  std::vector<std::string> environment = merged_environment(command.environment);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, argv.front().c_str(), &actions.value, &attributes.value,
                                   pointers(argv).data(), pointers(environment).data());
  if (error == ENOENT) return fail(Code::kNotFound, "no program '" + argv.front() + "' in PATH");
  if (error != 0)
    return fail(Code::kUnavailable,
                "cannot start '" + argv.front() + "': " + std::generic_category().message(error));
  return Child(pid, std::move(read_end));
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      status_(other.status_),
      output_(std::move(other.output_)) {}

Child::~Child() {
  if (pid_ < 0 || status_) return;
  ::kill(-pid_, SIGKILL);
  wait();
}

int Child::note(pid_t got, int status) {
  if (got < 0)
    status_ = kStatusLost;
  else
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return *status_;
}

std::optional<int> Child::ended() {
  if (status_) return status_;
  int status = 0;
  const pid_t got = ::waitpid(pid_, &status, WNOHANG);
  if (got == 0 || (got < 0 && errno == EINTR)) return std::nullopt;
  return note(got, status);
}

int Child::wait() {
  if (status_) return *status_;
  int status = 0;
  pid_t got = -1;
  do got = ::waitpid(pid_, &status, 0);
  while (got < 0 && errno == EINTR);
  return note(got, status);
}

}  // namespace choir
