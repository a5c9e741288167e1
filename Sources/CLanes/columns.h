/* Where lines end and where their columns end, in steps as wide as the processor at hand has them: a binary for every processor
   of its kind cannot have them inlined, so each call takes several lines. */
#ifndef GATEWATCH_COLUMNS_H
#define GATEWATCH_COLUMNS_H

#include <stdint.h>
#include <string.h>

#include "lanes.h"

/* A stretch of a line; `Slice` in Swift. */
typedef struct {
  const uint8_t *start, *end;
} lanes_slice;

/* What a column holds. */
enum { lanes_text, lanes_number, lanes_protocol, lanes_thousandths, lanes_time };

/* A time that was read, as far as the next ones are like it: all but the digits of its seconds, and of their thousandths if it
   has these. */
typedef struct {
  uint8_t text[32];
  /* A bit for each byte that must be the same. */
  uint32_t fixed;
  /* 0 while no time is known. */
  uint8_t length;
  /* Where two digits of seconds stand, what they are at most, and where the three digits behind the point do, if any. */
  uint8_t second_at, most_seconds, thousandths_at, has_thousandths;
  /* Unix milliseconds without them. */
  int64_t base;
} lanes_moment;

/* A column and the literal that must follow it, or the line's end: free text, which ends at the first of two bytes; a number
   without sign or fraction, or `-`; a number with three digits behind its point, or `-`; a time like the one before; or the
   name of a protocol, or `-`. */
typedef struct {
  uint64_t literal, literal_mask;
  uint8_t literal_count;
  /* The shortest that the column may be. */
  uint8_t least;
  uint8_t ends[2];
  uint8_t kind;
  uint8_t slot;
  /* Spaces may stand before a number. */
  uint8_t is_padded;
  /* Of a time. */
  const lanes_moment *moment;
} lanes_column;

/* The lines of a group, and where their columns go: those of the next line `slots` behind. */
typedef struct {
  const lanes_slice *lines;
  /* The place in each line. */
  const uint8_t **places;
  lanes_slice *slices;
  int64_t *numbers;
  uint64_t slots;
} lanes_group;

/* What a number is that is not there (`Numbers.missing`). */
#define LANES_MISSING INT64_MIN

static inline __attribute__((always_inline)) uint64_t lanes_word(const uint8_t *p) {
  uint64_t word;
  memcpy(&word, p, 8);
  return word;
}

/* The literal stands at `p` and ends within the line: a literal holds no byte that ends a line. Reads nothing behind the line. */
static inline __attribute__((always_inline)) int lanes_has_literal(
  const uint8_t *p, const uint8_t *end, uint64_t literal, uint64_t mask) {
  return p < end && (lanes_word(p) & mask) == literal;
}

/* `Numbers.digits` of one to seven digits, or a `-` that no digit follows: the place behind it; null for anything else. */
static inline __attribute__((always_inline)) const uint8_t *lanes_read_number(const uint8_t *p, int64_t *number) {
  uint64_t x = lanes_word(p) ^ UINT64_C(0x3030303030303030);
  const uint64_t others = ((x + UINT64_C(0x7676767676767676)) | x) & UINT64_C(0x8080808080808080);
  if (__builtin_expect(others == 0, 0)) return 0;
  const uint32_t bits = (uint32_t)__builtin_ctzll(others) & 0x38;
  if (bits == 0) {
    if (*p != '-' || (uint8_t)(p[1] - '0') <= 9) return 0;
    *number = LANES_MISSING;
    return p + 1;
  }
  x <<= 64 - bits;
  x = x * 10 + (x >> 8);
  *number = (int64_t)(((x & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x000F424000000064) +
                       ((x >> 16) & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x0000271000000001)) >> 32);
  return p + (bits >> 3);
}

/* `lanes_read_number` of one to four digits, a point and three more, in thousandths. */
static inline __attribute__((always_inline)) const uint8_t *lanes_read_thousandths(const uint8_t *p, int64_t *number) {
  uint64_t x = lanes_word(p) ^ UINT64_C(0x3030303030303030);
  const uint64_t others = ((x + UINT64_C(0x7676767676767676)) | x) & UINT64_C(0x8080808080808080);
  const uint32_t bits = (uint32_t)__builtin_ctzll(others | UINT64_C(1) << 63) & 0x38;
  if (bits == 0) {
    if (*p != '-' || (uint8_t)(p[1] - '0') <= 9) return 0;
    *number = LANES_MISSING;
    return p + 1;
  }
  /* The point, and no other byte but digits behind it. */
  if (bits > 32 || p[bits >> 3] != '.' || ((others >> bits) & UINT64_C(0x80808000)) != 0) return 0;
  const uint64_t whole = (UINT64_C(1) << bits) - 1;
  x = ((x & whole) | ((x >> 8) & ~whole)) << (40 - bits);
  x = x * 10 + (x >> 8);
  *number = (int64_t)(((x & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x000F424000000064) +
                       ((x >> 16) & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x0000271000000001)) >> 32);
  return p + (bits >> 3) + 4;
}

