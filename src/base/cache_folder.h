// The folder for what can be made again: engines, verdicts on files, tuning.
//
// Any thread; reads the environment.
#pragma once

#include <string>

namespace choir {

// CHOIR_CACHE, else XDG_CACHE_HOME/choir, else ~/.cache/choir; empty when there is no home. This
// call does not create it.
std::string cache_folder();

}  // namespace choir
