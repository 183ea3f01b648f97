#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "base/guarded.h"
#include "base/log_tap.h"
#include "base/process_exit.h"

namespace choir {
namespace {

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
    case LogLevel::kOff:
      return spdlog::level::off;
  }
  return spdlog::level::warn;
}

const char* from_environment() { return std::getenv("CHOIR_LOG"); }

// A logger of our own and not spdlog's default one: an application may use that for itself.
// Outlives all static objects: threads may log while the process exits.
spdlog::logger& logger() {
  static spdlog::logger* const instance = [] {
    auto* made = new spdlog::logger("choir", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("choir %L %v");
    const char* wanted = from_environment();
    made->set_level(wanted != nullptr ? spdlog::level::from_str(wanted) : spdlog::level::warn);
    return made;
  }();
  return *instance;
}

// Outlives all static objects, as the logger.
Guarded<std::shared_ptr<const LogTap>>& tap() {
  static auto* const instance = new Guarded<std::shared_ptr<const LogTap>>;
  return *instance;
}

void tell_tap(LogLevel level, std::string_view line) {
  if (!log_enabled(level)) return;
  const auto told = tap().with([](const auto& t) { return t; });
  if (told) (*told)(level, line);
}

}  // namespace

void set_log_tap(LogTap told) {
  auto next = told ? std::make_shared<const LogTap>(std::move(told)) : nullptr;
  // What the one before has captured is let go without the lock.
  tap().with([&](auto& t) { std::swap(t, next); });
}

void set_log_level(LogLevel level) {
  if (from_environment() == nullptr) logger().set_level(to_spdlog(level));
}

bool log_enabled(LogLevel level) { return logger().should_log(to_spdlog(level)); }

// A process that was told to end says nothing of what could not be done because of that.
void log(LogLevel level, std::string_view line) {
  if (process_exits()) return;
  while (!line.empty() && line.back() == '\n') line.remove_suffix(1);
  logger().log(to_spdlog(level), "{}", line);
  tell_tap(level, line);
}

}  // namespace choir
