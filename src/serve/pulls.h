// Models of the catalogue that are being fetched into the models folder.
//
// There is one fetch of a model at a time, however many ask for it, and any of them may cancel it.
// A few threads of its own do the work, because a fetch takes minutes. Any thread may call; nothing
// but create() and the destructor blocks.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/guarded.h"
#include "base/workers.h"
#include "choir/catalog.h"
#include "choir/result.h"

namespace choir::serve {

struct PullState {
  enum class Phase : std::uint8_t { kWaiting, kRunning, kDone, kFailed, kCancelled };
  std::string model;  // its name in the catalogue
  Phase phase = Phase::kWaiting;
  bool cancelling = false;          // it was asked to end
  PullProgress progress = {};       // the last that was told
  std::string path = {};            // of the file, once it is there
  std::optional<Error> error = {};  // why it failed
};
std::string_view to_string(PullState::Phase phase);

class Pulls {
 public:
  // pull() of choir/catalog.h, or what stands for it in a test.
  using Fetch = std::function<Result<std::string>(const std::string&, const PullOptions&)>;

  // kUnavailable: no threads can be had.
  static Result<std::unique_ptr<Pulls>> create(Fetch fetch);
  // Cancels all fetches and waits until they have ended: as long as `fetch` takes to see it.
  ~Pulls();
  Pulls(const Pulls&) = delete;
  Pulls& operator=(const Pulls&) = delete;

  // Begins to fetch a model, or joins the fetch that is there. kNotFound: the catalogue has no such
  // name. kOverloaded: an earlier fetch of it is just being cancelled.
  Result<PullState> start(std::string_view model);
  // kNotFound: it is not being fetched.
  Result<PullState> cancel(std::string_view model);
  // Those that run or wait, and the last of each model that has ended; by name.
  std::vector<PullState> all() const;

 private:
  struct Job {
    PullState state;
    std::shared_ptr<std::atomic<bool>> cancelled = std::make_shared<std::atomic<bool>>(false);
  };
  using Jobs = std::map<std::string, Job, std::less<>>;
  explicit Pulls(Fetch fetch) : fetch_(std::move(fetch)) {}
  void carry_out(const std::string& model, const std::shared_ptr<std::atomic<bool>>& cancelled);

  const Fetch fetch_;
  Guarded<Jobs> jobs_;
  std::unique_ptr<Workers> workers_;  // ends first: its work uses the rest
};

// Why a fetch failed, for programs: "pip_missing", "disk_full", "no_network", else "other". Pure.
std::string_view pull_reason(const Error& error);
// The same for people: one sentence for each reason, without paths of this machine's log. Pure.
std::string pull_sentence(const Error& error);

}  // namespace choir::serve
