// Why the last call that failed did, for lastError(): in the log, too. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/guarded.h"
#include "base/log.h"
#include "choir/result.h"

namespace choir::parallel {

class LastError {
 public:
  // Whether all was well. `whose`: "manager", "llm 'a'".
  bool report(std::string_view whose, std::string_view call, const Status& status) {
    if (status) return true;
    const std::string& why = status.error().message;
    log(LogLevel::kError, std::string(whose).append(": ").append(call).append(": ").append(why));
    text_.with([&](std::string& text) { text = why; });
    return false;
  }
  std::string text() const {
    return text_.with([](const std::string& text) { return text; });
  }

 private:
  Guarded<std::string> text_;
};

}  // namespace choir::parallel