/* A time that is like `moment`, in Unix milliseconds; null for anything else. */
static inline __attribute__((always_inline)) const uint8_t *lanes_read_time(
  const uint8_t *p, const lanes_moment *moment, int64_t *number) {
  if (moment->length == 0 || (~lanes_equal(p, moment->text) & moment->fixed) != 0) return 0;
  uint16_t two;
  uint32_t three;
  memcpy(&two, p + moment->second_at, 2);
  memcpy(&three, p + moment->thousandths_at, 4);
  const uint32_t s = two ^ UINT32_C(0x3030);
  const uint32_t t = moment->has_thousandths ? (three ^ UINT32_C(0x303030)) & UINT32_C(0xFFFFFF) : 0;
  const uint32_t seconds = (s & 0xFF) * 10 + (s >> 8);
  if (((((s + UINT32_C(0x7676)) | s) & UINT32_C(0x8080)) | (((t + UINT32_C(0x767676)) | t) & UINT32_C(0x808080))) != 0 ||
      seconds > moment->most_seconds)
    return 0;
  *number = moment->base + (int64_t)(seconds * 1000 + (t & 0xFF) * 100 + (t >> 8 & 0xFF) * 10 + (t >> 16));
  return p + moment->length;
}

/* Length of the commonest protocol names, of `-`; 0 for anything else. */
static inline __attribute__((always_inline)) uint32_t lanes_protocol_count(const uint8_t *p) {
  const uint64_t word = lanes_word(p);
  if (word == UINT64_C(0x312E312F50545448)) return 8;                                  /* HTTP/1.1 */
  if ((word & UINT64_C(0x0000FFFFFFFFFFFF)) == UINT64_C(0x0000322F50545448)) return 6; /* HTTP/2 */
  return *p == '-';
}

/* What follows a column that ends at `p` is as it must be. */
static inline __attribute__((always_inline)) int lanes_goes_on(
  const uint8_t *p, const uint8_t *end, uint64_t literal, uint64_t mask, int is_last) {
  return is_last ? p == end : lanes_has_literal(p, end, literal, mask);
}

/* Numbers of all lines; as `LANES_COLUMNS`. */
static inline __attribute__((always_inline)) uint32_t lanes_take_numbers(
  const lanes_column *c, const lanes_group *group, uint32_t n, uint32_t *left) {
  const uint64_t literal = c->literal, mask = c->literal_mask, count = c->literal_count, slots = group->slots;
  const int is_last = count == 0, is_padded = c->is_padded;
  const lanes_slice *line = group->lines;
  const uint8_t **at = group->places;
  lanes_slice *into = group->slices + c->slot;
  int64_t *number = group->numbers + c->slot;
  for (uint32_t lane = 0; lane < n; lane++, line++, at++, into += slots, number += slots) {
    const uint8_t *start = *at;
    if (is_padded) {
      /* Of eight or more spaces nothing is left to read here. */
      const uint64_t x = lanes_word(start) ^ UINT64_C(0x2020202020202020);
      start += x == 0 ? 0 : __builtin_ctzll(x) >> 3;
    }
    const uint8_t *const p = lanes_read_number(start, number);
    if (__builtin_expect(!p, 0)) {
      *left |= UINT32_C(1) << lane;
      continue;
    }
    if (!lanes_goes_on(p, line->end, literal, mask, is_last)) return lane;
    into->start = start;
    into->end = p;
    *at = p + count;
  }
  return n;
}

/* Numbers in thousandths, or times, of all lines; as `LANES_COLUMNS`. More digits than these may belong to them: what does not
   go on as it must is left. */
#define LANES_TAKE(name, read)                                                                                            \
  static inline __attribute__((always_inline)) uint32_t name(                                                             \
    const lanes_column *c, const lanes_group *group, uint32_t n, uint32_t *left) {                                        \
    const uint64_t literal = c->literal, mask = c->literal_mask, count = c->literal_count, slots = group->slots;          \
    const int is_last = count == 0;                                                                                       \
    const lanes_slice *line = group->lines;                                                                               \
    const uint8_t **at = group->places;                                                                                   \
    lanes_slice *into = group->slices + c->slot;                                                                          \
    int64_t *number = group->numbers + c->slot;                                                                           \
    for (uint32_t lane = 0; lane < n; lane++, line++, at++, into += slots, number += slots) {                             \
      const uint8_t *const start = *at, *const p = read;                                                                  \
      if (__builtin_expect(!p || !lanes_goes_on(p, line->end, literal, mask, is_last), 0)) {                              \
        *left |= UINT32_C(1) << lane;                                                                                     \
        continue;                                                                                                         \
      }                                                                                                                   \
      into->start = start;                                                                                                \
      into->end = p;                                                                                                      \
      *at = p + count;                                                                                                    \
    }                                                                                                                     \
    return n;                                                                                                             \
  }

