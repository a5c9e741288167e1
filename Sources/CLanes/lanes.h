/* What Swift has no word for: a comparison of vectors as bits of an integer, and a rotation. Inlined where they are called. */
#ifndef GATEWATCH_LANES_H
#define GATEWATCH_LANES_H

#include <stdint.h>
#include <string.h>

/* SIMD16<UInt8> in Swift. */
typedef uint8_t lanes16 __attribute__((ext_vector_type(16)));

#if defined(__SSE2__)
#include <emmintrin.h>

/* Offset of the first of the 32 bytes at `p` that is the byte repeated in `a` or the one in `b`; 32 when none is. */
static inline __attribute__((always_inline)) uint32_t lanes_first_of_either(const uint8_t *p, lanes16 a, lanes16 b) {
  const __m128i va = (__m128i)a, vb = (__m128i)b;
  const __m128i low = _mm_loadu_si128((const __m128i *)p), high = _mm_loadu_si128((const __m128i *)(p + 16));
  const uint32_t l = (uint32_t)_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(low, va), _mm_cmpeq_epi8(low, vb)));
  const uint32_t h = (uint32_t)_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(high, va), _mm_cmpeq_epi8(high, vb)));
  return (uint32_t)__builtin_ctzll((uint64_t)l | (uint64_t)h << 16 | UINT64_C(1) << 32);
}

/* Which of the 32 bytes at `a` and `b` are equal: a bit for each. */
static inline __attribute__((always_inline)) uint32_t lanes_equal(const uint8_t *a, const uint8_t *b) {
  const __m128i low = _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)a), _mm_loadu_si128((const __m128i *)b));
  const __m128i high =
    _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(a + 16)), _mm_loadu_si128((const __m128i *)(b + 16)));
  return (uint32_t)_mm_movemask_epi8(low) | (uint32_t)_mm_movemask_epi8(high) << 16;
}

#else

static inline __attribute__((always_inline)) uint32_t lanes_first_of_either(const uint8_t *p, lanes16 a, lanes16 b) {
  const uint64_t ones = UINT64_C(0x0101010101010101), highs = UINT64_C(0x8080808080808080);
  for (uint32_t i = 0; i < 32; i += 8) {
    uint64_t word;
    memcpy(&word, p + i, 8);
    const uint64_t x = word ^ a[0] * ones, y = word ^ b[0] * ones;
    const uint64_t marks = (((x - ones) & ~x) | ((y - ones) & ~y)) & highs;
    if (marks) return i + (uint32_t)(__builtin_ctzll(marks) >> 3);
  }
  return 32;
}

static inline __attribute__((always_inline)) uint32_t lanes_equal(const uint8_t *a, const uint8_t *b) {
  uint32_t equal = 0;
  for (uint32_t i = 0; i < 32; i++) equal |= (uint32_t)(a[i] == b[i]) << i;
  return equal;
}

#endif

/* The bits of `x`, those that fall off on the left added on the right. (Written as two shifts behind a multiplication it becomes
   a second multiplication.) */
static inline __attribute__((always_inline)) uint64_t lanes_rotated(uint64_t x, uint32_t count) {
  return __builtin_rotateleft64(x, count);
}

#endif
