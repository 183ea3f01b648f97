// What the program ends with; the only place that says so.
#pragma once

#include "choir/result.h"

namespace choir::app {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;          // the command line is wrong; nothing was done
inline constexpr int kExitTooLong = 3;        // the prompt is longer than the model's context
inline constexpr int kExitInterrupted = 130;  // 128 + SIGINT, as a shell reports it
// A closed pipe ends the program by SIGPIPE, which a shell reports as 141 (see terminal.h).

// Of a command that began its work. A wrong command line is kExitUsage and does not come here.
constexpr int exit_code(Code code) {
  switch (code) {
    case Code::kCancelled:
      return kExitInterrupted;
    case Code::kTooLong:
      return kExitTooLong;
    default:
      return kExitFailed;
  }
}

}  // namespace choir::app
