// What a failed pip run means to a person, out of its dozens of lines.
#pragma once

#include <string>
#include <string_view>

#include "choir/result.h"

namespace choir {

// Pure. `log`: what pip wrote, or its end. kUnavailable with one sentence about `package`.
Error pip_failure(std::string_view log, std::string_view package);

}  // namespace choir
