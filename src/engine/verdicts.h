// What trials of model files found: a value, and the file in which it is kept.
//
// Only what the bytes of a file decide is kept. Processes that write at once lose nothing of each
// other's: each reads, adds and writes under a lock.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "choir/config.h"
#include "choir/result.h"

struct stat;

namespace choir {

// Device, inode, size and mtime: equal means not changed since.
std::string identity_of(const struct stat& file);

struct Verdict {
  std::string why;          // what is wrong with the model, a sentence; empty: nothing
  std::string path;         // where it was when it was tried; `why` names it
  std::uint64_t bytes = 0;  // of all its parts
  bool operator==(const Verdict&) const = default;
};

// Who computes with cells of another type computes with other code: that is a trial of its own.
std::string verdict_key(const std::string& fingerprint, KvType kv_type);

struct Verdicts {
  std::map<std::string, std::string> hashes;  // identity -> fingerprint
  std::map<std::string, Verdict> verdicts;    // by verdict_key()
  bool operator==(const Verdicts&) const = default;
};

// The text of checked.json. `judge` is the engine and the kernels that tried: verdicts of another
// one say nothing.
std::string verdicts_text(const Verdicts& verdicts, const std::string& judge);
// Takes any bytes; empty where they are no text of ours or of another judge.
Verdicts parse_verdicts(std::string_view text, const std::string& judge);

// The file of that identity has these bytes.
void add_hash(Verdicts& verdicts, const std::string& identity, const std::string& fingerprint);
// Adds to both maps; what does not fit any more makes room by dropping all that was there.
void add_verdict(Verdicts& verdicts, const std::string& identity, const std::string& fingerprint,
                 const Verdict& verdict, KvType kv_type = KvType::kF16);

// Of the trial with cells of that type; nullopt: of any trial, if possible one that went well.
std::optional<Verdict> find_verdict(const Verdicts& verdicts, const std::string& fingerprint,
                                    std::optional<KvType> kv_type);

// The sentence of a verdict, about the same bytes at another path.
std::string why_at(const Verdict& verdict, const std::string& path);

// Who judges in this process.
std::string verdict_judge();

// <folder>/checked.json; an empty folder keeps nothing. Any thread.
class VerdictFile {
 public:
  explicit VerdictFile(std::string folder) : folder_(std::move(folder)) {}

  Verdicts read() const;
  // Of the file as it is now, another one after each change; empty where there is none.
  std::string stamp() const;
  // kUnavailable: it could not be written.
  Status change(const std::function<void(Verdicts&)>& change) const;

 private:
  std::string path() const { return folder_ + "/checked.json"; }
  std::string folder_;
};

}  // namespace choir