LANES_TAKE(lanes_take_thousandths, lanes_read_thousandths(start, number))
LANES_TAKE(lanes_take_times, lanes_read_time(start, c->moment, number))

/* Protocol names of all lines; as `LANES_COLUMNS`. */
static inline __attribute__((always_inline)) uint32_t lanes_take_protocols(
  const lanes_column *c, const lanes_group *group, uint32_t n, uint32_t *left) {
  const uint64_t literal = c->literal, mask = c->literal_mask, count = c->literal_count, slots = group->slots;
  const lanes_slice *line = group->lines;
  const uint8_t **at = group->places;
  lanes_slice *into = group->slices + c->slot;
  for (uint32_t lane = 0; lane < n; lane++, line++, at++, into += slots) {
    const uint8_t *const start = *at, *const p = start + lanes_protocol_count(start);
    if (__builtin_expect(p == start || !lanes_has_literal(p, line->end, literal, mask), 0)) {
      *left |= UINT32_C(1) << lane;
      continue;
    }
    into->start = start;
    into->end = p;
    *at = p + count;
  }
  return n;
}

/* Splits columns off each of `line_count` (up to 32) lines; returns how many of the lines, from the first on, go on. Each
   column is taken for all lines before the next one: where one ends is only known when the one before has been found, but the
   lines do not wait for one another. It ends early, behind `taken` columns, when the last of these is none of the common
   kind in some lines: their bits are set in `left`, and they stand before that column. Reads 64 bytes from any place in a
   line, its end included. */
#define LANES_COLUMNS(name, width, vectors, marks_at_p)                                                                   \
  static uint32_t name(const lanes_column *columns, uint32_t column_count, const lanes_group *group, uint32_t line_count, \
                       uint32_t *taken, uint32_t *left) {                                                                 \
    const uint64_t slots = group->slots;                                                                                  \
    uint32_t n = line_count, others = 0;                                                                                  \
    const lanes_column *c = columns;                                                                                      \
    for (; c != columns + column_count && others == 0; c++) {                                                             \
      if (c->kind == lanes_number) {                                                                                      \
        n = lanes_take_numbers(c, group, n, &others);                                                                     \
        continue;                                                                                                         \
      }                                                                                                                   \
      if (c->kind == lanes_protocol) {                                                                                    \
        n = lanes_take_protocols(c, group, n, &others);                                                                   \
        continue;                                                                                                         \
      }                                                                                                                   \
      if (c->kind == lanes_thousandths) {                                                                                 \
        n = lanes_take_thousandths(c, group, n, &others);                                                                 \
        continue;                                                                                                         \
      }                                                                                                                   \
      if (c->kind == lanes_time) {                                                                                        \
        n = lanes_take_times(c, group, n, &others);                                                                       \
        continue;                                                                                                         \
      }                                                                                                                   \
      vectors;                                                                                                            \
      const uint64_t literal = c->literal, mask = c->literal_mask, count = c->literal_count;                              \
      const int64_t least = c->least;                                                                                     \
      const int is_last = count == 0;                                                                                     \
      const lanes_slice *line = group->lines;                                                                             \
      const uint8_t **at = group->places;                                                                                 \
      lanes_slice *into = group->slices + c->slot;                                                                        \
      for (uint32_t lane = 0; lane < n; lane++, line++, at++, into += slots) {                                            \
        const uint8_t *const start = *at, *const end = line->end, *p = start;                                             \
        uint64_t marks = marks_at_p;                                                                                      \
        while (__builtin_expect(marks == 0, 0)) {                                                                         \
          p += width;                                                                                                     \
          if (p >= end) break;                                                                                            \
          marks = marks_at_p;                                                                                             \
        }                                                                                                                 \
        if (marks != 0) p += __builtin_ctzll(marks);                                                                      \
        if (is_last && p >= end) {                                                                                        \
          /* The line ends it, and no literal follows. */                                                                 \
          p = end;                                                                                                        \
        } else if (!lanes_has_literal(p, end, literal, mask)) {                                                           \
          n = lane;                                                                                                       \
          break;                                                                                                          \
        }                                                                                                                 \
        if (p - start < least) {                                                                                          \
          n = lane;                                                                                                       \
          break;                                                                                                          \
        }                                                                                                                 \
        into->start = start;                                                                                              \
        into->end = p;                                                                                                    \
        *at = p + count;                                                                                                  \
      }                                                                                                                   \
    }                                                                                                                     \
    *taken = (uint32_t)(c - columns);                                                                                     \
    *left = others;                                                                                                       \
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

static const uint8_t lanes_newlines[2] = {10, 10};

LANES_LINES(lanes_lines_plain, 8, , lanes_marks_8(p, lanes_newlines))

#endif

#endif
