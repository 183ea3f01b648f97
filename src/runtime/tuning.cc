#include "runtime/tuning.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/cache_folder.h"
#include "base/fd.h"
#include "base/log.h"
#include "choir/text.h"
#include "engine/file_check.h"

namespace choir {
namespace {

using State = FoundTuning::State;

constexpr std::size_t kTextBytesMax = 4096;  // ours has some 150
constexpr std::size_t kNameCharacters = 80;  // for messages; a CPU's name has half of it

FoundTuning broken(const std::string& path, const std::string& what) {
  return {State::kBroken, {}, path + " " + what};
}

// What is said of another machine; empty: it is this one.
std::string difference(const Tuning& kept, const Machine& machine, const Version& version) {
  if (kept.cpu != machine.cpu)
    return "on the CPU '" + printable_line(kept.cpu, kNameCharacters) + "', this is '" +
           printable_line(machine.cpu, kNameCharacters) + "'";
  if (kept.cores != machine.cores)
    return "with " + std::to_string(kept.cores) + " cores, here are " +
           std::to_string(machine.cores);
  if (kept.choir != version.choir)
    return "by Choir " + printable_line(kept.choir, kNameCharacters) + ", this is " + version.choir;
  return "";
}

}  // namespace

std::string tuning_text(const Tuning& tuning) {
  const nlohmann::ordered_json text = {{"cpu", tuning.cpu},
                                       {"cores", tuning.cores},
                                       {"choir", tuning.choir},
                                       {"lanes_max", tuning.lanes_max}};
  return text.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

FoundTuning judge_tuning(std::string_view text, const std::string& path, const Machine& machine,
                         const Version& version) {
  const auto kept = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!kept.is_object()) return broken(path, "is not JSON as 'choir tune' writes it");
  const auto word = [&](const char* name) -> std::optional<std::string> {
    const auto found = kept.find(name);
    if (found == kept.end() || !found->is_string()) return std::nullopt;
    return found->get<std::string>();
  };
  const auto number = [&](const char* name) -> std::optional<std::int32_t> {
    const auto found = kept.find(name);
    if (found == kept.end() || !found->is_number_integer()) return std::nullopt;
    const auto value = found->get<std::int64_t>();
    if (value < 1 || value > 4096) return std::nullopt;  // the limit of NodeConfig::cores
    return static_cast<std::int32_t>(value);
  };
  const auto cpu = word("cpu");
  const auto choir = word("choir");
  if (!cpu || !choir) return broken(path, "does not say which CPU and which Choir it is of");
  const auto cores = number("cores");
  if (!cores) return broken(path, "has no number of cores from 1 to 4096");
  const auto lanes_max = number("lanes_max");
  if (!lanes_max || *lanes_max > *cores)
    return broken(path, "has no lanes_max from 1 to its " + std::to_string(*cores) + " cores");
  const Tuning tuning{*cpu, *cores, *choir, *lanes_max};
  const std::string other = difference(tuning, machine, version);
  if (!other.empty()) return {State::kElsewhere, tuning, path + " was measured " + other};
  return {State::kUsed, tuning, {}};
}

std::string tuning_path() {
  const std::string folder = cache_folder();
  return folder.empty() ? "" : folder + "/tuning.json";
}

FoundTuning find_tuning(const Machine& machine, const Version& version) {
  const std::string path = tuning_path();
  if (path.empty()) return {};
  const Fd file(
      ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a pipe is no reason to wait
  if (!file) {
    if (errno == ENOENT || errno == ENOTDIR) return {};
    return broken(path, std::string("cannot be read: ") + std::strerror(errno));
  }
  std::array<char, kTextBytesMax + 1> text{};
  const ssize_t bytes = ::read(file.get(), text.data(), text.size());
  if (bytes < 0) return broken(path, std::string("cannot be read: ") + std::strerror(errno));
  if (static_cast<std::size_t>(bytes) > kTextBytesMax)
    return broken(path, "is longer than 'choir tune' writes it");
  return judge_tuning({text.data(), static_cast<std::size_t>(bytes)}, path, machine, version);
}

Status keep_tuning(const Tuning& tuning) {
  const std::string path = tuning_path();
  if (path.empty())
    return fail(Code::kUnavailable, "there is no folder to keep it in: set CHOIR_CACHE to one");
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  const std::string temporary = path + "." + std::to_string(getpid());
  {
    std::ofstream file(temporary);
    file << tuning_text(tuning);
    if (!file.flush()) {
      std::filesystem::remove(temporary, error);
      return fail(Code::kUnavailable, "cannot write '" + temporary + "', so nothing is kept");
    }
  }
  std::filesystem::rename(temporary, path, error);
  if (!error) return {};
  std::error_code ignored;
  std::filesystem::remove(temporary, ignored);
  return fail(Code::kUnavailable, "cannot write '" + path + "': " + error.message());
}

Result<bool> forget_tuning() {
  const std::string path = tuning_path();
  if (path.empty()) return false;
  std::error_code error;
  const bool there = std::filesystem::remove(path, error);
  if (error) return fail(Code::kUnavailable, "cannot remove '" + path + "': " + error.message());
  return there;
}

NodeConfig tuned(NodeConfig config, const Machine& machine) {
  const bool all_cores = config.cores == 0 || config.cores >= machine.cores;
  if (config.lanes_max != 0 || !all_cores) return config;
  const FoundTuning found = find_tuning(machine, version());
  if (found.state == State::kBroken)
    log(LogLevel::kWarn, found.why + ": ignored, 'choir tune' writes it again");
  if (found.state == State::kUsed) config.lanes_max = found.tuning.lanes_max;
  return config;
}

}  // namespace choir
