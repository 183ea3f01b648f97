#include "engine/verdicts.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/cache_folder.h"
#include "base/fd.h"
#include "choir/file_verdicts.h"
#include "choir/machine.h"

namespace choir {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kVerdictsMax = 4096;  // some 1 MB of JSON
constexpr std::size_t kHashesMax = 2 * kVerdictsMax;
constexpr std::size_t kTextBytesMax = std::size_t{64} << 20;

// Raised when trials do more, so that files are tried again.
constexpr int kTrialVersion = 2;

constexpr char kBeforeKvType = ' ';  // in no fingerprint

constexpr auto kReplace = Json::error_handler_t::replace;

bool read_verdict(const Json& from, Verdict& verdict) {
  if (!from.is_object()) return false;
  const auto why = from.find("why");
  const auto path = from.find("path");
  const auto bytes = from.find("bytes");
  if (why == from.end() || path == from.end() || bytes == from.end() || !why->is_string() ||
      !path->is_string() || !bytes->is_number_unsigned())
    return false;
  verdict = {why->get<std::string>(), path->get<std::string>(), bytes->get<std::uint64_t>()};
  return true;
}

}  // namespace

std::string identity_of(const struct stat& file) {
  return std::to_string(file.st_dev) + ":" + std::to_string(file.st_ino) + ":" +
         std::to_string(file.st_size) + ":" + std::to_string(file.st_mtim.tv_sec) + "." +
         std::to_string(file.st_mtim.tv_nsec);
}

std::string verdict_judge() {
  const Version all = version();
  return all.engine + ", for " + all.engine_features + ", kernels " + all.kernels + ", trial " +
         std::to_string(kTrialVersion);
}

std::string verdicts_text(const Verdicts& verdicts, const std::string& judge) {
  Json list = Json::object();
  for (const auto& [fingerprint, verdict] : verdicts.verdicts)
    list[fingerprint] = {{"why", verdict.why}, {"path", verdict.path}, {"bytes", verdict.bytes}};
  const Json text = {{"judge", judge}, {"files", verdicts.hashes}, {"verdicts", std::move(list)}};
  return text.dump(-1, ' ', false, kReplace);
}

Verdicts parse_verdicts(std::string_view text, const std::string& judge) {
  if (text.size() > kTextBytesMax) return {};
  const Json kept = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!kept.is_object()) return {};
  const auto by = kept.find("judge");
  const auto files = kept.find("files");
  const auto list = kept.find("verdicts");
  if (by == kept.end() || !by->is_string() || by->get_ref<const std::string&>() != judge ||
      files == kept.end() || !files->is_object() || list == kept.end() || !list->is_object())
    return {};
  Verdicts out;
  for (const auto& [identity, fingerprint] : files->items())
    if (fingerprint.is_string()) out.hashes[identity] = fingerprint.get<std::string>();
  for (const auto& [fingerprint, from] : list->items())
    if (Verdict verdict; read_verdict(from, verdict)) out.verdicts[fingerprint] = verdict;
  return out;
}

std::string verdict_key(const std::string& fingerprint, KvType kv_type) {
  return kv_type == KvType::kF16 ? fingerprint
                                 : fingerprint + kBeforeKvType + std::string(to_string(kv_type));
}

void add_hash(Verdicts& verdicts, const std::string& identity, const std::string& fingerprint) {
  if (verdicts.hashes.size() >= kHashesMax) verdicts.hashes.clear();
  verdicts.hashes[identity] = fingerprint;
}

void add_verdict(Verdicts& verdicts, const std::string& identity, const std::string& fingerprint,
                 const Verdict& verdict, KvType kv_type) {
  if (verdicts.verdicts.size() >= kVerdictsMax) verdicts = {};
  add_hash(verdicts, identity, fingerprint);
  verdicts.verdicts[verdict_key(fingerprint, kv_type)] = verdict;
}

std::optional<Verdict> find_verdict(const Verdicts& verdicts, const std::string& fingerprint,
                                    std::optional<KvType> kv_type) {
  std::optional<Verdict> found;
  for (const KvType type : {KvType::kF16, KvType::kQ80}) {
    if (kv_type && type != *kv_type) continue;
    const auto one = verdicts.verdicts.find(verdict_key(fingerprint, type));
    if (one == verdicts.verdicts.end()) continue;
    if (!found || one->second.why.empty()) found = one->second;
  }
  return found;
}

std::string why_at(const Verdict& verdict, const std::string& path) {
  const std::string from = "'" + verdict.path + "'";
  const std::size_t at = verdict.path.empty() ? std::string::npos : verdict.why.find(from);
  if (at == std::string::npos) return verdict.why;
  return std::string(verdict.why).replace(at, from.size(), "'" + path + "'");
}

Verdicts VerdictFile::read() const {
  if (folder_.empty()) return {};
  std::ifstream file(path(), std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return parse_verdicts(text, verdict_judge());
}

std::string VerdictFile::stamp() const {
  struct stat file {};
  if (folder_.empty() || stat(path().c_str(), &file) != 0) return {};
  return identity_of(file);
}

Status VerdictFile::change(const std::function<void(Verdicts&)>& change) const {
  if (folder_.empty()) return {};
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  // Waits for a process that writes now, which takes moments; released with the descriptor. Without
  // it, as on a file system that has no locks, the last writer wins.
  const Fd lock(::open((path() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
  if (lock)
    while (::flock(lock.get(), LOCK_EX) != 0 && errno == EINTR) {}
  Verdicts verdicts = read();
  change(verdicts);
  const std::string temporary = path() + "." + std::to_string(getpid());
  {
    std::ofstream file(temporary, std::ios::binary);
    file << verdicts_text(verdicts, verdict_judge());
    if (!file.flush()) {
      const std::string why = std::strerror(errno);
      std::filesystem::remove(temporary, error);
      return fail(Code::kUnavailable, "cannot write " + temporary + ": " + why);
    }
  }
  std::filesystem::rename(temporary, path(), error);
  if (error) return fail(Code::kUnavailable, "cannot write " + path() + ": " + error.message());
  return {};
}

std::vector<FileVerdict> file_verdicts() {
  std::vector<FileVerdict> out;
  for (const auto& [key, verdict] : VerdictFile(cache_folder()).read().verdicts) {
    const std::size_t at = std::min(key.find(kBeforeKvType), key.size());
    const std::string kv_type = at == key.size() ? "f16" : key.substr(at + 1);
    out.push_back({verdict.path, verdict.bytes, key.substr(0, at), kv_type, verdict.why});
  }
  std::ranges::sort(
      out, {}, [](const FileVerdict& v) { return std::tie(v.path, v.fingerprint, v.kv_type); });
  return out;
}

Result<std::size_t> forget_file_verdicts() {
  std::size_t count = 0;
  CHOIR_CHECK_OK(VerdictFile(cache_folder()).change([&](Verdicts& verdicts) {
    count = verdicts.verdicts.size();
    verdicts = {};
  }));
  return count;
}

}  // namespace choir
