// Keeps files that would abort the process away from it.
//
// llama.cpp asserts on many things a file can say (some 670 asserts in loading alone), and an
// assert ends the process. So a file not seen before is first opened, loaded and used for a few
// tokens in a child process (the program choir-probe, beside the library) with limits on memory and
// time. Verdicts are kept by content hash (engine/verdicts.h), so a file is tried once per engine
// version and type of KV cells. Only what its bytes decide is kept: a trial that was killed, or
// that had no time or no memory, says nothing. A model that is split over files is all of them.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "choir/config.h"
#include "choir/result.h"
#include "engine/engine.h"
#include "engine/verdicts.h"

namespace choir {

struct FileCheckOptions {
  CheckFiles check = CheckFiles::kUnseen;
  std::string cache_folder;  // verdicts live in <folder>/checked.json; empty: in memory only
  std::string probe;         // the program; empty: found beside this library, or CHOIR_PROBE
};

// A file that may be opened here.
struct CheckedFile {
  std::string path;      // canonical; of a split model absolute, as its parts have their names
  std::string identity;  // device, inode, size, mtime of each part: equal means not changed since
  std::string fingerprint;  // XXH3-128 of its bytes, hex; of a split model over those of its parts
};

// Thread-safe; two threads that bring the same file may both try it.
class FileCheck {
 public:
  explicit FileCheck(FileCheckOptions options);

  // kNotFound, kEngineFailed with what is wrong with it, kOutOfMemory when the configuration needs
  // more than `memory_bytes_max`, kUnavailable when the child cannot be started or ended for
  // another reason than the file, kInvalidArgument for a part that is not the first.
  // Without `config` any trial of the file counts.
  Result<CheckedFile> check(const std::string& path, const std::optional<EngineConfig>& config,
                            std::uint64_t memory_bytes_max);
  // Whether check() of the same file would not try it. Its errors that need no trial. Reads no more
  // than the first bytes.
  Result<bool> was_tried(const std::string& path, const EngineConfig& config);

 private:
  struct Found {
    CheckedFile file;  // without a fingerprint where the file has not been read before
    std::vector<std::string> parts;
    std::uint64_t bytes = 0;
  };
  Result<Found> look(const std::string& path);
  std::optional<Verdict> verdict_of(const std::string& fingerprint, std::optional<KvType> type);
  struct Known {
    std::optional<std::string> read;  // the stamp of the file that was read
    Verdicts verdicts;
  };
  void read_again(Known& known) const;
  void keep(const std::function<void(Verdicts&)>& add);

  FileCheckOptions options_;
  VerdictFile file_;
  Guarded<Known> known_;
};

// The cheap checks that need no child: there, a file, big enough, begins like GGUF.
Status look_at_file(const std::string& path);

}  // namespace choir
