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
#include <optional>
#include <vector>

#include "base/log.h"
#include "base/split_name.h"
#include "engine/llama_handles.h"
#include "engine/probe_process.h"

namespace choir {
namespace {

std::string hex(const XXH128_hash_t& hash) {
  std::array<char, 40> digits{};
  std::snprintf(digits.data(), digits.size(), "%016llx%016llx",
                static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return digits.data();
}

Result<std::string> hash_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::unique_ptr<XXH3_state_t, FreeWith<XXH3_freeState>> state(XXH3_createState());
  XXH3_128bits_reset(state.get());
  std::vector<char> block(1U << 20);
  while (file.read(block.data(), static_cast<std::streamsize>(block.size())) || file.gcount() > 0)
    XXH3_128bits_update(state.get(), block.data(), static_cast<std::size_t>(file.gcount()));
  if (file.bad()) return fail(Code::kUnavailable, "'" + path + "' cannot be read to its end");
  return hex(XXH3_128bits_digest(state.get()));
}

// Of a model in one file, that file's; else of all hashes.
Result<std::string> hash_of(const std::vector<std::string>& parts) {
  std::string all;
  for (const std::string& part : parts) all += CHOIR_TRY(hash_of_file(part));
  return parts.size() == 1 ? all : hex(XXH3_128bits(all.data(), all.size()));
}

// The engine finds the other parts by the name that it is given, so a link to the first one is not
// followed.
std::string path_to_open(const std::string& path, std::size_t parts) {
  std::error_code ignored;
  if (parts == 1) return std::filesystem::canonical(path, ignored).string();
  return std::filesystem::absolute(path, ignored).lexically_normal().string();
}

struct Looked {
  std::string identity;
  std::uint64_t bytes = 0;
};

Result<Looked> look_at_parts(const std::vector<std::string>& parts) {
  Looked all;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (Status seen = look_at_file(parts[i]); !seen) {
      if (i > 0)
        seen.error().message += "; it is part " + std::to_string(i + 1) + " of " +
                                std::to_string(parts.size()) + " of '" + parts[0] + "'";
      return tl::unexpected(std::move(seen).error());
    }
    struct stat file {};
    if (stat(parts[i].c_str(), &file) != 0)
      return fail(Code::kNotFound, "'" + parts[i] + "' does not exist or cannot be read");
    all.identity += (i == 0 ? "" : " ") + identity_of(file);
    all.bytes += static_cast<std::uint64_t>(file.st_size);
  }
  return all;
}

}  // namespace

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

FileCheck::FileCheck(FileCheckOptions options)
    : options_(std::move(options)), file_(options_.cache_folder) {}

// Another process may have tried files, or forgotten what was found.
void FileCheck::read_again(Known& known) const {
  const std::string stamp = file_.stamp();
  if (known.read != stamp) known = {stamp, file_.read()};
}

Result<FileCheck::Found> FileCheck::look(const std::string& path) {
  if (const auto name = split_name(path); name && name->part != 1)
    return fail(Code::kInvalidArgument, "'" + path + "' is part " + std::to_string(name->part) +
                                            " of " + std::to_string(name->parts) +
                                            " of a model; open the first one, '" +
                                            part_path(*name, 1) + "'");
  Found found;
  found.parts = model_parts(path);
  const Looked looked = CHOIR_TRY(look_at_parts(found.parts));
  found.bytes = looked.bytes;
  found.file = {path_to_open(path, found.parts.size()), looked.identity, {}};
  known_.with([&](Known& known) {
    read_again(known);
    const auto hash = known.verdicts.hashes.find(looked.identity);
    if (hash != known.verdicts.hashes.end()) found.file.fingerprint = hash->second;
  });
  return found;
}

std::optional<Verdict> FileCheck::verdict_of(const std::string& fingerprint,
                                             std::optional<KvType> type) {
  return known_.with(
      [&](const Known& known) { return find_verdict(known.verdicts, fingerprint, type); });
}

Result<bool> FileCheck::was_tried(const std::string& path, const EngineConfig& config) {
  const Found found = CHOIR_TRY(look(path));
  if (options_.check == CheckFiles::kNever) return true;
  return !found.file.fingerprint.empty() &&
         verdict_of(found.file.fingerprint, config.kv_type).has_value();
}

Result<CheckedFile> FileCheck::check(const std::string& path,
                                     const std::optional<EngineConfig>& config,
                                     std::uint64_t memory_bytes_max) {
  Found found = CHOIR_TRY(look(path));
  const std::vector<std::string>& parts = found.parts;
  CheckedFile& checked = found.file;
  const bool hashed = checked.fingerprint.empty();
  if (hashed) checked.fingerprint = CHOIR_TRY(hash_of(parts));
  const auto trial = config.value_or(EngineConfig{});
  auto verdict =
      verdict_of(checked.fingerprint, config ? std::optional(config->kv_type) : std::nullopt);
  if (options_.check == CheckFiles::kNever) return checked;
  if (!verdict) {
    const std::string program = options_.probe.empty() ? CHOIR_TRY(find_probe()) : options_.probe;
    const Status tried = run_probe(program, checked.path, found.bytes, trial, memory_bytes_max);
    // Only a verdict on the file itself is kept: memory may be there tomorrow.
    if (!tried && tried.error().code != Code::kEngineFailed) return tl::unexpected(tried.error());
    verdict = {tried ? "" : tried.error().message, checked.path, found.bytes};
    if (!tried && trial.kv_type != KvType::kF16)
      verdict->why += "; it was tried with kv_type " + std::string(to_string(trial.kv_type));
    // Whoever wrote to it meanwhile changed what was tried.
    const auto after = look_at_parts(parts);
    if (after && after->identity == checked.identity)
      keep([&](Verdicts& to) {
        add_verdict(to, checked.identity, checked.fingerprint, *verdict, trial.kv_type);
      });
  } else if (hashed) {
    keep([&](Verdicts& to) { add_hash(to, checked.identity, checked.fingerprint); });
  }
  if (!verdict->why.empty()) return fail(Code::kEngineFailed, why_at(*verdict, checked.path));
  return checked;
}

void FileCheck::keep(const std::function<void(Verdicts&)>& add) {
  known_.with([&](Known& known) { add(known.verdicts); });
  if (const Status kept = file_.change(add); !kept)
    log(LogLevel::kWarn, kept.error().message + ": model files will be tried again");
}

}  // namespace choir
