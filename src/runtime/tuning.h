// The text of the file that `choir tune` keeps; choir/tuning.h without a disk. Pure.
#pragma once

#include <string>
#include <string_view>

#include "choir/config.h"
#include "choir/tuning.h"

namespace choir {

std::string tuning_text(const Tuning& tuning);
// As find_tuning() on a file of this text. `why` begins with `path`.
FoundTuning judge_tuning(std::string_view text, const std::string& path, const Machine& machine,
                         const Version& version);

// `config` with lanes_max as it was tuned, where it leaves that open and takes all cores: fewer
// are not what was measured. Reads the file; one that is broken is a warning.
NodeConfig tuned(NodeConfig config, const Machine& machine);

}  // namespace choir
