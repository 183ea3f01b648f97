#include "engine/measured_files.h"

#include <algorithm>
#include <optional>

namespace choir {

Result<ExecutorBytes> MeasuredFiles::measure(const CheckedFile& file, const EngineConfig& config) {
  const auto known = known_.with([&](const Known& k) -> std::optional<ExecutorBytes> {
    const auto found = std::ranges::find_if(k.answers, [&](const Answer& a) {
      return a.identity == file.identity && a.config == config;
    });
    if (found == k.answers.end()) return std::nullopt;
    return found->bytes;
  });
  if (known) return *known;
  const auto opened = CHOIR_TRY(open(file));
  const ExecutorBytes bytes = CHOIR_TRY(choir::measure(*opened, config));
  known_.with([&](Known& k) {
    if (k.answers.size() >= kAnswersMax) k.answers.erase(k.answers.begin());
    k.answers.push_back({file.identity, config, bytes});
  });
  return bytes;
}

// Two threads that bring the same file may both open it; one of the two is kept.
Result<std::shared_ptr<const MeasuredFile>> MeasuredFiles::open(const CheckedFile& file) {
  auto kept = known_.with([&](const Known& k) {
    return k.identity == file.identity ? k.file : std::shared_ptr<const MeasuredFile>();
  });
  if (kept) return kept;
  close();  // two would take twice the memory
  auto opened = std::make_shared<const MeasuredFile>(CHOIR_TRY(open_to_measure(file.path)));
  known_.with([&](Known& k) {
    k.identity = file.identity;
    k.file = opened;
  });
  return opened;
}

void MeasuredFiles::close() {
  const auto file = known_.with([](Known& k) { return std::exchange(k.file, nullptr); });
}

}  // namespace choir
