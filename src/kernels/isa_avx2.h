// AVX2 with FMA and F16C as the kernels use it, and with AVX-VNNI where kVnni.
// Included by avx2.cc and avx_vnni.cc only.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace choir::kernels {
namespace {

// Functions: one for each operation on vectors that the templates of the kernels use; none has a
// state.
struct Avx2 {
  static constexpr int kLanes = 8;
  static constexpr int kRowsMax = 4;  // 16 registers: 8 of weights, 4 sums, the rest
  static constexpr int kFloatRowsMax = 4;
  static constexpr int kDotSums = 2;  // of a row of a block
  using Bytes = __m256i;
  using Ints = __m256i;
  using Floats = __m256;

  static Bytes load_bytes(const std::byte* at) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
  }
  static Bytes low_nibbles(Bytes x) { return _mm256_and_si256(x, _mm256_set1_epi8(15)); }
  static Bytes high_nibbles(Bytes x) { return low_nibbles(_mm256_srli_epi16(x, 4)); }
  template <int kLeft>
  static Bytes with_bits(Bytes x, Bytes bits, char mask) {
    Bytes moved = bits;
    if constexpr (kLeft > 0) moved = _mm256_slli_epi16(bits, kLeft);
    if constexpr (kLeft < 0) moved = _mm256_srli_epi16(bits, -kLeft);
    return _mm256_or_si256(x, _mm256_and_si256(moved, _mm256_set1_epi8(mask)));
  }
  static Ints zero_ints() { return _mm256_setzero_si256(); }
  static Ints same_ints(std::int32_t x) { return _mm256_set1_epi32(x); }
  static Ints add(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
#ifdef __AVXVNNI__
  static constexpr bool kAddsShorts = false;
  static Ints dot(Ints sum, Bytes weights, const std::int8_t* four) {
    std::int32_t bits;
    __builtin_memcpy(&bits, four, sizeof bits);
    return _mm256_dpbusd_avx_epi32(sum, weights, _mm256_set1_epi32(bits));
  }
#else
  // One instruction multiplies bytes and adds two products, which stay within 16 bits where weights
  // are below 128. Such sums are added as they are, as long as there is room, before they become 32
  // bits, which takes two instructions more.
  static constexpr bool kAddsShorts = true;
  static Ints pairs(Bytes weights, const std::int8_t* four) {
    std::int32_t bits;
    __builtin_memcpy(&bits, four, sizeof bits);
    return _mm256_maddubs_epi16(weights, _mm256_set1_epi32(bits));
  }
  static Ints add_pairs(Ints sum, Ints pairs) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
#endif
  // Weights of all 8 bits: with 128 added for VNNI, else signed, multiplied without their signs,
  // which keeps sums of two within 16 bits.
#ifdef __AVXVNNI__
  static constexpr bool kSignedWide = false;
  static Bytes wide_weights(Bytes x) { return x; }
  static Ints dot_wide(Ints sum, Bytes weights, const std::int8_t* four) {
    return dot(sum, weights, four);
  }
#else
  static constexpr bool kSignedWide = true;
  static Bytes wide_weights(Bytes x) {
    return _mm256_xor_si256(x, _mm256_set1_epi8(static_cast<char>(0x80)));
  }
  static Ints dot_wide(Ints sum, Bytes weights, const std::int8_t* four) {
    std::int32_t bits;
    __builtin_memcpy(&bits, four, sizeof bits);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights),
                                               _mm256_sign_epi8(_mm256_set1_epi32(bits), weights));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
#endif
  static Ints multiply_ints(Ints a, Ints b) { return _mm256_mullo_epi32(a, b); }
  static Ints pair_ints(Ints a, Ints b) { return _mm256_or_si256(a, _mm256_slli_epi32(b, 16)); }
  static Ints dot_pairs(Ints sum, Ints pairs, const std::int16_t* two) {
    std::int32_t bits;
    __builtin_memcpy(&bits, two, sizeof bits);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi32(bits)));
  }
  static Ints load_unsigned_ints(const std::byte* at) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at)));
  }
  static Ints load_shorts(const std::byte* at) {
    return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
  }
  static Ints load_signed_ints(const std::byte* at) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at)));
  }

  // For tiles.inc: numbers of 16 bits, two in a lane.
  static Ints load_ints(const std::int32_t* at) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
  }
  static void store_bytes(std::byte* at, Bytes x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at), x);
  }
  static Ints multiply_by_power(Ints x, unsigned power) {
    return _mm256_slli_epi32(x, static_cast<int>(power));
  }
  static Ints low_short(Ints x) { return _mm256_and_si256(x, _mm256_set1_epi32(0xFFFF)); }
  static Ints same_shorts(int x) { return _mm256_set1_epi16(static_cast<short>(x)); }
  static Ints multiply_shorts(Ints a, Ints b) { return _mm256_mullo_epi16(a, b); }
  static Ints add_shorts(Ints a, Ints b) { return _mm256_add_epi16(a, b); }
  static Bytes add_bytes(Bytes a, Bytes b) { return _mm256_add_epi8(a, b); }
  static Ints minus_shorts(Ints a, Ints b) { return _mm256_sub_epi16(a, b); }
  template <unsigned kBits>
  static Ints shift_shorts_right(Ints x) {
    return _mm256_srli_epi16(x, kBits);
  }
  template <unsigned kBits>
  static Ints shift_signed_shorts_right(Ints x) {
    return _mm256_srai_epi16(x, kBits);
  }
  template <unsigned kBits>
  static Ints low_of_shorts(Ints x) {
    return _mm256_and_si256(x, same_shorts((1 << kBits) - 1));
  }
  static Ints rounded_128th_shorts(Ints x) {
    return _mm256_srai_epi16(_mm256_add_epi16(x, same_shorts(64)), 7);
  }
  static Ints times_128_shorts(Ints x) { return _mm256_slli_epi16(x, 7); }
  static Ints even_bytes(Bytes x) { return _mm256_and_si256(x, same_shorts(0xFF)); }
  static Ints odd_bytes(Bytes x) { return _mm256_srli_epi16(x, 8); }
  static Ints signed_even_bytes(Bytes x) { return _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8); }
  static Ints signed_odd_bytes(Bytes x) { return _mm256_srai_epi16(x, 8); }
  static Bytes xor_bytes(Bytes a, Bytes b) { return _mm256_xor_si256(a, b); }
  // Numbers with 128 added become signed ones.
  static Bytes turned_high_bits(Bytes x) {
    return xor_bytes(x, _mm256_set1_epi8(static_cast<char>(0x80)));
  }
  static Bytes even_and_odd_bytes(Ints even, Ints odd) {
    return _mm256_or_si256(even_bytes(even), _mm256_slli_epi16(odd, 8));
  }
  static Bytes even_and_odd_high_bytes(Ints even, Ints odd) {
    return _mm256_blendv_epi8(_mm256_srli_epi16(even, 8), odd, same_shorts(0xFF00));
  }

  static Floats to_floats(Ints x) { return _mm256_cvtepi32_ps(x); }

  static Floats zero() { return _mm256_setzero_ps(); }
  static Floats same(float x) { return _mm256_set1_ps(x); }
  static Floats load(const float* at) { return _mm256_loadu_ps(at); }
  static void store(float* at, Floats x) { _mm256_storeu_ps(at, x); }
  static Floats load_halves(const std::byte* at) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
  }
  static Floats load_bfloats(const std::byte* at) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(
        _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))), 16));
  }
  static Floats load_signed(const std::byte* at) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at))));
  }
  static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }

  struct Wide {
    __m256 low;
    __m256 high;
  };
  static Wide wide_zero() { return {zero(), zero()}; }
  static Wide wide_same(float x) { return {same(x), same(x)}; }
  static Wide wide_load(const float* at) { return {load(at), load(at + 8)}; }
  // The first `count` lanes, `rest` in the others.
  static Wide wide_first(Wide x, std::int64_t count, float rest) {
    const __m256i lanes = _mm256_set1_epi32(static_cast<int>(count));
    const auto choose = [&](__m256 y, __m256i lane) {
      return _mm256_blendv_ps(same(rest), y, _mm256_castsi256_ps(_mm256_cmpgt_epi32(lanes, lane)));
    };
    return {choose(x.low, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
            choose(x.high, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
  }
  static void wide_store(float* at, Wide x) {
    store(at, x.low);
    store(at + 8, x.high);
  }
  static void wide_store_halves(std::byte* at, Wide x) {
    auto* to = reinterpret_cast<__m128i*>(at);
    _mm_storeu_si128(to, _mm256_cvtps_ph(x.low, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(to + 1, _mm256_cvtps_ph(x.high, _MM_FROUND_TO_NEAREST_INT));
  }
  // Lanes 0, 0, 2, 2 and so on; 1, 1, 3, 3.
  static Wide wide_even_twice(Wide x) {
    return {_mm256_moveldup_ps(x.low), _mm256_moveldup_ps(x.high)};
  }
  static Wide wide_odd_twice(Wide x) {
    return {_mm256_movehdup_ps(x.low), _mm256_movehdup_ps(x.high)};
  }
  static constexpr bool kTurnsLines = false;
  static Wide wide_halves(const std::byte* at) { return {load_halves(at), load_halves(at + 16)}; }
  static Wide wide_same_half(const std::byte* at) {
    std::int16_t bits;
    __builtin_memcpy(&bits, at, sizeof bits);
    const __m256 half = _mm256_cvtph_ps(_mm_set1_epi16(bits));
    return {half, half};
  }
  static Wide wide_bytes(const std::byte* at) { return {load_signed(at), load_signed(at + 8)}; }
  static Wide wide_from_halves(__m256i x) {
    return {_mm256_cvtph_ps(_mm256_castsi256_si128(x)),
            _mm256_cvtph_ps(_mm256_extracti128_si256(x, 1))};
  }
  static Wide wide_eight_halves(const std::byte* at) { return {load_halves(at), zero()}; }
  static Wide wide_add(Wide a, Wide b) { return {add(a.low, b.low), add(a.high, b.high)}; }
  static Wide wide_minus(Wide a, Wide b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
  }
  static Wide wide_multiply(Wide a, Wide b) {
    return {multiply(a.low, b.low), multiply(a.high, b.high)};
  }
  static Wide wide_divide(Wide a, Wide b) {
    return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
  }
  static Wide wide_max(Wide a, Wide b) {
    return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
  }
  static Wide wide_multiply_add(Wide a, Wide b, Wide c) {
    return {multiply_add(a.low, b.low, c.low), multiply_add(a.high, b.high, c.high)};
  }
  static Wide wide_minus_multiply_add(Wide a, Wide b, Wide c) {
    return {_mm256_fnmadd_ps(a.low, b.low, c.low), _mm256_fnmadd_ps(a.high, b.high, c.high)};
  }
  // x * 2^n, where `shifted` is n + 1.5 * 2^23, and neither is below 2^-126.
  static Wide wide_times_power_of_two(Wide x, Wide shifted) {
    const auto times = [](__m256 y, __m256 n) {
      return _mm256_castsi256_ps(
          _mm256_add_epi32(_mm256_castps_si256(y), _mm256_slli_epi32(_mm256_castps_si256(n), 23)));
    };
    return {times(x.low, shifted.low), times(x.high, shifted.high)};
  }
  // Lane l and the one kApart lanes behind it: their sum in the first, their difference in the
  // other.
  template <int kApart>
  static Wide wide_sums_and_differences(Wide x) {
    if constexpr (kApart == 8) {
      return {add(x.low, x.high), _mm256_sub_ps(x.low, x.high)};
    } else {
      constexpr int kBehind = kApart == 1 ? 0xAA : kApart == 2 ? 0xCC : 0xF0;
      const auto half = [](__m256 y) {
        __m256 other;
        if constexpr (kApart == 1) other = _mm256_permute_ps(y, 0xB1);
        if constexpr (kApart == 2) other = _mm256_permute_ps(y, 0x4E);
        if constexpr (kApart == 4) other = _mm256_permute2f128_ps(y, y, 1);
        return _mm256_blend_ps(add(other, y), _mm256_sub_ps(other, y), kBehind);
      };
      return {half(x.low), half(x.high)};
    }
  }
  static Wide wide_abs(Wide x) {
    const __m256 sign = same(-0.0F);
    return {_mm256_andnot_ps(sign, x.low), _mm256_andnot_ps(sign, x.high)};
  }
  static Wide wide_with_sign(Wide x, Wide s) {
    const __m256 sign = same(-0.0F);
    return {_mm256_or_ps(x.low, _mm256_and_ps(s.low, sign)),
            _mm256_or_ps(x.high, _mm256_and_ps(s.high, sign))};
  }
  static float wide_sum(Wide x) {
    const __m256 eight = add(x.low, x.high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
  }
  static float wide_largest(Wide x) {
    const __m256 eight = _mm256_max_ps(x.low, x.high);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_shuffle_ps(four, four, 1)));
  }

  static float largest_of_32(const float* from) {
    __m256 largest = _mm256_setzero_ps();
    const __m256 sign = _mm256_set1_ps(-0.0F);
    for (int i = 0; i < 4; ++i)
      largest = _mm256_max_ps(largest, _mm256_andnot_ps(sign, _mm256_loadu_ps(from + 8 * i)));
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(largest), _mm256_extractf128_ps(largest, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    four = _mm_max_ss(four, _mm_shuffle_ps(four, four, 1));
    return _mm_cvtss_f32(four);
  }
  // Sums of the first and the last 16 of 32.
  struct Halves {
    std::int32_t low;
    std::int32_t high;
  };
  // from * factor, rounded.
  static Halves round_32(const float* from, float factor, std::int8_t* to) {
    __m256i n[4];
    for (int i = 0; i < 4; ++i)
      n[i] =
          _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(from + 8 * i), _mm256_set1_ps(factor)));
    const auto total = [](__m256i a, __m256i b) {
      const __m256i both = _mm256_add_epi32(a, b);
      __m128i s = _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
      s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4E));
      s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xB1));
      return _mm_cvtsi128_si32(s);
    };
    const __m256i words = _mm256_packs_epi32(n[0], n[1]);
    const __m256i more = _mm256_packs_epi32(n[2], n[3]);
    const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(words, more),
                                                      _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bytes);
    return {total(n[0], n[1]), total(n[2], n[3])};
  }
};

}  // namespace
}  // namespace choir::kernels
