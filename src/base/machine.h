// The parts of read_machine() that a test can feed.
#pragma once

#include <string>
#include <vector>

#include "choir/machine.h"

namespace choir {

// As read_machine(), from the files under `root` ("" outside tests) and a given affinity mask.
Machine read_machine_under(const std::string& root, std::vector<int> cpus_allowed);

}  // namespace choir
