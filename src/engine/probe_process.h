// Runs choir-probe on a file and says how it went.
#pragma once

#include <cstdint>
#include <string>

#include "choir/result.h"
#include "engine/engine.h"

namespace choir {

// Path of the program: CHOIR_PROBE, else beside this library or program, else ../bin and
// ../libexec/choir from there. kUnavailable names where it was looked for.
Result<std::string> find_probe();

// kEngineFailed: the child found the file bad or died of it, with the reason. kOutOfMemory: the
// configuration does not fit into memory_bytes_max, with the bytes. kUnavailable: no child.
Status run_probe(const std::string& program, const std::string& path, std::uint64_t file_bytes,
                 const EngineConfig& config, std::uint64_t memory_bytes_max);

}  // namespace choir
