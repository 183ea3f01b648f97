// Who else is told the lines of the log.
#pragma once

#include <functional>
#include <string_view>

#include "base/log.h"

namespace choir {

// Told each line that is logged from now on, on the thread that logs; empty: nobody is. It must not
// block and must not log. One for the process. Any thread; a call of the one before may still run.
using LogTap = std::function<void(LogLevel level, std::string_view line)>;
void set_log_tap(LogTap tap);

}  // namespace choir
