#include "serve/load_wait.h"

#include <chrono>

#include "choir/text.h"

namespace choir::serve {

std::string loading_comment(double fraction) {
  return ": loading " + std::to_string(static_cast<int>(fraction * 100)) + " %\n\n";
}

bool is_open(const LoadState& load) {
  return load.phase == LoadState::Phase::kWaiting || load.phase == LoadState::Phase::kLoading;
}

LoadWait::LoadWait(const Services& services)
    : node_(services.node),
      clock_(services.clock),
      most_(services.load_wait_max),
      began_(clock_.now()) {}

std::optional<double> LoadWait::look(const std::string& executor) const {
  const auto info = node_.executor(executor);
  if (!info || info->loaded) return std::nullopt;
  return info->loading.value_or(0);
}

bool LoadWait::is_over() const { return clock_.now() - began_ >= most_; }

ApiError LoadWait::error(const std::string& model) const {
  const auto waited = std::chrono::duration_cast<std::chrono::seconds>(clock_.now() - began_);
  ApiError error =
      model_error({Code::kUnavailable,
                   "'" + printable_line(model, 60) + "' is still being loaded after " +
                       std::to_string(waited.count()) + " s; the load goes on, ask again later"});
  error.headers = {{"retry-after", "10"}};
  return error;
}

}  // namespace choir::serve
