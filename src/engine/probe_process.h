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

// How the child ended.
struct TrialEnd {
  int status = 0;      // as waitpid gives it
  std::string output;  // both of its streams
};

// What that says about the file at `path`. kEngineFailed: its bytes are bad, and will be tomorrow,
// with the reason. kOutOfMemory: the configuration does not fit, with the bytes. kUnavailable: the
// trial was ended by something else. Pure.
Status judge_trial(const TrialEnd& end, const std::string& path);

// Runs the child and judges. kUnavailable: no child, too.
Status run_probe(const std::string& program, const std::string& path, std::uint64_t file_bytes,
                 const EngineConfig& config, std::uint64_t memory_bytes_max);

}  // namespace choir
