// How the cores of this machine are best cut into lanes: what `choir tune` measured, where that is
// kept, and which of what was measured to take.
//
// Kept in one small file of the cache folder. A node reads it on create where its config leaves
// lanes_max to it, and only on the machine that it was measured on. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "choir/export.h"
#include "choir/machine.h"
#include "choir/result.h"

namespace choir {

struct Tuning {
  std::string cpu;             // Machine::cpu of where it was measured
  std::int32_t cores = 0;      // Machine::cores of it
  std::string choir;           // Version::choir of what measured it
  std::int32_t lanes_max = 0;  // NodeConfig::lanes_max, 1 .. cores
  bool operator==(const Tuning&) const = default;
};

struct FoundTuning {
  enum class State : std::uint8_t {
    kNone,       // never tuned, or forgotten
    kUsed,       // of this machine
    kElsewhere,  // of another CPU, other cores or another version: ignored
    kBroken,     // not a file that we wrote: ignored
  };
  State state = State::kNone;
  Tuning tuning;    // of kUsed and kElsewhere
  std::string why;  // of kElsewhere and kBroken: a sentence
  bool operator==(const FoundTuning&) const = default;
};

// tuning.json in CHOIR_CACHE, else XDG_CACHE_HOME/choir, else ~/.cache/choir; empty: no home.
CHOIR_API std::string tuning_path();
// What a node that takes all cores of `machine` would take.
CHOIR_API FoundTuning find_tuning(const Machine& machine, const Version& version);
// Makes the folder where there is none; a reader sees the old file or the new one. kUnavailable.
CHOIR_API Status keep_tuning(const Tuning& tuning);
// True when there was one. kUnavailable where it cannot be removed.
CHOIR_API Result<bool> forget_tuning();

// The values of lanes_max worth measuring: powers of two below `cores`, and `cores`, which is what
// a node takes when nobody says anything. Needs cores >= 1. Pure.
CHOIR_API std::vector<std::int32_t> lanes_candidates(std::int32_t cores);

struct LanesRate {
  std::int32_t lanes_max = 0;
  double tokens_per_second = 0;
};
// How much faster than the default another layout has to be: less is noise, and would pin a machine
// to whichever layout the noise was kind to.
inline constexpr double kTuningGainMin = 0.05;
// The fastest where it gains more than kTuningGainMin over `cores` lanes, else `cores`. Needs a
// rate for `cores`. Pure.
CHOIR_API std::int32_t choose_lanes(const std::vector<LanesRate>& rates, std::int32_t cores);

}  // namespace choir
