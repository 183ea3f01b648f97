// Log lines of Choir and, through it, of the engine. Quiet by default: warnings and errors only.
//
// One process-wide logger, because llama.cpp's log callback is process-wide too. Thread-safe.
#pragma once

#include <string_view>

namespace choir {

enum class LogLevel : unsigned char { kDebug, kInfo, kWarn, kError, kOff };

// CHOIR_LOG=debug|info|warn|error|off wins over this.
void set_log_level(LogLevel level);
bool log_enabled(LogLevel level);
void log(LogLevel level, std::string_view line);

}  // namespace choir
