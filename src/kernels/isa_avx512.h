// AVX-512 with VNNI as the kernels use it. Included by avx512.cc only, which is compiled for it.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace choir::kernels {
namespace {

// Functions: one for each operation on vectors that the templates of the kernels use; none has a
// state.
struct Avx512 {
  static constexpr int kLanes = 16;
  static constexpr int kRowsMax = 16;      // of a tile: 16 sums, 8 vectors of weights, the rest
  static constexpr int kFloatRowsMax = 8;  // three sums each
  static constexpr int kDotSums = 1;       // of a row of a block: 16 rows are chains enough
  static constexpr bool kAddsShorts = false;
  using Bytes = __m512i;
  using Ints = __m512i;
  using Floats = __m512;

  static Bytes load_bytes(const std::byte* at) { return _mm512_loadu_si512(at); }
  static Bytes low_nibbles(Bytes x) { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
  static Bytes high_nibbles(Bytes x) { return low_nibbles(_mm512_srli_epi16(x, 4)); }
  // x | (bits moved left by kLeft) & mask; negative: right.
  template <int kLeft>
  static Bytes with_bits(Bytes x, Bytes bits, char mask) {
    Bytes moved = bits;
    if constexpr (kLeft > 0) moved = _mm512_slli_epi16(bits, static_cast<unsigned>(kLeft));
    if constexpr (kLeft < 0) moved = _mm512_srli_epi16(bits, static_cast<unsigned>(-kLeft));
    return _mm512_ternarylogic_epi32(x, moved, _mm512_set1_epi8(mask), 0xF8);  // x | (moved & mask)
  }
  static Ints zero_ints() { return _mm512_setzero_si512(); }
  static Ints same_ints(std::int32_t x) { return _mm512_set1_epi32(x); }
  static Ints add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
  // Four products of unsigned weights and signed activations in each lane. Written out, because the
  // compiler loads what is the same for all lanes with an instruction of its own: 10 % of a
  // product.
  static Ints dot(Ints sum, Bytes weights, const std::int8_t* four) {
    using Four = std::int8_t[4];
    asm("vpdpbusd %2%{1to16%}, %1, %0"
        : "+v"(sum)
        : "v"(weights), "m"(*reinterpret_cast<const Four*>(four)));
    return sum;
  }
  // Weights of all 8 bits, with 128 added.
  static constexpr bool kSignedWide = false;
  static Bytes wide_weights(Bytes x) { return x; }
  static Ints dot_wide(Ints sum, Bytes weights, const std::int8_t* four) {
    return dot(sum, weights, four);
  }
  // Times, where the product has 32 bits. Two blocks' numbers of 16 bits each, and the sum of their
  // products with two of activations.
  static Ints multiply_ints(Ints a, Ints b) { return _mm512_mullo_epi32(a, b); }
  static Ints pair_ints(Ints a, Ints b) { return _mm512_or_si512(a, _mm512_slli_epi32(b, 16)); }
  static Ints dot_pairs(Ints sum, Ints pairs, const std::int16_t* two) {
    std::int32_t bits;
    __builtin_memcpy(&bits, two, sizeof bits);
    return _mm512_dpwssd_epi32(sum, pairs, _mm512_set1_epi32(bits));
  }
  static Ints load_unsigned_ints(const std::byte* at) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
  }
  static Ints load_shorts(const std::byte* at) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
  }
  static Ints load_signed_ints(const std::byte* at) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
  }

  // For tiles.inc: numbers of 16 bits, two in a lane.
  static Ints load_ints(const std::int32_t* at) { return _mm512_loadu_si512(at); }
  static void store_bytes(std::byte* at, Bytes x) { _mm512_storeu_si512(at, x); }
  static Ints multiply_by_power(Ints x, unsigned power) { return _mm512_slli_epi32(x, power); }
  static Ints low_short(Ints x) { return _mm512_and_si512(x, _mm512_set1_epi32(0xFFFF)); }
  static Ints same_shorts(int x) { return _mm512_set1_epi16(static_cast<short>(x)); }
  static Ints multiply_shorts(Ints a, Ints b) { return _mm512_mullo_epi16(a, b); }
  static Ints add_shorts(Ints a, Ints b) { return _mm512_add_epi16(a, b); }
  static Bytes add_bytes(Bytes a, Bytes b) { return _mm512_add_epi8(a, b); }
  static Ints minus_shorts(Ints a, Ints b) { return _mm512_sub_epi16(a, b); }
  template <unsigned kBits>
  static Ints shift_shorts_right(Ints x) {
    return _mm512_srli_epi16(x, kBits);
  }
  template <unsigned kBits>
  static Ints shift_signed_shorts_right(Ints x) {
    return _mm512_srai_epi16(x, kBits);
  }
  template <unsigned kBits>
  static Ints low_of_shorts(Ints x) {
    return _mm512_and_si512(x, same_shorts((1 << kBits) - 1));
  }
  static Ints rounded_128th_shorts(Ints x) {
    return _mm512_srai_epi16(_mm512_add_epi16(x, same_shorts(64)), 7);
  }
  static Ints times_128_shorts(Ints x) { return _mm512_slli_epi16(x, 7); }
  static Ints even_bytes(Bytes x) { return _mm512_and_si512(x, same_shorts(0xFF)); }
  static Ints odd_bytes(Bytes x) { return _mm512_srli_epi16(x, 8); }
  static Ints signed_even_bytes(Bytes x) { return _mm512_srai_epi16(_mm512_slli_epi16(x, 8), 8); }
  static Ints signed_odd_bytes(Bytes x) { return _mm512_srai_epi16(x, 8); }
  static Bytes xor_bytes(Bytes a, Bytes b) { return _mm512_xor_si512(a, b); }
  // Numbers with 128 added become signed ones.
  static Bytes turned_high_bits(Bytes x) {
    return xor_bytes(x, _mm512_set1_epi8(static_cast<char>(0x80)));
  }
  static Bytes even_and_odd_bytes(Ints even, Ints odd) {
    return _mm512_or_si512(even_bytes(even), _mm512_slli_epi16(odd, 8));
  }
  static Bytes even_and_odd_high_bytes(Ints even, Ints odd) {
    return _mm512_mask_blend_epi8(0xAAAAAAAAAAAAAAAAU, _mm512_srli_epi16(even, 8), odd);
  }

  static Floats to_floats(Ints x) { return _mm512_cvtepi32_ps(x); }

  static Floats zero() { return _mm512_setzero_ps(); }
  static Floats same(float x) { return _mm512_set1_ps(x); }
  static Floats load(const float* at) { return _mm512_loadu_ps(at); }
  static void store(float* at, Floats x) { _mm512_storeu_ps(at, x); }
  static Floats load_halves(const std::byte* at) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
  }
  static Floats load_bfloats(const std::byte* at) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at))), 16));
  }
  static Floats load_signed(const std::byte* at) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))));
  }
  static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }

  // 16 floats, on every instruction set.
  using Wide = __m512;
  static Wide wide_zero() { return _mm512_setzero_ps(); }
  static Wide wide_same(float x) { return _mm512_set1_ps(x); }
  static Wide wide_load(const float* at) { return _mm512_loadu_ps(at); }
  // The first `count` lanes, `rest` in the others.
  static Wide wide_first(Wide x, std::int64_t count, float rest) {
    return _mm512_mask_mov_ps(_mm512_set1_ps(rest), static_cast<__mmask16>((1 << count) - 1), x);
  }
  static void wide_store(float* at, Wide x) { _mm512_storeu_ps(at, x); }
  static void wide_store_halves(std::byte* at, Wide x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(at),
                        _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
  }
  // Lanes 0, 0, 2, 2 and so on; 1, 1, 3, 3.
  static Wide wide_even_twice(Wide x) { return _mm512_moveldup_ps(x); }
  static Wide wide_odd_twice(Wide x) { return _mm512_movehdup_ps(x); }
  static Wide wide_halves(const std::byte* at) { return load_halves(at); }
  static Wide wide_same_half(const std::byte* at) {
    std::int16_t bits;
    __builtin_memcpy(&bits, at, sizeof bits);
    return _mm512_cvtph_ps(_mm256_set1_epi16(bits));
  }
  static Wide wide_bytes(const std::byte* at) { return load_signed(at); }
  static Wide wide_from_halves(__m256i x) { return _mm512_cvtph_ps(x); }
  // Sixteen rows of 32 halves to columns of 16: column 8l + i is the l-th of the four at 128 i.
  static constexpr bool kTurnsLines = true;
  static void turn_lines(const std::byte* const* rows, std::size_t offset, std::byte* to) {
    __m512i low[8];
    __m512i high[8];
    turn_eight_lines(rows, offset, low);
    turn_eight_lines(rows + 8, offset, high);
    const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    const __m512i second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      _mm512_storeu_si512(to + 128 * i, _mm512_permutex2var_epi64(low[i], first, high[i]));
      _mm512_storeu_si512(to + 128 * i + 64, _mm512_permutex2var_epi64(low[i], second, high[i]));
    }
  }
  // Lane l of out[i], of four, has column 8l + i of eight rows.
  static void turn_eight_lines(const std::byte* const* rows, std::size_t offset, __m512i* out) {
    __m512i x[8];
    __m512i y[8];
    const auto halfway = [](const __m512i* from, __m512i* to) __attribute__((always_inline)) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        to[2 * i] = _mm512_unpacklo_epi16(from[i], from[i + 4]);
        to[2 * i + 1] = _mm512_unpackhi_epi16(from[i], from[i + 4]);
      }
    };
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) x[i] = _mm512_loadu_si512(rows[i] + offset);
    halfway(x, y);
    halfway(y, x);
    halfway(x, out);
  }
  static Wide wide_eight_halves(const std::byte* at) {
    return _mm512_cvtph_ps(
        _mm256_zextsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))));
  }
  static Wide wide_add(Wide a, Wide b) { return _mm512_add_ps(a, b); }
  static Wide wide_minus(Wide a, Wide b) { return _mm512_sub_ps(a, b); }
  static Wide wide_multiply(Wide a, Wide b) { return _mm512_mul_ps(a, b); }
  static Wide wide_divide(Wide a, Wide b) { return _mm512_div_ps(a, b); }
  static Wide wide_max(Wide a, Wide b) { return _mm512_max_ps(a, b); }
  static Wide wide_multiply_add(Wide a, Wide b, Wide c) { return _mm512_fmadd_ps(a, b, c); }
  static Wide wide_minus_multiply_add(Wide a, Wide b, Wide c) { return _mm512_fnmadd_ps(a, b, c); }
  // x * 2^n, where `shifted` is n + 1.5 * 2^23, and neither is below 2^-126.
  static Wide wide_times_power_of_two(Wide x, Wide shifted) {
    return _mm512_castsi512_ps(_mm512_add_epi32(
        _mm512_castps_si512(x), _mm512_slli_epi32(_mm512_castps_si512(shifted), 23)));
  }
  // Lane l and the one kApart lanes behind it: their sum in the first, their difference in the
  // other.
  template <int kApart>
  static Wide wide_sums_and_differences(Wide x) {
    Wide other;
    if constexpr (kApart == 1) other = _mm512_permute_ps(x, 0xB1);
    if constexpr (kApart == 2) other = _mm512_permute_ps(x, 0x4E);
    if constexpr (kApart == 4) other = _mm512_shuffle_f32x4(x, x, 0xB1);
    if constexpr (kApart == 8) other = _mm512_shuffle_f32x4(x, x, 0x4E);
    constexpr __mmask16 kBehind = kApart == 1   ? 0xAAAA
                                  : kApart == 2 ? 0xCCCC
                                  : kApart == 4 ? 0xF0F0
                                                : 0xFF00;
    return _mm512_mask_sub_ps(_mm512_add_ps(other, x), kBehind, other, x);
  }
  static Wide wide_abs(Wide x) { return _mm512_abs_ps(x); }
  static Wide wide_with_sign(Wide x, Wide sign) {
    const __m512i mask = _mm512_set1_epi32(static_cast<int>(0x80000000U));
    return _mm512_castsi512_ps(
        _mm512_or_si512(_mm512_castps_si512(x), _mm512_and_si512(_mm512_castps_si512(sign), mask)));
  }
  static __m256 fold8(Wide x) {
    return _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  }
  static float wide_sum(Wide x) {
    const __m256 eight = fold8(x);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
  }
  static float wide_largest(Wide x) { return _mm512_reduce_max_ps(x); }

  static float largest_of_32(const float* from) {
    const __m512 largest = _mm512_max_ps(_mm512_abs_ps(_mm512_loadu_ps(from)),
                                         _mm512_abs_ps(_mm512_loadu_ps(from + 16)));
    return _mm512_reduce_max_ps(largest);
  }
  // Sums of the first and the last 16 of 32.
  struct Halves {
    std::int32_t low;
    std::int32_t high;
  };
  // from * factor, rounded.
  static Halves round_32(const float* from, float factor, std::int8_t* to) {
    const __m512 by = _mm512_set1_ps(factor);
    const __m512i low = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(from), by));
    const __m512i high = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(from + 16), by));
    const __m256i bytes = _mm256_set_m128i(_mm512_cvtsepi32_epi8(high), _mm512_cvtsepi32_epi8(low));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bytes);
    __m256i sums = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), bytes);
    sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0x4E));
    sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0xB1));
    return {_mm256_extract_epi32(sums, 0), _mm256_extract_epi32(sums, 4)};
  }
};

}  // namespace
}  // namespace choir::kernels
