// The settings that a file of YAML has.
//
// Pure: any thread, does not block.
#pragma once

#include <string>
#include <vector>

#include "choir/result.h"
#include "serve/config.h"

namespace choir::serve {

// What the file says, in its order; a setting that is null is as left out. kInvalidArgument:
// "FILE:LINE: ..." about what the file should not have, a key that is no setting with the nearest
// one.
Result<std::vector<SettingValue>> settings_in(const ConfigFile& file);

}  // namespace choir::serve
