#include "engine/file_check.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/log.h"
#include "choir/machine.h"
#include "engine/llama_handles.h"
#include "engine/probe_process.h"

namespace choir {
namespace {

// A verdict of another engine, or with other kernels, says nothing about these.
std::string what_computes() {
  const Version all = version();
  return all.engine + ", kernels " + all.kernels;
}

constexpr std::size_t kVerdictsMax = 4096;  // some 500 KB of JSON

std::string identity_of(const struct stat& file) {
  return std::to_string(file.st_dev) + ":" + std::to_string(file.st_ino) + ":" +
         std::to_string(file.st_size) + ":" + std::to_string(file.st_mtim.tv_sec) + "." +
         std::to_string(file.st_mtim.tv_nsec);
}

Result<std::string> hash_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::unique_ptr<XXH3_state_t, FreeWith<XXH3_freeState>> state(XXH3_createState());
  XXH3_128bits_reset(state.get());
  std::vector<char> block(1U << 20);
  while (file.read(block.data(), static_cast<std::streamsize>(block.size())) || file.gcount() > 0)
    XXH3_128bits_update(state.get(), block.data(), static_cast<std::size_t>(file.gcount()));
  if (file.bad()) return fail(Code::kUnavailable, "'" + path + "' cannot be read to its end");
  const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  std::array<char, 40> hex{};
  std::snprintf(hex.data(), hex.size(), "%016llx%016llx",
                static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return std::string(hex.data());
}

}  // namespace

std::string cache_folder() {
  const auto get = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  if (std::string own = get("CHOIR_CACHE"); !own.empty()) return own;
  if (const std::string xdg = get("XDG_CACHE_HOME"); !xdg.empty()) return xdg + "/choir";
  if (const std::string home = get("HOME"); !home.empty()) return home + "/.cache/choir";
  return {};
}

Status look_at_file(const std::string& path) {
  struct stat file {};
  if (stat(path.c_str(), &file) != 0)
    return fail(Code::kNotFound, "'" + path + "' does not exist or cannot be read");
  if (!S_ISREG(file.st_mode)) return fail(Code::kInvalidArgument, "'" + path + "' is not a file");
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return fail(Code::kUnavailable, "'" + path + "' cannot be opened for reading");
  std::array<char, 4> magic{};
  stream.read(magic.data(), magic.size());
  if (file.st_size == 0) return fail(Code::kEngineFailed, "'" + path + "' is empty");
  if (stream.gcount() < 4 || std::string_view(magic.data(), 4) != "GGUF")
    return fail(Code::kEngineFailed,
                "'" + path + "' is not a GGUF model: it does not begin with the letters GGUF");
  if (file.st_size < 32)  // magic, version and the two counts are 24 bytes already
    return fail(Code::kEngineFailed, "'" + path + "' is truncated: it has only " +
                                         std::to_string(file.st_size) + " bytes");
  return {};
}

FileCheck::FileCheck(FileCheckOptions options) : options_(std::move(options)) {}

Result<CheckedFile> FileCheck::check(const std::string& path, const EngineConfig& config,
                                     std::uint64_t memory_bytes_max) {
  CHOIR_CHECK_OK(look_at_file(path));
  struct stat file {};
  if (stat(path.c_str(), &file) != 0)
    return fail(Code::kNotFound, "'" + path + "' does not exist or cannot be read");
  std::error_code ignored;
  CheckedFile checked{std::filesystem::canonical(path, ignored).string(), identity_of(file), {}};

  std::string verdict;
  bool seen = false;
  verdicts_.with([&](Verdicts& v) {
    load(v);
    if (const auto hash = v.hashes.find(checked.identity); hash != v.hashes.end())
      checked.fingerprint = hash->second;
  });
  if (checked.fingerprint.empty()) checked.fingerprint = CHOIR_TRY(hash_of(path));
  verdicts_.with([&](Verdicts& v) {
    if (const auto known = v.verdicts.find(checked.fingerprint); known != v.verdicts.end()) {
      seen = true;
      verdict = known->second;
      v.hashes[checked.identity] = checked.fingerprint;
    }
  });
  if (options_.check == CheckFiles::kNever) return checked;
  if (!seen) {
    const std::string program = options_.probe.empty() ? CHOIR_TRY(find_probe()) : options_.probe;
    const Status tried = run_probe(program, path, static_cast<std::uint64_t>(file.st_size), config,
                                   memory_bytes_max);
    // Only a verdict on the file itself is kept: memory may be there tomorrow.
    if (!tried && tried.error().code != Code::kEngineFailed) return tl::unexpected(tried.error());
    verdict = tried ? "" : tried.error().message;
    verdicts_.with([&](Verdicts& v) {
      if (v.verdicts.size() >= kVerdictsMax) v = {.loaded = true, .hashes = {}, .verdicts = {}};
      v.hashes[checked.identity] = checked.fingerprint;
      v.verdicts[checked.fingerprint] = verdict;
      keep(v);
    });
  }
  if (!verdict.empty()) return fail(Code::kEngineFailed, verdict);
  return checked;
}

void FileCheck::load(Verdicts& verdicts) const {
  if (verdicts.loaded) return;
  verdicts.loaded = true;
  if (options_.cache_folder.empty()) return;
  std::ifstream file(options_.cache_folder + "/checked.json");
  const auto kept = nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  if (!kept.is_object() || kept.value("engine", "") != what_computes()) return;
  try {
    verdicts.hashes = kept.at("files").get<std::map<std::string, std::string>>();
    verdicts.verdicts = kept.at("verdicts").get<std::map<std::string, std::string>>();
  } catch (const nlohmann::json::exception&) {
    verdicts.hashes.clear();
    verdicts.verdicts.clear();
  }
}

void FileCheck::keep(const Verdicts& verdicts) const {
  if (options_.cache_folder.empty()) return;
  std::error_code error;
  std::filesystem::create_directories(options_.cache_folder, error);
  const std::string path = options_.cache_folder + "/checked.json";
  const std::string temporary = path + "." + std::to_string(getpid());
  {
    std::ofstream file(temporary);
    file << nlohmann::json{{"engine", what_computes()},
                           {"files", verdicts.hashes},
                           {"verdicts", verdicts.verdicts}}
                .dump();
    if (!file.flush()) {
      log(LogLevel::kWarn, "cannot write " + temporary + ": model files will be tried again");
      std::filesystem::remove(temporary, error);
      return;
    }
  }
  std::filesystem::rename(temporary, path, error);
  if (error) log(LogLevel::kWarn, "cannot write " + path + ": " + error.message());
}

}  // namespace choir
