/* Where lines end and where their columns end, in steps as wide as the processor at hand has them: a binary for every processor
   of its kind cannot have them inlined, so each call takes several lines. */
#ifndef GATEWATCH_COLUMNS_H
#define GATEWATCH_COLUMNS_H

#include <stdint.h>
#include <string.h>

/* A stretch of a line; `Slice` in Swift. */
typedef struct {
  const uint8_t *start, *end;
} lanes_slice;

/* A free column: it ends at the first of two bytes, where its literal must follow. */
typedef struct {
  uint64_t literal, literal_mask;
  uint8_t literal_count;
  /* The shortest that the column may be. */
  uint8_t least;
  uint8_t ends[2];
  uint32_t slot;
} lanes_column;

/* Splits `column_count` columns off each of `line_count` lines, from `places[line]` on, into `slices[line][slot]`; returns how
   many of the lines, from the first on, go on. Each column is taken for all lines before the next one: where one ends is only
   known when the one before has been found, but the lines do not wait for one another. Reads 64 bytes from any place in a
   line, its end included. */
#define LANES_COLUMNS(name, width, vectors, marks_at_p)                                                                   \
  static uint32_t name(const lanes_column *columns, uint32_t column_count, const void *lines, uint32_t line_count,        \
                       void *places, void *slices) {                                                                      \
    const lanes_slice *all = (const lanes_slice *)lines;                                                                  \
    const uint8_t **at = (const uint8_t **)places;                                                                        \
    lanes_slice *const *into = (lanes_slice *const *)slices;                                                              \
    uint32_t n = line_count;                                                                                              \
    for (const lanes_column *c = columns; c != columns + column_count; c++) {                                             \
      vectors;                                                                                                            \
      for (uint32_t lane = 0; lane < n; lane++) {                                                                         \
        const uint8_t *const start = at[lane], *const end = all[lane].end, *p = start;                                    \
        for (;;) {                                                                                                        \
          const uint64_t marks = marks_at_p;                                                                              \
          if (__builtin_expect(marks != 0, 1)) {                                                                          \
            p += __builtin_ctzll(marks);                                                                                  \
            break;                                                                                                        \
          }                                                                                                               \
          p += width;                                                                                                     \
          if (p >= end) break;                                                                                            \
        }                                                                                                                 \
        uint64_t word = 0;                                                                                                \
        if (p < end) memcpy(&word, p, 8);                                                                                 \
        if (end - p < c->literal_count || (word & c->literal_mask) != c->literal || p - start < c->least) {               \
          n = lane;                                                                                                       \
          break;                                                                                                          \
        }                                                                                                                 \
        into[lane][c->slot].start = start;                                                                                \
        into[lane][c->slot].end = p;                                                                                      \
        at[lane] = p + c->literal_count;                                                                                  \
      }                                                                                                                   \
    }                                                                                                                     \
    return n;                                                                                                             \
  }

/* The next lines of `[p, end)` that a newline ends, `most` of them: their stretches without it, and how many there are. Reads
   up to 63 bytes past `end`. */
#define LANES_LINES(name, width, vectors, marks_at_p)                                                                     \
  static uint32_t name(const uint8_t *p, const uint8_t *end, uint32_t most, void *lines) {                                \
    lanes_slice *into = (lanes_slice *)lines;                                                                             \
    const uint8_t *start = p;                                                                                             \
    uint32_t n = 0;                                                                                                       \
    vectors;                                                                                                              \
    for (; p < end; p += width) {                                                                                         \
      for (uint64_t marks = marks_at_p; marks != 0; marks &= marks - 1) {                                                 \
        const uint8_t *const newline = p + __builtin_ctzll(marks);                                                        \
        if (newline >= end) return n;                                                                                     \
        into[n].start = start;                                                                                            \
        into[n].end = newline;                                                                                            \
        start = newline + 1;                                                                                              \
        if (++n == most) return n;                                                                                        \
      }                                                                                                                   \
    }                                                                                                                     \
    return n;                                                                                                             \
  }

typedef struct {
  uint32_t (*lines)(const uint8_t *, const uint8_t *, uint32_t, void *);
  uint32_t (*columns)(const lanes_column *, uint32_t, const void *, uint32_t, void *, void *);
} lanes_kernels;

