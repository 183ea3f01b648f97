#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>
#include <vector>

#include "base/caught.h"
#include "base/disk.h"
#include "base/file_lock.h"
#include "choir/text.h"
#include "models/file_source.h"
#include "models/http_rules.h"
#include "models/http_source.h"
#include "models/pip_source.h"
#include "models/pull_job.h"
#include "models/sha256.h"

namespace choir {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kRoomMin = std::uint64_t{1} << 20;  // less left on a disk counts as full

// What is to be fetched, and how: `fetch` fills PullJob::data_path().
struct PullPlan {
  std::string file;  // its name in the models folder
  Wanted wanted;
  std::function<Status(const PullJob&)> fetch;
};

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

Result<std::string> stored_name(std::string name) {
  if (name.empty() || name.front() == '.' ||
      name.find_first_of(std::string("/\\\n\0", 4)) != std::string::npos)
    return fail(Code::kInvalidArgument,
                "'" + name + "' cannot be a file name in the models folder");
  if (!lower(name).ends_with(".gguf")) name += ".gguf";
  constexpr std::size_t kLettersMax = 240;  // file systems stop at 255, the stamp adds to it
  if (name.size() > kLettersMax)
    return fail(Code::kInvalidArgument, "a name of " + std::to_string(name.size()) +
                                            " letters is too long for a file, allowed " +
                                            std::to_string(kLettersMax));
  return name;
}

// A stamp's words have no blanks, and a URL may hold a password: so its hash.
std::string origin_word(const std::string& kind, const std::string& place) {
  return kind + ":" + sha256_of_text(place);
}

Result<PullPlan> plan_recipe(const Recipe& recipe, const PullOptions& options) {
  const CatalogEntry& entry = recipe.entry;
  if (!options.sha256.empty() && lower(options.sha256) != entry.sha256)
    return fail(Code::kInvalidArgument, "sha256 " + options.sha256 +
                                            " was asked for, but the catalogue's '" + entry.name +
                                            "' has " + entry.sha256);
  return PullPlan{.file = CHOIR_TRY(stored_name(options.name.empty() ? entry.file : options.name)),
                  .wanted = {.sha256 = entry.sha256,
                             .bytes = entry.bytes,
                             .origin = origin_word("catalog", entry.name),
                             .ours = options.name.empty()},
                  .fetch = [&recipe](const PullJob& job) { return fetch_recipe(recipe, job); }};
}

Result<PullPlan> plan_file(std::string path, const PullOptions& options) {
  if (path.starts_with("//localhost/")) path.erase(0, std::string("//localhost").size());
  if (path.starts_with("///")) path.erase(0, 2);
  std::error_code error;
  const std::string full = fs::absolute(path, error).lexically_normal().string();
  const auto state = file_state(full);
  if (!state) {
    if (fs::exists(full, error))
      return fail(Code::kInvalidArgument, "'" + path + "' is not a regular file");
    return fail(Code::kNotFound, "no file '" + path + "'");
  }
  const std::string name = options.name.empty() ? fs::path(full).filename().string() : options.name;
  return PullPlan{.file = CHOIR_TRY(stored_name(name)),
                  .wanted = {.sha256 = lower(options.sha256),
                             .bytes = state->bytes,
                             .origin = origin_word("file", full),
                             .edition = std::to_string(state->bytes) + "." +
                                        std::to_string(state->modified_ns)},
                  .fetch = [full](const PullJob& job) { return copy_model(full, job); }};
}

Result<PullPlan> plan_url(const std::string& url, const PullOptions& options) {
  CHOIR_CHECK_OK(check_url(url));
  const std::string name = options.name.empty() ? CHOIR_TRY(file_name_of_url(url)) : options.name;
  return PullPlan{.file = CHOIR_TRY(stored_name(name)),
                  .wanted = {.sha256 = lower(options.sha256), .origin = origin_word("url", url)},
                  .fetch = [url](const PullJob& job) { return fetch_url(url, job); }};
}

Result<PullPlan> plan_pull(const std::string& source, const PullOptions& options) {
  if (!options.sha256.empty() && !is_sha256(options.sha256))
    return fail(Code::kInvalidArgument,
                "'" + options.sha256 + "' is not a sha256: it has 64 hex digits");
  if (const Recipe* recipe = find_recipe(source)) return plan_recipe(*recipe, options);
  if (source.starts_with("file:")) return plan_file(source.substr(5), options);
  if (source.find("://") != std::string::npos) return plan_url(source, options);
  if (file_state(source))
    return fail(Code::kInvalidArgument,
                "'" + source + "' is a file: to copy it, write 'file:" + source + "'");
  std::vector<std::string> known;
  for (const CatalogEntry& entry : catalog()) known.push_back(entry.name);
  const auto near = nearest(source, known);
  return fail(Code::kNotFound,
              "the catalogue has no '" + source + "'" +
                  (near ? ", did you mean '" + *near + "'?"
                        : "; `choir models` lists what it has, file: and https: take others"));
}

Result<std::string> checked_sha256(const std::string& path, const PullJob& job) {
  const auto state = file_state(path);
  const std::uint64_t total = state ? state->bytes : 0;
  return sha256_of_file(path, [&](std::uint64_t done) {
    report(job, "checking", done, total);
    return !is_cancelled(job);
  });
}

void stamp(const PullJob& job, const std::string& sha256) {
  if (const auto state = file_state(job.final_path))
    write_stamp(job.final_path,
                {sha256, state->bytes, state->modified_ns, job.wanted.origin, job.wanted.edition});
}

// What lies under the final name now.
Result<Presence> look(const PullJob& job) {
  const auto known = read_stamp(job.final_path);
  Presence presence = judge(job.wanted, file_state(job.final_path), known);
  if (presence == Presence::kMustHash) {
    const std::string sha256 = CHOIR_TRY(checked_sha256(job.final_path, job));
    presence = judge_hash(job.wanted, sha256, known);
    if (presence == Presence::kWhole) stamp(job, sha256);
  }
  return presence;
}

Error foreign(const PullJob& job) {
  return {Code::kAlreadyExists, "'" + job.final_path +
                                    "' exists and comes from elsewhere; remove it or give another "
                                    "name"};
}

// Without a sha256 at least an error page does not become a model.
Status check_magic(const PullJob& job) {
  std::string magic(4, '\0');
  std::ifstream file(job.data_path(), std::ios::binary);
  file.read(magic.data(), 4);
  if (file && magic == "GGUF") return {};
  return fail(Code::kInvalidArgument,
              "what has arrived is not a GGUF model (it does not begin with 'GGUF')");
}

// Checks what has arrived and gives it its name.
Status finish(const PullJob& job) {
  const std::string sha256 = CHOIR_TRY(checked_sha256(job.data_path(), job));
  if (!job.wanted.sha256.empty() && sha256 != job.wanted.sha256)
    return fail(Code::kInvalidArgument, "sha256 of what has arrived is " + sha256 + ", expected " +
                                            job.wanted.sha256 + "; nothing is kept");
  if (job.wanted.sha256.empty()) CHOIR_CHECK_OK(check_magic(job));
  CHOIR_CHECK_OK(
      CHOIR_TRY(GrowingFile::open(job.data_path(), GrowingFile::Start::kKeep, kModelsElsewhere))
          .sync());
  std::error_code error;
  fs::rename(job.data_path(), job.final_path, error);
  if (error) return tl::unexpected(write_error(job.final_path, error.value(), kModelsElsewhere));
  sync_folder(fs::path(job.final_path).parent_path().string());
  stamp(job, sha256);
  return {};
}

void remove_work(const PullJob& job) {
  std::error_code ignored;
  fs::remove_all(job.work, ignored);
}

Status fetch_and_finish(const PullPlan& plan, const PullJob& job) {
  CHOIR_CHECK_OK(make_folder(job.work, kModelsFolderAdvice));
  if (Status fetched = plan.fetch(job); !fetched) {
    // A full disk needs its space back more than we need a head start.
    if (!check_space(job.work, kRoomMin, kModelsElsewhere)) remove_work(job);
    return fetched;
  }
  Status finished = finish(job);
  if (finished || finished.error().code != Code::kCancelled) remove_work(job);
  return finished;
}

// Other pulls of this model wait until it ends.
Result<FileLock> lock_work(const PullJob& job) {
  auto lock = FileLock::take(job.work + ".lock", kModelsElsewhere, [&] {
    report(job, "waiting", 0, 0);
    return !is_cancelled(job);
  });
  if (!lock && lock.error().code == Code::kCancelled)
    return fail(Code::kCancelled, "stopped while another pull of this model was running");
  return lock;
}

Result<std::string> carry_out(const PullPlan& plan, const PullOptions& options) {
  const std::string folder = models_folder();
  const std::string partial = folder + "/.partial";
  PullJob job{.final_path = folder + "/" + plan.file,
              .work = partial + "/" + plan.file,
              .wanted = plan.wanted,
              .options = &options};
  // Before anything is created: a models folder that cannot be written to can still be used.
  const Presence seen = CHOIR_TRY(look(job));
  if (seen == Presence::kWhole) return job.final_path;

  CHOIR_CHECK_OK(make_folder(folder, kModelsFolderAdvice));
  CHOIR_CHECK_OK(make_folder(partial, kModelsFolderAdvice));
  const FileLock lock = CHOIR_TRY(lock_work(job));
  // The other one got it; without the lock it may have been seen between its name and its stamp.
  const Presence now = CHOIR_TRY(look(job));
  if (now == Presence::kWhole) return job.final_path;
  if (now == Presence::kForeign) return tl::unexpected(foreign(job));
  CHOIR_CHECK_OK(fetch_and_finish(plan, job));
  const auto state = file_state(job.final_path);
  report(job, "done", state ? state->bytes : 0, state ? state->bytes : 0);
  return job.final_path;
}

}  // namespace

bool is_cancelled(const PullJob& job) {
  return job.options->cancel != nullptr && job.options->cancel->load(std::memory_order_relaxed);
}

Error stopped() { return {Code::kCancelled, "stopped; the same command goes on where it was"}; }

void report(const PullJob& job, std::string_view step, std::uint64_t bytes_done,
            std::uint64_t bytes_total) {
  if (job.options->progress) job.options->progress({std::string(step), bytes_done, bytes_total});
}

Result<std::string> pull_recipe(const Recipe& recipe, const PullOptions& options) {
  return caught([&]() -> Result<std::string> {
    return carry_out(CHOIR_TRY(plan_recipe(recipe, options)), options);
  });
}

Result<std::string> pull(const std::string& source, const PullOptions& options) {
  return caught([&]() -> Result<std::string> {
    return carry_out(CHOIR_TRY(plan_pull(source, options)), options);
  });
}

}  // namespace choir
