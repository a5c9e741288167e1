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

/* Offset of the first of the 32 bytes at `p` that is one of `0123456789:;<=>?#`; 32 when none is. */
static inline __attribute__((always_inline)) uint32_t lanes_first_mark(const uint8_t *p) {
  const __m128i high_bits = _mm_set1_epi8((char)0xF0), digits = _mm_set1_epi8(0x30), hash = _mm_set1_epi8(0x23);
  const __m128i low = _mm_loadu_si128((const __m128i *)p), high = _mm_loadu_si128((const __m128i *)(p + 16));
  const uint32_t l = (uint32_t)_mm_movemask_epi8(
    _mm_or_si128(_mm_cmpeq_epi8(_mm_and_si128(low, high_bits), digits), _mm_cmpeq_epi8(low, hash)));
  const uint32_t h = (uint32_t)_mm_movemask_epi8(
    _mm_or_si128(_mm_cmpeq_epi8(_mm_and_si128(high, high_bits), digits), _mm_cmpeq_epi8(high, hash)));
  return (uint32_t)__builtin_ctzll((uint64_t)l | (uint64_t)h << 16 | UINT64_C(1) << 32);
}

/* Which of the 16 bytes are of the `count` ones from `first` on. */
static inline __attribute__((always_inline)) uint32_t lanes_within(__m128i bytes, uint8_t first, uint8_t count) {
  const __m128i at = _mm_sub_epi8(bytes, _mm_set1_epi8((char)first));
  return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(at, _mm_set1_epi8((char)(count - 1))), at));
}

/* Which of the 32 bytes at `p` are `-`, `_` or letters from a to z, a bit for each, and above these bits which are digits or dots. */
static inline __attribute__((always_inline)) uint64_t lanes_host_bytes(const uint8_t *p) {
  const __m128i minus = _mm_set1_epi8('-'), line = _mm_set1_epi8('_');
  uint64_t names = 0, others = 0;
  for (int i = 0; i < 32; i += 16) {
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(p + i));
    const __m128i marks = _mm_or_si128(_mm_cmpeq_epi8(bytes, minus), _mm_cmpeq_epi8(bytes, line));
    names |= (uint64_t)(lanes_within(bytes, 'a', 26) | (uint32_t)_mm_movemask_epi8(marks)) << i;
    /* `.`, `/` and the digits are neighbours. */
    const uint32_t slashes = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('/')));
    others |= (uint64_t)(lanes_within(bytes, '.', 12) & ~slashes) << i;
  }
  return names | others << 32;
}

/* Which of the 32 bytes at `p` are digits, a bit for each, and above these bits which are letters from a to f or A to F. */
static inline __attribute__((always_inline)) uint64_t lanes_hexadecimals(const uint8_t *p) {
  const __m128i small = _mm_set1_epi8(0x20);
  const __m128i low = _mm_loadu_si128((const __m128i *)p), high = _mm_loadu_si128((const __m128i *)(p + 16));
  const uint64_t digits = lanes_within(low, '0', 10) | lanes_within(high, '0', 10) << 16;
  const uint64_t letters =
    lanes_within(_mm_or_si128(low, small), 'a', 6) | lanes_within(_mm_or_si128(high, small), 'a', 6) << 16;
  return digits | letters << 32;
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

static inline __attribute__((always_inline)) uint32_t lanes_first_mark(const uint8_t *p) {
  for (uint32_t i = 0; i < 32; i++) {
    if ((p[i] & 0xF0) == 0x30 || p[i] == 0x23) return i;
  }
  return 32;
}

static inline __attribute__((always_inline)) uint64_t lanes_hexadecimals(const uint8_t *p) {
  uint64_t marks = 0;
  for (uint32_t i = 0; i < 32; i++) {
    marks |= (uint64_t)((uint8_t)(p[i] - '0') < 10) << i | (uint64_t)((uint8_t)((p[i] | 0x20) - 'a') < 6) << (32 + i);
  }
  return marks;
}

static inline __attribute__((always_inline)) uint64_t lanes_host_bytes(const uint8_t *p) {
  uint64_t marks = 0;
  for (uint32_t i = 0; i < 32; i++) {
    const uint8_t byte = p[i];
    const int isName = (uint8_t)(byte - 'a') < 26 || byte == '-' || byte == '_';
    marks |= (uint64_t)isName << i | (uint64_t)((uint8_t)(byte - '0') < 10 || byte == '.') << (32 + i);
  }
  return marks;
}

static inline __attribute__((always_inline)) uint32_t lanes_equal(const uint8_t *a, const uint8_t *b) {
  uint32_t equal = 0;
  for (uint32_t i = 0; i < 32; i++) equal |= (uint32_t)(a[i] == b[i]) << i;
  return equal;
}

#endif

/* What a column that is not there points to, and eight bytes further one that is there and says nothing: bytes that can be read as
   far as any. Columns are told apart by this address, so all files have to have the same: weak definitions are one when linked,
   where each file would have a static one of its own. */
__attribute__((weak)) extern const uint8_t lanes_zeros[64 + 8];
__attribute__((weak)) const uint8_t lanes_zeros[64 + 8] = {0};

static inline __attribute__((always_inline)) const uint8_t *lanes_nothing(void) { return lanes_zeros; }

/* The bits of `x`, those that fall off on the left added on the right. (Written as two shifts behind a multiplication it becomes
   a second multiplication.) */
static inline __attribute__((always_inline)) uint64_t lanes_rotated(uint64_t x, uint32_t count) {
  return __builtin_rotateleft64(x, count);
}

#endif