#if defined(__SSE2__)
#include <immintrin.h>

static inline __attribute__((always_inline)) uint64_t lanes_marks_16(const uint8_t *p, __m128i a, __m128i b) {
  const __m128i v = _mm_loadu_si128((const __m128i *)p);
  return (uint32_t)_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(v, a), _mm_cmpeq_epi8(v, b)));
}

LANES_COLUMNS(lanes_columns_plain, 32,
  const __m128i a = _mm_set1_epi8((char)c->ends[0]); const __m128i b = _mm_set1_epi8((char)c->ends[1]),
  lanes_marks_16(p, a, b) | lanes_marks_16(p + 16, a, b) << 16)

LANES_LINES(lanes_lines_plain, 32, const __m128i a = _mm_set1_epi8(10),
  lanes_marks_16(p, a, a) | lanes_marks_16(p + 16, a, a) << 16)

static inline __attribute__((always_inline, target("avx2"))) uint64_t lanes_marks_32(const uint8_t *p, __m256i a, __m256i b) {
  const __m256i v = _mm256_loadu_si256((const __m256i *)p);
  return (uint32_t)_mm256_movemask_epi8(_mm256_or_si256(_mm256_cmpeq_epi8(v, a), _mm256_cmpeq_epi8(v, b)));
}

__attribute__((target("avx2,bmi,bmi2")))
LANES_COLUMNS(lanes_columns_avx2, 64,
  const __m256i a = _mm256_set1_epi8((char)c->ends[0]); const __m256i b = _mm256_set1_epi8((char)c->ends[1]),
  lanes_marks_32(p, a, b) | lanes_marks_32(p + 32, a, b) << 32)

__attribute__((target("avx2,bmi,bmi2")))
LANES_LINES(lanes_lines_avx2, 64, const __m256i a = _mm256_set1_epi8(10),
  lanes_marks_32(p, a, a) | lanes_marks_32(p + 32, a, a) << 32)

static inline __attribute__((always_inline, target("avx512bw"))) uint64_t lanes_marks_64(const uint8_t *p, __m512i a, __m512i b) {
  const __m512i v = _mm512_loadu_si512(p);
  return _mm512_cmpeq_epi8_mask(v, a) | _mm512_cmpeq_epi8_mask(v, b);
}

__attribute__((target("avx512bw,avx512vl,bmi,bmi2")))
LANES_COLUMNS(lanes_columns_avx512, 64,
  const __m512i a = _mm512_set1_epi8((char)c->ends[0]); const __m512i b = _mm512_set1_epi8((char)c->ends[1]),
  lanes_marks_64(p, a, b))

__attribute__((target("avx512bw,avx512vl,bmi,bmi2")))
LANES_LINES(lanes_lines_avx512, 64, const __m512i a = _mm512_set1_epi8(10), lanes_marks_64(p, a, a))

#else

static inline __attribute__((always_inline)) uint64_t lanes_marks_8(const uint8_t *p, const uint8_t ends[2]) {
  for (uint32_t i = 0; i < 8; i++) {
    if (p[i] == ends[0] || p[i] == ends[1]) return UINT64_C(1) << i;
  }
  return 0;
}

LANES_COLUMNS(lanes_columns_plain, 8, , lanes_marks_8(p, c->ends))

LANES_LINES(lanes_lines_plain, 8, const uint8_t ends[2] = {10, 10}, lanes_marks_8(p, ends))

#endif

/* Those of a level, 0 being what every processor has; null pointers where the processor at hand has no such. */
static inline lanes_kernels lanes_kernels_of_level(uint32_t level) {
  lanes_kernels kernels = {0, 0};
  if (level == 0) kernels = (lanes_kernels){lanes_lines_plain, lanes_columns_plain};
#if defined(__SSE2__)
  if (level == 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"))
    kernels = (lanes_kernels){lanes_lines_avx2, lanes_columns_avx2};
  if (level == 2 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("bmi2"))
    kernels = (lanes_kernels){lanes_lines_avx512, lanes_columns_avx512};
#endif
  return kernels;
}

#endif
