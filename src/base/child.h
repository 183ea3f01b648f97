// A helper program that runs beside us: started without a shell, watched, stopped with its owner.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "choir/result.h"

namespace choir {

struct ChildCommand {
  enum class Output : unsigned char { kLog, kPipe };

  std::vector<std::string> argv;         // argv[0] is looked up in PATH
  std::string folder;                    // its working directory; exists
  std::vector<std::string> environment;  // "NAME=value", replaces ours
  std::string log_path;          // standard error is appended here, and so is output in kLog
  Output output = Output::kLog;  // kPipe: read it from Child::output()
};

// What execve takes of these: a pointer to each, and a null pointer. They point into `texts`.
std::vector<char*> pointers(std::vector<std::string>& texts);

// One owner, can be handed on; not thread-safe. The child leads its own process group, so that a
// Ctrl-C at the terminal reaches only us and we decide; its end kills the whole group.
class Child {
 public:
  // kNotFound: no such program. kUnavailable: the system could not start it.
  static Result<Child> start(const ChildCommand& command);

  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;
  ~Child();

  // The exit status once it has ended, 128 + signal if it was killed. Does not wait.
  std::optional<int> ended();
  // The same, but waits.
  int wait();
  // Readable end of its standard output; only with Output::kPipe.
  const Fd& output() const { return output_; }

 private:
  Child(pid_t pid, Fd output) : pid_(pid), output_(std::move(output)) {}
  int note(pid_t got, int status);

  pid_t pid_ = -1;
  std::optional<int> status_;
  Fd output_;
};

}  // namespace choir
