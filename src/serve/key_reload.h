// Reads the file of API keys again while the daemon runs.
//
// Pure but for keys_again(), which reads the file; any thread.
#pragma once

#include <string>
#include <vector>

#include "choir/result.h"
#include "serve/keys.h"

namespace choir::serve {

// The keys that the file has now. An error when it cannot be used, when it is gone though there
// were keys, and when it has none though keys are `needed`: then the old ones stay.
Result<Keys> keys_again(const std::string& file, const Keys& before, bool needed);

// The names of keys that are not there any more, or are other keys now.
std::vector<std::string> removed_keys(const Keys& before, const Keys& now);

}  // namespace choir::serve
