// The results of trying model files in a child process, as they are stored on disk: `choir doctor
// --files`.
//
// Threads: any thread may call. Both calls read a small file; forget_file_verdicts() also writes
// it, and waits for other processes that are writing it.
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
  std::uint64_t bytes = 0;  // size of all parts of the model
  std::string fingerprint;  // hash of their bytes
  std::string kv_type;      // the type of the KV cells that it was tried with
  std::string why;          // what is wrong with the model, a sentence; empty: it may be loaded
};

// All verdicts, sorted by path. Verdicts of another version of the engine or of other kernels are
// not used and not listed. Read from checked.json in CHOIR_CACHE, else XDG_CACHE_HOME/choir, else
// ~/.cache/choir.
CHOIR_API std::vector<FileVerdict> file_verdicts();

// Forgets all verdicts and returns how many there were. Each file is tried again when it is next
// used, by running processes too. kUnavailable if the file cannot be written.
CHOIR_API Result<std::size_t> forget_file_verdicts();

}  // namespace choir
