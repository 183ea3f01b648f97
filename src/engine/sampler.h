// Draws the next token: pure, deterministic, without sorting the vocabulary.
//
// Order: penalties, logit bias, temperature, top_k, top_p, min_p; greedy (lowest id on a tie) at
// temperature 0. Random numbers are counter-based (seed, stream, position), so a token is the same
// after a retry, a suspend or a migration. Source of the generator: Philox 4x32-10, Salmon et al.
// 2011.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "choir/ids.h"
#include "choir/request.h"
#include "engine/logit_edits.h"
#include "engine/logit_scan.h"

namespace choir {

// Memory of one thread that samples; reused, so that the steady state does not allocate. Its
// contents mean nothing between calls, except that of candidates_of() until the next.
struct SamplerScratch {
  std::vector<Candidate> candidates;
  std::vector<Candidate> blocks;  // those that hold a candidate
  std::vector<float> block_max;
  std::vector<float> ranked_max;
  std::vector<double> block_weight;
  LogitEdits edits;
};

struct SamplePoint {
  std::uint64_t seed = 0;
  std::uint32_t stream = 0;    // Sequence::stream_index
  std::uint32_t position = 0;  // of the token that is drawn
};

// A number in [0, 1), the same for the same point on every machine.
double uniform_at(const SamplePoint& point);

// logits: [vocab_tokens], changed in place (penalties and bias). recent: all known tokens of the
// sequence, oldest first; the last repeat_last_n count. nullopt where the model gave nothing to
// draw from: one logit is NaN, or all are -infinity. If the edits leave nothing, the answer is the
// greatest of what the model gave. Tokens at +infinity share the draw. Cost: two vectorisable
// passes over the logits, then work on the few that can win. `./dev bench sampler` shows the times.
std::optional<TokenId> sample(std::span<float> logits, const Sampling& sampling,
                              std::span<const TokenId> recent, const SamplePoint& point,
                              SamplerScratch& scratch);

// The tokens that sample() chooses from, in the order in which it walks through them: it takes the
// first where the sum of weights passes uniform_at(point) * (sum of all). Greedy has one; logits
// that sample() refuses have none. A weight may be 0, and then the token is never drawn. In
// `scratch`, gone at the next call; logits are changed as by sample().
std::span<const Candidate> candidates_of(std::span<float> logits, const Sampling& sampling,
                                         std::span<const TokenId> recent, SamplerScratch& scratch);

}  // namespace choir
