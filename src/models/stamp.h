// The note beside a finished model that saves hashing it again: NAME.gguf.sha256.
//
// Its first line is what `sha256sum --check` reads; the second says for which state of the file it
// holds and where the file came from.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace choir {

struct Stamp {
  std::string sha256;
  std::uint64_t bytes = 0;
  std::int64_t modified_ns = 0;  // the file's mtime
  std::string origin;            // a word for the source; the same source gives the same word
  std::string edition = "-";     // a word for the source's own state, if it has one to see
  bool operator==(const Stamp&) const = default;
};

// What is on disk under a final name.
struct FileState {
  std::uint64_t bytes = 0;
  std::int64_t modified_ns = 0;
  bool operator==(const FileState&) const = default;
};

std::optional<FileState> file_state(const std::string& path);  // nothing: no regular file

std::optional<Stamp> read_stamp(const std::string& model_path);
// Losing a stamp costs one hash at the next pull, so failure is not told.
void write_stamp(const std::string& model_path, const Stamp& stamp);

// What a pull wants to find.
struct Wanted {
  std::string sha256;       // small letters; empty: unchecked
  std::uint64_t bytes = 0;  // 0: not known
  std::string origin;
  std::string edition = "-";
  bool ours = false;  // the name is the catalogue's: whatever else lies there is replaced
};

enum class Presence : unsigned char {
  kAbsent,
  kWhole,
  kMustHash,  // only its sha256 can tell; judge_hash() decides then
  kReplace,   // torn, altered, or an older edition of the same source
  kForeign,   // a file under that name that Choir did not fetch: not ours to replace
};

// Pure.
Presence judge(const Wanted& wanted, const std::optional<FileState>& state,
               const std::optional<Stamp>& stamp);
Presence judge_hash(const Wanted& wanted, const std::string& sha256,
                    const std::optional<Stamp>& stamp);

}  // namespace choir
