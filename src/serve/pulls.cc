#include "serve/pulls.h"

#include <algorithm>
#include <array>
#include <utility>

#include "choir/text.h"

namespace choir::serve {
namespace {

constexpr int kAtOnce = 2;  // a line is shared by few

bool has_ended(PullState::Phase phase) {
  return phase != PullState::Phase::kWaiting && phase != PullState::Phase::kRunning;
}

Result<std::string> catalog_name(std::string_view model) {
  std::vector<std::string> names;
  for (const CatalogEntry& entry : catalog()) {
    if (entry.name == model) return entry.name;
    names.push_back(entry.name);
  }
  const auto near = nearest(model, names);
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  return fail(Code::kNotFound, "the catalogue has no '" + printable_line(model, 60) + "'; " +
                                   (near ? "did you mean '" + *near + "'?" : "it has " + all));
}

}  // namespace

std::string_view to_string(PullState::Phase phase) {
  static constexpr std::array<std::string_view, 5> kNames = {"waiting", "running", "done", "failed",
                                                             "cancelled"};
  return kNames.at(static_cast<std::size_t>(phase));
}

Result<std::unique_ptr<Pulls>> Pulls::create(Fetch fetch) {
  std::unique_ptr<Pulls> pulls(new Pulls(std::move(fetch)));
  pulls->workers_ = CHOIR_TRY(Workers::start({.threads = kAtOnce, .at_once = kAtOnce}));
  return pulls;
}

Pulls::~Pulls() {
  jobs_.with([](Jobs& jobs) {
    for (auto& [name, job] : jobs) job.cancelled->store(true);
  });
  workers_.reset();
}

Result<PullState> Pulls::start(std::string_view model) {
  const std::string name = CHOIR_TRY(catalog_name(model));
  return jobs_.with([&](Jobs& jobs) -> Result<PullState> {
    const auto found = jobs.find(name);
    if (found != jobs.end() && !has_ended(found->second.state.phase)) {
      if (!found->second.state.cancelling) return found->second.state;
      return fail(Code::kOverloaded, "the fetch of '" + name + "' is just being cancelled");
    }
    Job job;
    job.state.model = name;
    CHOIR_CHECK_OK(workers_->post(
        Workers::kNoKey, [this, name, cancelled = job.cancelled] { carry_out(name, cancelled); }));
    return (jobs[name] = std::move(job)).state;
  });
}

Result<PullState> Pulls::cancel(std::string_view model) {
  return jobs_.with([&](Jobs& jobs) -> Result<PullState> {
    const auto found = jobs.find(model);
    if (found == jobs.end() || has_ended(found->second.state.phase))
      return fail(Code::kNotFound, "'" + printable_line(model, 60) + "' is not being fetched");
    found->second.cancelled->store(true);
    found->second.state.cancelling = true;
    return found->second.state;
  });
}

std::vector<PullState> Pulls::all() const {
  return jobs_.with([](const Jobs& jobs) {
    std::vector<PullState> states;
    for (const auto& [name, job] : jobs) states.push_back(job.state);
    return states;
  });
}

void Pulls::carry_out(const std::string& model,
                      const std::shared_ptr<std::atomic<bool>>& cancelled) {
  const auto change = [&](auto&& set) {
    jobs_.with([&](Jobs& jobs) { set(jobs.at(model).state); });
  };
  Result<std::string> path = fail(Code::kCancelled, "it was cancelled before it began");
  if (!cancelled->load()) {
    change([](PullState& s) { s.phase = PullState::Phase::kRunning; });
    PullOptions options;
    options.cancel = cancelled.get();
    options.progress = [&](const PullProgress& progress) {
      change([&](PullState& s) { s.progress = progress; });
    };
    path = fetch_(model, options);
  }
  change([&](PullState& s) {
    if (path) {
      s.phase = PullState::Phase::kDone;
      s.path = *path;
    } else {
      const bool asked = path.error().code == Code::kCancelled;
      s.phase = asked ? PullState::Phase::kCancelled : PullState::Phase::kFailed;
      if (!asked) s.error = path.error();
    }
  });
}

std::string_view pull_reason(const Error& error) {
  struct Row {
    std::string_view sign;
    std::string_view reason;
  };
  // Words of models/pip_log, models/pip_source, base/disk, and of the system.
  static constexpr std::array<Row, 10> kRows = {{{"python3-pip", "pip_missing"},
                                                 {"not enough disk space", "disk_full"},
                                                 {"the disk is full", "disk_full"},
                                                 {"No space left on device", "disk_full"},
                                                 {"name resolution", "no_network"},
                                                 {"Name or service not known", "no_network"},
                                                 {"timed out", "no_network"},
                                                 {"unreachable", "no_network"},
                                                 {"Connection refused", "no_network"},
                                                 {"proxy refused", "no_network"}}};
  for (const Row& row : kRows)
    if (error.message.find(row.sign) != std::string::npos) return row.reason;
  return "other";
}

std::string pull_sentence(const Error& error) {
  std::string message = error.message.substr(0, error.message.find(" (log: "));
  const std::string_view reason = pull_reason(error);
  if (reason == "disk_full") return "the disk of the models folder is full: " + message;
  if (reason == "no_network") return "the package index cannot be reached: " + message;
  return message;
}

}  // namespace choir::serve
