// The passes over a whole vocabulary of logits, vectorised: everything else in the sampler looks at
// few.
//
// Every path gives the same bits: maxima are exact, and sums run in 16 fixed lanes whatever the
// width of a register is, without fused multiply-add. Pure; any thread. NaN counts as -infinity.
#pragma once

#include <cstddef>
#include <span>

#include "choir/ids.h"

namespace choir {

// A token that can still be drawn.
struct Candidate {
  float logit = 0;
  TokenId token = 0;
  float weight = 0;  // its probability over that of the most likely token
};

// One way to make the passes. `x` has `n` floats at any alignment; block b is x[b * block ..), the
// last may be shorter. Needs block > 0.
struct LogitScan {
  const char* name;  // "avx512", "avx2", "base"

  // out: [ceil(n / block)] greatest of each block, and `max` that of all; -infinity where there is
  // no number. False where some x is NaN.
  bool (*block_maxima)(const float* x, std::size_t n, std::size_t block, float* out, float* max);

  // out: [ceil(n / block)] sum of 2^((x - max) * scale) of each block. Needs max >= all x, scale >
  // 0.
  void (*block_weights)(const float* x, std::size_t n, std::size_t block, float max, float scale,
                        double* out);

  // Sets the weight of each to 2^((logit - max) * scale), 0 below 2^-126: what block_weights adds
  // up.
  void (*weigh)(Candidate* candidates, std::size_t n, float max, float scale);

  // Writes those that are >= bound in order, x[i] as token first + i; returns how many. out: [n].
  std::size_t (*collect)(const float* x, std::size_t n, TokenId first, float bound, Candidate* out);

  // The lowest i with x[i] >= bound, or n.
  std::size_t (*first_at_least)(const float* x, std::size_t n, float bound);
};

// The fastest path of this machine.
const LogitScan& logit_scan();

// All paths that this machine can run, for the test that compares them.
std::span<const LogitScan> logit_scans();

}  // namespace choir
