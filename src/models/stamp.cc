#include "models/stamp.h"

#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "models/sha256.h"

namespace choir {
namespace {

constexpr std::int64_t kNanosPerSecond = 1'000'000'000;

std::string stamp_path(const std::string& model_path) { return model_path + ".sha256"; }

Presence not_wanted(const Wanted& wanted, const std::optional<Stamp>& stamp) {
  const bool made_here = stamp && stamp->origin == wanted.origin;
  return wanted.ours || made_here ? Presence::kReplace : Presence::kForeign;
}

}  // namespace

std::optional<FileState> file_state(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  return FileState{static_cast<std::uint64_t>(info.st_size),
                   info.st_mtim.tv_sec * kNanosPerSecond + info.st_mtim.tv_nsec};
}

std::optional<Stamp> read_stamp(const std::string& model_path) {
  std::ifstream file(stamp_path(model_path));
  std::string first;
  std::string second;
  if (!std::getline(file, first) || !std::getline(file, second)) return std::nullopt;
  Stamp stamp;
  std::istringstream(first) >> stamp.sha256;
  std::string hash_sign;
  std::istringstream words(second);
  words >> hash_sign >> stamp.bytes >> stamp.modified_ns >> stamp.origin >> stamp.edition;
  if (!words || hash_sign != "#" || !is_sha256(stamp.sha256)) return std::nullopt;
  return stamp;
}

void write_stamp(const std::string& model_path, const Stamp& stamp) {
  const std::string path = stamp_path(model_path);
  const std::string fresh = path + ".new";
  {
    std::ofstream file(fresh);
    file << stamp.sha256 << "  " << std::filesystem::path(model_path).filename().string() << "\n# "
         << stamp.bytes << ' ' << stamp.modified_ns << ' ' << stamp.origin << ' ' << stamp.edition
         << '\n';
    file.flush();
    if (!file) {
      std::remove(fresh.c_str());
      return;
    }
  }
  std::error_code ignored;
  std::filesystem::rename(fresh, path, ignored);
}

Presence judge(const Wanted& wanted, const std::optional<FileState>& state,
               const std::optional<Stamp>& stamp) {
  if (!state) return Presence::kAbsent;
  const bool fresh = stamp && FileState{stamp->bytes, stamp->modified_ns} == *state;
  if (!wanted.sha256.empty()) {
    if (fresh) return judge_hash(wanted, stamp->sha256, stamp);
    if (wanted.bytes != 0 && wanted.bytes != state->bytes) return not_wanted(wanted, stamp);
    return Presence::kMustHash;
  }
  if (fresh && stamp->origin == wanted.origin && stamp->edition == wanted.edition)
    return Presence::kWhole;
  return not_wanted(wanted, stamp);
}

Presence judge_hash(const Wanted& wanted, const std::string& sha256,
                    const std::optional<Stamp>& stamp) {
  return sha256 == wanted.sha256 ? Presence::kWhole : not_wanted(wanted, stamp);
}

}  // namespace choir
