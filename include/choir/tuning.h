// How the cores of this machine are best divided into lanes (a lane is a thread with a fixed set of
// cores that computes one model at a time): the result of `choir tune`, where it is stored, and how
// a result is chosen from measurements.
//
// The result is one small file in the cache folder. A node whose config does not set lanes_max
// reads it when it is created, and uses it only on the machine on which it was measured.
//
// Threads: any thread may call. find_tuning(), keep_tuning() and forget_tuning() access that file;
// the other calls do not block.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "choir/export.h"
#include "choir/machine.h"
#include "choir/result.h"

namespace choir {

struct Tuning {
  std::string cpu;             // Machine::cpu of the machine that was measured
  std::int32_t cores = 0;      // Machine::cores of that machine
  std::string choir;           // Version::choir of the program that measured
  std::int32_t lanes_max = 0;  // NodeConfig::lanes_max, 1 .. cores
  bool operator==(const Tuning&) const = default;
};

struct FoundTuning {
  enum class State : std::uint8_t {
    kNone,       // there is no result: never tuned, or forgotten
    kUsed,       // a result for this machine
    kElsewhere,  // ignored: a result for another CPU, number of cores or version
    kBroken,     // ignored: the file is not one that keep_tuning() writes
  };
  State state = State::kNone;
  Tuning tuning;    // set for kUsed and kElsewhere
  std::string why;  // set for kElsewhere and kBroken: a sentence
  bool operator==(const FoundTuning&) const = default;
};

// The path of the file: tuning.json in CHOIR_CACHE, else XDG_CACHE_HOME/choir, else ~/.cache/choir.
// Empty: there is no such folder.
CHOIR_API std::string tuning_path();
// The result that a node would use that takes all cores of `machine`.
CHOIR_API FoundTuning find_tuning(const Machine& machine, const Version& version);
// Stores a result, and creates the folder if necessary. A reader sees either the old file or the
// new one. kUnavailable if it cannot be written.
CHOIR_API Status keep_tuning(const Tuning& tuning);
// Removes the stored result; true if there was one. kUnavailable if it cannot be removed.
CHOIR_API Result<bool> forget_tuning();

// The values of lanes_max that are worth measuring: the powers of two below `cores`, and `cores`,
// which is the default. Needs cores >= 1. Pure.
CHOIR_API std::vector<std::int32_t> lanes_candidates(std::int32_t cores);

struct LanesRate {
  std::int32_t lanes_max = 0;
  double tokens_per_second = 0;
};
// By how much another layout must be faster than the default to be chosen. A smaller difference is
// noise, and would bind a machine to a layout by chance.
inline constexpr double kTuningGainMin = 0.05;
// The lanes_max with the highest rate if it is faster than `cores` lanes by more than
// kTuningGainMin, otherwise `cores`. Needs a rate for `cores`. Pure.
CHOIR_API std::int32_t choose_lanes(const std::vector<LanesRate>& rates, std::int32_t cores);

}  // namespace choir
