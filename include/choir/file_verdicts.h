// What is kept about model files that were tried in a child process: `choir doctor --files`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "choir/export.h"
#include "choir/result.h"

namespace choir {

struct FileVerdict {
  std::string path;         // where the model was when it was tried
  std::uint64_t bytes = 0;  // of all its parts
  std::string fingerprint;  // of their bytes
  std::string why;          // what is wrong with it, a sentence; empty: it may be loaded
};

// By path. Those of the engine and the kernels that this process has; of others nothing is used.
// Read from checked.json in CHOIR_CACHE, else XDG_CACHE_HOME/choir, else ~/.cache/choir.
CHOIR_API std::vector<FileVerdict> file_verdicts();

// All of them: each file is tried again when it is next asked for. How many there were. What a
// running process has read already stays known to it. kUnavailable where they cannot be written.
CHOIR_API Result<std::size_t> forget_file_verdicts();

}  // namespace choir
