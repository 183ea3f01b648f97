// Files and the models folder, as the kernel tells of their changes (inotify), so that a list of
// them need not be made again while nothing has changed.
//
// A change is seen at once, also one of another process, of a symbolic link or a folder on the way,
// and of what is mounted. Only file systems of this machine are watched; others may change without
// telling. What is written through a memory map is seen when the writer closes its file.
//
// Any thread. changes() costs a system call at most; watch() some for each file after a change.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/guarded.h"

namespace choir::serve {

class WatchedFiles {
 public:
  struct Paths {
    std::string folder;              // whose entries are looked at; it need not exist
    std::vector<std::string> files;  // others; each needs not exist
    bool operator==(const Paths&) const = default;
  };

  WatchedFiles();
  ~WatchedFiles();

  // Grows with each change of what is watched.
  std::uint64_t changes();
  // From now on these are watched, and nothing else. True: they were watched already, and changes()
  // has told of everything since. False: something may have changed unseen until now, or cannot be
  // watched.
  bool watch(const Paths& paths);

 private:
  class Watches;
  struct State {
    bool watched = false;  // all of the paths, and nothing has come since
    Paths paths;
    std::uint64_t changes = 0;
  };
  void look(State& s);
  // Under the lock of `walking_` while nothing is watched, else under that of `state_`.
  const std::unique_ptr<Watches> watches_;
  Guarded<bool> walking_;  // one at a time; before the other lock
  Guarded<State> state_;
};

}  // namespace choir::serve
