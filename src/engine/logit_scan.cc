#include "engine/logit_scan.h"

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <limits>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// A fused multiply-add rounds once where the other paths round twice.
#if defined(__clang__)
#pragma clang fp contract(off)
#define CHOIR_UNFUSED
#else
#define CHOIR_UNFUSED optimize("O3", "fp-contract=off")
#endif

namespace choir {
namespace {

constexpr std::size_t kLanes = 16;  // the floats of the widest register
constexpr float kNothing = -std::numeric_limits<float>::infinity();

// 2^f for f in -0.5 .. 0.5, relative error 2e-7. Source: Cephes exp2f, Moshier.
constexpr float kExp2[] = {1.535336188319500e-4F,
                           1.339887440266574e-3F,
                           9.618437357674640e-3F,
                           5.550332471162809e-2F,
                           2.402264791363012e-1F,
                           6.931472028550421e-1F,
                           1.0F};
constexpr float kRound =
    12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number, in the low bits
constexpr std::uint32_t kOneBits = 0x3F800000;  // 1.0F
constexpr float kExponentMin = -126.0F;         // of normal floats; what is below weighs nothing

using Quad = float __attribute__((vector_size(16)));
using QuadBits = std::uint32_t __attribute__((vector_size(16)));

namespace base {
#define KERNEL __attribute__((CHOIR_UNFUSED))
#define WIDE Quad
#define WIDE_BITS QuadBits
KERNEL inline WIDE wide_load(const float* x) {
  WIDE wide;
  std::memcpy(&wide, x, sizeof wide);
  return wide;
}
KERNEL inline unsigned mask_at_least(const float* row, float bound) {
  unsigned mask = 0;
#if defined(__x86_64__)
  for (unsigned i = 0; i < kLanes; i += 4)
    mask |= static_cast<unsigned>(
                _mm_movemask_ps(_mm_cmpge_ps(_mm_loadu_ps(row + i), _mm_set1_ps(bound))))
            << i;
#else
  for (unsigned i = 0; i < kLanes; ++i) mask |= static_cast<unsigned>(row[i] >= bound) << i;
#endif
  return mask;
}
#include "engine/logit_scan.inc"
#undef KERNEL
#undef WIDE
#undef WIDE_BITS
}  // namespace base

#if defined(__x86_64__)
namespace avx2 {
using Wide = float __attribute__((vector_size(32)));
using WideBits = std::uint32_t __attribute__((vector_size(32)));
#define KERNEL __attribute__((target("avx2,bmi"), CHOIR_UNFUSED))
#define WIDE Wide
#define WIDE_BITS WideBits
KERNEL inline WIDE wide_load(const float* x) { return _mm256_loadu_ps(x); }
KERNEL inline unsigned mask_at_least(const float* row, float bound) {
  const __m256 wanted = _mm256_set1_ps(bound);
  const int low = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(row), wanted, _CMP_GE_OQ));
  const int high = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(row + 8), wanted, _CMP_GE_OQ));
  return static_cast<unsigned>(low) | static_cast<unsigned>(high) << 8;
}
#include "engine/logit_scan.inc"
#undef KERNEL
#undef WIDE
#undef WIDE_BITS
}  // namespace avx2

namespace avx512 {
using Wide = float __attribute__((vector_size(64)));
using WideBits = std::uint32_t __attribute__((vector_size(64)));
#define KERNEL __attribute__((target("avx512f,bmi"), CHOIR_UNFUSED))
#define WIDE Wide
#define WIDE_BITS WideBits
KERNEL inline WIDE wide_load(const float* x) { return _mm512_loadu_ps(x); }
KERNEL inline unsigned mask_at_least(const float* row, float bound) {
  return _mm512_cmp_ps_mask(_mm512_loadu_ps(row), _mm512_set1_ps(bound), _CMP_GE_OQ);
}
#include "engine/logit_scan.inc"
#undef KERNEL
#undef WIDE
#undef WIDE_BITS
}  // namespace avx512
#endif

struct Paths {
  std::array<LogitScan, 3> scans{};  // fastest first
  std::size_t count = 0;
  void add(const LogitScan& scan) { scans.at(count++) = scan; }
};

Paths find_paths() {
  Paths paths;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("bmi"))
    paths.add({"avx512", avx512::block_maxima, avx512::block_weights, avx512::weigh,
               avx512::collect, avx512::first_at_least});
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi"))
    paths.add({"avx2", avx2::block_maxima, avx2::block_weights, avx2::weigh, avx2::collect,
               avx2::first_at_least});
#endif
  paths.add({"base", base::block_maxima, base::block_weights, base::weigh, base::collect,
             base::first_at_least});
  return paths;
}

const Paths& paths() {
  static const Paths found = find_paths();
  return found;
}

}  // namespace

const LogitScan& logit_scan() { return paths().scans[0]; }

std::span<const LogitScan> logit_scans() { return {paths().scans.data(), paths().count}; }

}  // namespace choir
