// The KV state of a conversation in a file of its own: what it is of, and checksums.
//
// A snapshot saves computing, it is never the truth: where there is none, or one that is refused,
// the tokens are computed again. So erase a snapshot before its conversation, and write it after.
//
// File: a header with all sizes and its own XXH3, the three names, tokens, KV state, XXH3 of all
// before it; integers little endian. It appears under its name whole, or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "choir/ids.h"
#include "choir/result.h"

namespace choir {

struct Snapshot {
  std::string model_fingerprint;  // at most kNameBytesMax, and so are kv_type and reuse_scope
  std::string kv_type;            // "f16", "q8_0"
  std::vector<TokenId> tokens;    // whose KV state it is; all of them have cells
  std::string kv;                 // what Engine::save() gave
  std::string reuse_scope = {};   // no request of another one takes it
  bool operator==(const Snapshot&) const = default;
};

// Of files that are snapshots.
inline constexpr std::string_view kSnapshotEnding = ".kv";

// folder + "/kv/" + XXH3-128 of the two names + ".kv". A name that holds a NUL can meet another's
// path; the tokens inside tell them apart.
std::string snapshot_path(const std::string& folder, std::string_view executor,
                          std::string_view id);

// Replaces what is there; makes the last folder of the path. On the disk when it returns. Errors:
// kInvalidArgument (too long a name), kUnavailable (the disk; with need and free bytes when full):
// what was there before is still there, and nothing else. Any thread; of two writers of one path
// the last wins.
Status write_snapshot(const std::string& path, const Snapshot& snapshot);

// Of the file that write_snapshot() makes.
std::uint64_t snapshot_bytes(const Snapshot& snapshot);

// Errors: kNotFound, kUnavailable (cannot be read), kOutOfMemory, kInvalidArgument (torn, altered,
// of another version, or no snapshot). No size in the file is trusted before it is checked.
Result<Snapshot> read_snapshot(const std::string& path);

// One that is not there is no error.
Status erase_snapshot(const std::string& path);

// Removes what writers left that were killed, and returns how many files that were. For the owner
// of the folder (ConversationStore), before its first write.
std::size_t sweep_snapshots(const std::string& folder);

}  // namespace choir
