/* JSON objects as proxies write them: line after line the same keys in the same order, without spaces. */
#ifndef GATEWATCH_JSON_H
#define GATEWATCH_JSON_H

#include "columns.h"

/* A key and the value behind it. */
typedef struct {
  /* `,"name":`, or with a brace in place of the comma; 64 bytes are readable, none is below a space. */
  const uint8_t *token;
  uint32_t token_count;
  /* `lanes_number` or `lanes_text`. */
  uint8_t kind;
  uint8_t slot;
} lanes_json_key;

/* Reads `line_count` (up to 32) lines that are objects of these keys in this order; a bit for each that is. Each value is a
   string without escapes, `null`, or what `lanes_read_number` reads, in quotes or not. A null is the slice at `null`.
   Reads 64 bytes from any place in a line, its end included. */
#define LANES_JSON(name, width, vectors, marks_at_p, is_token)                                                            \
  static uint32_t name(const lanes_json_key *keys, uint32_t key_count, const lanes_group *group, uint32_t line_count,     \
                       const uint8_t *null) {                                                                             \
    uint32_t open = line_count < 32 ? (UINT32_C(1) << line_count) - 1 : UINT32_MAX;                                       \
    const uint64_t slots = group->slots;                                                                                  \
    vectors;                                                                                                              \
    for (uint32_t lane = 0; lane < line_count; lane++) group->places[lane] = group->lines[lane].start;                    \
    for (const lanes_json_key *key = keys; key != keys + key_count; key++) {                                              \
      const uint8_t *const token = key->token;                                                                            \
      const uint32_t count = key->token_count, is_number = key->kind == lanes_number;                                     \
      for (uint32_t rest = open; rest != 0; rest &= rest - 1) {                                                           \
        const uint32_t lane = (uint32_t)__builtin_ctz(rest);                                                              \
        const uint8_t *const end = group->lines[lane].end, *start = group->places[lane], *p;                              \
        lanes_slice *const into = group->slices + lane * slots + key->slot;                                               \
        int64_t number = LANES_MISSING;                                                                                   \
        uint32_t word;                                                                                                    \
        if (start >= end || !(is_token)) goto other;                                                                      \
        start += count;                                                                                                   \
        memcpy(&word, start, 4);                                                                                          \
        if (*start == '"') {                                                                                              \
          uint64_t marks;                                                                                                 \
          p = ++start;                                                                                                    \
          while ((marks = marks_at_p) == 0) {                                                                             \
            p += width;                                                                                                   \
            if (p >= end) goto other;                                                                                     \
          }                                                                                                               \
          p += __builtin_ctzll(marks);                                                                                    \
          if (p >= end || *p != '"' || (is_number && lanes_read_number(start, &number) != p)) goto other;                 \
          into->start = start;                                                                                            \
          into->end = p;                                                                                                  \
          p++;                                                                                                            \
        } else if (word == UINT32_C(0x6C6C756E)) {                                                                        \
          into->start = into->end = null;                                                                                 \
          p = start + 4;                                                                                                  \
        } else {                                                                                                          \
          p = lanes_read_number(start, &number);                                                                          \
          if (!p) goto other;                                                                                             \
          into->start = start;                                                                                            \
          into->end = p;                                                                                                  \
        }                                                                                                                 \
        if (is_number) group->numbers[lane * slots + key->slot] = number;                                                 \
        group->places[lane] = p;                                                                                          \
        continue;                                                                                                         \
      other:                                                                                                              \
        open &= ~(UINT32_C(1) << lane);                                                                                   \
      }                                                                                                                   \
    }                                                                                                                     \
    for (uint32_t lane = 0; lane < line_count; lane++) {                                                                  \
      const uint8_t *const p = group->places[lane];                                                                       \
      if (p + 1 != group->lines[lane].end || *p != '}') open &= ~(UINT32_C(1) << lane);                                   \
    }                                                                                                                     \
    return open;                                                                                                          \
  }

#if defined(__SSE2__)

static inline __attribute__((always_inline)) int lanes_is_token_16(const uint8_t *p, const uint8_t *token, uint32_t count) {
  for (uint32_t i = 0; i < count; i += 16) {
    const uint32_t wanted = count - i < 16 ? (UINT32_C(1) << (count - i)) - 1 : 0xFFFF;
    const __m128i equal =
      _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(p + i)), _mm_loadu_si128((const __m128i *)(token + i)));
    if (((uint32_t)_mm_movemask_epi8(equal) & wanted) != wanted) return 0;
  }
  return 1;
}

LANES_JSON(lanes_json_plain, 32, const __m128i a = _mm_set1_epi8('"'); const __m128i b = _mm_set1_epi8('\\'),
  lanes_marks_16(p, a, b) | lanes_marks_16(p + 16, a, b) << 16, lanes_is_token_16(start, token, count))

static inline __attribute__((always_inline, target("avx2"))) int lanes_is_token_32(
  const uint8_t *p, const uint8_t *token, uint32_t count) {
  const __m256i low =
    _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)token));
  const __m256i high =
    _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)(p + 32)), _mm256_loadu_si256((const __m256i *)(token + 32)));
  const uint64_t equal = (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
  return ~equal << (64 - count) == 0;
}

__attribute__((target("avx2,bmi,bmi2")))
LANES_JSON(lanes_json_avx2, 64, const __m256i a = _mm256_set1_epi8('"'); const __m256i b = _mm256_set1_epi8('\\'),
  lanes_marks_32(p, a, b) | lanes_marks_32(p + 32, a, b) << 32, lanes_is_token_32(start, token, count))

__attribute__((target("avx512bw,avx512vl,bmi,bmi2")))
LANES_JSON(lanes_json_avx512, 64, const __m512i a = _mm512_set1_epi8('"'); const __m512i b = _mm512_set1_epi8('\\'),
  lanes_marks_64(p, a, b),
  _mm512_cmpneq_epi8_mask(_mm512_loadu_si512(start), _mm512_loadu_si512(token)) << (64 - count) == 0)

#else

static const uint8_t lanes_json_ends[2] = {'"', '\\'};

LANES_JSON(lanes_json_plain, 8, , lanes_marks_8(p, lanes_json_ends),
  memcmp(start, token, count) == 0)

#endif

#endif
