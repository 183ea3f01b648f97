// Secrets that clients show: API keys, sessions and codes of links.
//
// Any thread; waits for nothing but the system's random bytes, which do not run out.
#pragma once

#include <string>
#include <string_view>

#include "choir/result.h"

namespace choir::serve {

// `prefix` and 43 characters (letters, digits, '-', '_') of 256 random bits of the operating
// system. kUnavailable: it gives none.
Result<std::string> random_secret(std::string_view prefix);

}  // namespace choir::serve
