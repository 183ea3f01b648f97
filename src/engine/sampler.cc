#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "engine/philox.h"

namespace choir {
namespace {

constexpr float kNoLogit = -std::numeric_limits<float>::infinity();
constexpr float kLowest = std::numeric_limits<float>::lowest();

constexpr std::size_t kBlock = 256;  // floats; 16 rows of the scan, so that its reduction is small
constexpr std::size_t kGreedyBlock = 1024;  // 4 KiB; only one is looked through again

// Logits after all edits, with the maxima of their blocks in the scratch.
struct Field {
  std::span<const float> logits;
  std::size_t block = kBlock;
  float max = kNoLogit;
  float scale = 1;               // weight = 2^((logit - max) * scale)
  bool settled = false;          // `token` is the answer
  std::optional<TokenId> token;  // none: there is nothing to draw from

  std::size_t blocks() const { return (logits.size() + block - 1) / block; }
};

bool ranks_before(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

double mass(std::span<const Candidate> candidates) {
  double sum = 0;
  for (const Candidate& c : candidates) sum += static_cast<double>(c.weight);
  return sum;
}

bool limits_k(const Sampling& sampling, std::size_t vocab_tokens) {
  return sampling.top_k > 0 && static_cast<std::size_t>(sampling.top_k) < vocab_tokens;
}

// Large blocks make a short list of maxima, but it must have some more than k for a close bound.
std::size_t block_for(const Sampling& sampling, std::size_t vocab_tokens) {
  if (!limits_k(sampling, vocab_tokens)) return kBlock;
  const auto wanted = 4 * static_cast<std::size_t>(sampling.top_k);
  std::size_t block = kGreedyBlock;
  while (block > 16 && vocab_tokens / block < wanted) block /= 2;
  return block;
}

// Sets the maximum; false where a logit is NaN.
bool find_max(Field& field, SamplerScratch& scratch) {
  const LogitScan& scan = logit_scan();
  if (scratch.block_max.size() < field.blocks()) scratch.block_max.resize(field.blocks());
  return scan.block_maxima(field.logits.data(), field.logits.size(), field.block,
                           scratch.block_max.data(), &field.max);
}

TokenId argmax(const Field& field, const SamplerScratch& scratch) {
  const LogitScan& scan = logit_scan();
  const std::size_t block =
      scan.first_at_least(scratch.block_max.data(), field.blocks(), field.max);
  const auto rest = field.logits.subspan(block * field.block);
  return static_cast<TokenId>(block * field.block +
                              scan.first_at_least(rest.data(), rest.size(), field.max));
}

Field prepare(std::span<float> logits, const Sampling& sampling, std::span<const TokenId> recent,
              SamplerScratch& scratch) {
  Field field;
  field.logits = logits;
  field.settled = logits.empty() || !(sampling.temperature > 0) || sampling.top_k == 1;
  if (logits.empty()) return field;
  field.block = field.settled ? kGreedyBlock : block_for(sampling, logits.size());

  edit_logits(logits, sampling, recent, scratch.edits);
  bool numbers = find_max(field, scratch);
  if (numbers && field.max == kNoLogit) {
    undo_edits(logits, scratch.edits);
    numbers = find_max(field, scratch);
    field.settled = true;
  }
  if (!numbers || field.max == kNoLogit) {
    field.settled = true;
    return field;
  }
  if (field.settled) field.token = argmax(field, scratch);
  constexpr float kLog2E = 1.44269504F;
  field.scale = kLog2E / sampling.temperature;
  return field;
}

// All with logit >= bound in id order. Weights are not set yet.
std::span<Candidate> collect(const Field& field, float bound, SamplerScratch& scratch) {
  const LogitScan& scan = logit_scan();
  if (scratch.blocks.size() < field.blocks()) scratch.blocks.resize(field.blocks());
  const std::size_t blocks =
      scan.collect(scratch.block_max.data(), field.blocks(), 0, bound, scratch.blocks.data());

  std::size_t count = 0;
  for (std::size_t i = 0; i < blocks; ++i) {
    const std::size_t begin = static_cast<std::size_t>(scratch.blocks[i].token) * field.block;
    const std::size_t length = std::min(field.block, field.logits.size() - begin);
    auto& room = scratch.candidates;  // only grows: making it smaller would clear it again
    if (room.size() < count + length) room.resize(std::max(count + length, 2 * room.size()));
    count += scan.collect(field.logits.data() + begin, length, static_cast<TokenId>(begin), bound,
                          room.data() + count);
  }
  return std::span(scratch.candidates).first(count);
}

void weigh(const Field& field, std::span<Candidate> candidates) {
  logit_scan().weigh(candidates.data(), candidates.size(), field.max, field.scale);
}

// min_p in logits: p >= min_p * p_max.
float min_p_bound(const Field& field, const Sampling& sampling) {
  if (!(sampling.min_p > 0)) return kLowest;
  const double below =
      std::log(static_cast<double>(sampling.min_p)) * static_cast<double>(sampling.temperature);
  return std::min(field.max + static_cast<float>(below), field.max);
}

// The k that rank first, in no order. The k-th greatest of the block maxima bounds them from below:
// at least k logits are as great.
std::span<Candidate> top_k(const Field& field, std::size_t k, SamplerScratch& scratch) {
  float bound = kLowest;
  if (field.blocks() >= k) {
    auto& ranked = scratch.ranked_max;
    ranked.assign(scratch.block_max.begin(),
                  scratch.block_max.begin() + static_cast<std::ptrdiff_t>(field.blocks()));
    const auto kth = ranked.begin() + static_cast<std::ptrdiff_t>(k - 1);
    std::nth_element(ranked.begin(), kth, ranked.end(), std::greater<>());
    bound = *kth;
  }
  const auto found = collect(field, bound, scratch);
  if (found.size() <= k) return found;
  std::nth_element(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(k), found.end(),
                   ranks_before);
  return found.first(k);
}

// The fewest that rank first and together weigh `target`; all where they weigh less. Halves the
// range that holds the last of them, so even a flat vocabulary is not sorted: O(n).
// TODO(perf): 30 ns a token there; a histogram of weights would cut the flat case by about five.
std::span<Candidate> top_mass(std::span<Candidate> candidates, double target) {
  constexpr std::size_t kSortMax = 64;  // below, a sort costs no more than another halving
  std::size_t begin = 0;                // what is before is in
  std::size_t end = candidates.size();  // what is behind is out
  double kept = 0;
  const auto at = [&](std::size_t i) {
    return candidates.begin() + static_cast<std::ptrdiff_t>(i);
  };
  while (end - begin > kSortMax) {
    const std::size_t middle = begin + (end - begin) / 2;
    std::nth_element(at(begin), at(middle), at(end), ranks_before);
    const double upper = mass(candidates.subspan(begin, middle - begin));
    if (kept + upper >= target) {
      end = middle;
    } else {
      kept += upper;
      begin = middle;
    }
  }
  std::sort(at(begin), at(end), ranks_before);
  while (begin < end && kept < target) kept += static_cast<double>(candidates[begin++].weight);
  return candidates.first(std::max<std::size_t>(begin, 1));
}

// top_p of the whole vocabulary, never below `floor`. Looks at ever more of the best until they
// hold the mass; a distance that is too far costs at most eight times the tokens needed.
std::span<Candidate> top_p(const Field& field, double p, float floor, SamplerScratch& scratch) {
  if (scratch.block_weight.size() < field.blocks()) scratch.block_weight.resize(field.blocks());
  logit_scan().block_weights(field.logits.data(), field.logits.size(), field.block, field.max,
                             field.scale, scratch.block_weight.data());
  double target = 0;
  for (std::size_t i = 0; i < field.blocks(); ++i) target += scratch.block_weight[i];
  target *= p;

  constexpr float kReachMax =
      127;  // powers of two below the maximum; further down nothing has weight
  for (float reach = 4;; reach = std::min(reach + 3, kReachMax)) {
    const float bound = std::max(field.max - reach / field.scale, floor);
    const auto found = collect(field, bound, scratch);
    weigh(field, found);
    if (mass(found) >= target || reach == kReachMax || bound == floor)
      return top_mass(found, target);
  }
}

bool takes_all(const Sampling& sampling, std::size_t vocab_tokens) {
  return !limits_k(sampling, vocab_tokens) && sampling.top_p >= 1 && !(sampling.min_p > 0);
}

std::span<Candidate> survivors(const Field& field, const Sampling& sampling,
                               SamplerScratch& scratch) {
  const float floor = min_p_bound(field, sampling);
  const auto p = static_cast<double>(sampling.top_p);
  if (!limits_k(sampling, field.logits.size())) {
    if (p < 1) return top_p(field, p, floor, scratch);
    const auto found = collect(field, floor, scratch);
    weigh(field, found);
    return found;
  }
  auto found = top_k(field, static_cast<std::size_t>(sampling.top_k), scratch);
  weigh(field, found);
  if (p < 1) found = top_mass(found, p * mass(found));
  const auto cut = std::remove_if(found.begin(), found.end(),
                                  [&](const Candidate& c) { return c.logit < floor; });
  return found.first(static_cast<std::size_t>(cut - found.begin()));
}

// The first at which the sum passes `target`. Rounding may leave a little: then the last that
// weighs.
TokenId walk(std::span<const Candidate> candidates, double target) {
  double sum = 0;
  TokenId last = candidates.front().token;
  for (const Candidate& c : candidates) {
    if (!(c.weight > 0)) continue;
    sum += static_cast<double>(c.weight);
    last = c.token;
    if (sum > target) break;
  }
  return last;
}

// The same draw over the whole vocabulary: finds the block first, then walks through that one.
TokenId draw_from_all(const Field& field, double uniform, SamplerScratch& scratch) {
  auto& weights = scratch.block_weight;
  if (weights.size() < field.blocks()) weights.resize(field.blocks());
  const LogitScan& scan = logit_scan();
  scan.block_weights(field.logits.data(), field.logits.size(), field.block, field.max, field.scale,
                     weights.data());
  double target = 0;
  for (std::size_t i = 0; i < field.blocks(); ++i) target += weights[i];
  target *= uniform;

  std::size_t chosen = 0;
  for (std::size_t i = 0; i < field.blocks(); ++i) {
    if (!(weights[i] > 0)) continue;
    chosen = i;
    if (weights[i] > target) break;
    target -= weights[i];
  }
  const auto block = field.logits.subspan(chosen * field.block)
                         .first(std::min(field.block, field.logits.size() - chosen * field.block));
  if (scratch.candidates.size() < block.size()) scratch.candidates.resize(block.size());
  const std::size_t count =
      scan.collect(block.data(), block.size(), static_cast<TokenId>(chosen * field.block), kLowest,
                   scratch.candidates.data());
  const auto found = std::span(scratch.candidates).first(count);
  weigh(field, found);
  return walk(found, target);
}

}  // namespace

double uniform_at(const SamplePoint& point) {
  const auto low = static_cast<std::uint32_t>(point.seed & 0xFFFFFFFF);
  const auto high = static_cast<std::uint32_t>(point.seed >> 32);
  const auto words = philox4x32({point.position, point.stream, 0, 0}, {low, high});
  const std::uint64_t bits =
      (std::uint64_t{words[0]} << 32 | words[1]) >> 11;  // as many as a double has
  return static_cast<double>(bits) * 0x1p-53;
}

std::optional<TokenId> sample(std::span<float> logits, const Sampling& sampling,
                              std::span<const TokenId> recent, const SamplePoint& point,
                              SamplerScratch& scratch) {
  const Field field = prepare(logits, sampling, recent, scratch);
  if (field.settled) return field.token;
  const double uniform = uniform_at(point);
  if (takes_all(sampling, logits.size())) return draw_from_all(field, uniform, scratch);
  const auto found = survivors(field, sampling, scratch);
  return walk(found, uniform * mass(found));
}

std::span<const Candidate> candidates_of(std::span<float> logits, const Sampling& sampling,
                                         std::span<const TokenId> recent, SamplerScratch& scratch) {
  const Field field = prepare(logits, sampling, recent, scratch);
  if (!field.settled) return survivors(field, sampling, scratch);
  if (!field.token) return {};
  scratch.candidates.resize(std::max<std::size_t>(scratch.candidates.size(), 1));
  scratch.candidates[0] = {field.max, *field.token, 1};
  return std::span(scratch.candidates).first(1);
}

}  // namespace choir
