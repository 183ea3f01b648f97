// What Events tells of the log.
#include <array>
#include <chrono>
#include <utility>

#include "base/clock.h"
#include "base/log_tap.h"
#include "serve/events.h"
#include "serve/json_in.h"

namespace choir::serve {
namespace {

constexpr std::size_t kLinesMax = 200;  // between two looks

}  // namespace

void Events::watch_log(bool on) {
  if (!on) return set_log_tap({});
  set_log_tap([weak = weak_from_this()](LogLevel level, std::string_view line) {
    if (const auto self = weak.lock()) self->log_line(level, line);
  });
}

void Events::log_line(LogLevel level, std::string_view line) {
  static constexpr std::array<std::string_view, 5> kLevels = {"debug", "info", "warn", "error",
                                                              "off"};
  const std::string text = to_text({{"unix_ms", unix_ms()},
                                    {"level", kLevels.at(static_cast<std::size_t>(level))},
                                    {"text", line}});
  state_.with([&](State& s) {
    if (s.lines.size() < kLinesMax)
      s.lines.push_back(text);
    else
      ++s.lines_dropped;
  });
}

}  // namespace choir::serve
