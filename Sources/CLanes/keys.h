/* Hashing the keys of a group of lines where they stand in the lines, and finding them in a dictionary. */
#ifndef GATEWATCH_KEYS_H
#define GATEWATCH_KEYS_H

#include "columns.h"
#include "json.h"

/* A part of a key: from the beginning of one column to the end of another, which may be the same. */
typedef struct {
  uint8_t first, last;
} lanes_run;

/* What a dictionary knows of a key: an id below 0 stands for no key. */
typedef struct {
  uint64_t hash;
  uint32_t offset;
  int32_t id;
} lanes_entry;

/* The keys of a group of lines in one dictionary. */
typedef struct {
  const lanes_run *runs;
  uint64_t run_count;
  /* Those of the next line `slots` behind. */
  const lanes_slice *slices;
  uint64_t slots;
  /* What a key says beside its runs. */
  uint64_t *tags;
  uint64_t *hashes;
  int32_t *ids;
  /* The dictionary: open addressing with linear probing; `mask + 1` entries. */
  const lanes_entry *entries;
  uint64_t mask;
  /* Keys as `KeyWriter` writes them, each behind its length; 64 bytes past the last one may be read. */
  const uint8_t *arena;
  /* Six random words, so that who writes the log cannot aim for collisions. */
  const uint64_t *secrets;
} lanes_keys;

/* Where the search for a hash begins. */
#define LANES_PLACE(keys, hash) ((hash) >> 20 & (keys)->mask)

static inline __attribute__((always_inline)) uint64_t lanes_fold(uint64_t a, uint64_t b) {
  const unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

/* Fills in `hashes` of `count` lines. Sixteen bytes a step, each mixed with secrets; reads up to 15 bytes past a run. */
static void lanes_hash_plain(const lanes_keys *keys, uint32_t count) {
  const uint64_t *const secrets = keys->secrets;
  for (uint32_t lane = 0; lane < count; lane++) {
    const lanes_slice *const slices = keys->slices + lane * keys->slots;
    uint64_t h = secrets[0] + keys->tags[lane] * UINT64_C(0xE7037ED1A0B428DB);
    for (const lanes_run *run = keys->runs; run != keys->runs + keys->run_count; run++) {
      const uint8_t *p = slices[run->first].start;
      int64_t left = slices[run->last].end - p;
      h += (uint64_t)left * UINT64_C(0x8EBC6AF09C88C6E3);
      for (; left > 16; left -= 16, p += 16) h = lanes_fold(lanes_word(p) ^ secrets[1], lanes_word(p + 8) ^ h);
      const uint64_t low = left >= 8 ? UINT64_MAX : left <= 0 ? 0 : UINT64_MAX >> (64 - 8 * left);
      const uint64_t high = left >= 16 ? UINT64_MAX : left <= 8 ? 0 : UINT64_MAX >> (128 - 8 * left);
      h = lanes_fold((lanes_word(p) & low) ^ secrets[1], (lanes_word(p + 8) & high) ^ h);
    }
    h = lanes_fold(h ^ secrets[2], h + secrets[3]);
    keys->hashes[lane] = h;
    __builtin_prefetch(keys->entries + LANES_PLACE(keys, h));
  }
}

/* The keys of `count` lines were hashed a while ago and will be looked up in a while: asks for what these are compared with. */
static inline __attribute__((always_inline)) void lanes_expect(const lanes_keys *keys, uint32_t count) {
  for (uint32_t lane = 0; lane < count; lane++) {
    const uint8_t *const key = keys->arena + keys->entries[LANES_PLACE(keys, keys->hashes[lane])].offset;
    /* As long as most keys are. */
    __builtin_prefetch(key);
    __builtin_prefetch(key + 64);
    __builtin_prefetch(key + 128);
  }
}

/* The ids of the keys of the lines from `first` up to `end`, or -1. */
#define LANES_FIND(name, is_equal)                                                                                        \
  static void name(const lanes_keys *keys, uint32_t first, uint32_t end) {                                                \
    for (uint32_t lane = first; lane < end; lane++) {                                                                     \
      const uint64_t hash = keys->hashes[lane];                                                                           \
      uint64_t place = LANES_PLACE(keys, hash);                                                                           \
      const lanes_entry *entry = keys->entries + place;                                                                   \
      while (entry->id >= 0 && (entry->hash != hash || !is_equal(keys, lane, keys->arena + entry->offset))) {             \
        place = (place + 1) & keys->mask;                                                                                 \
        entry = keys->entries + place;                                                                                    \
      }                                                                                                                   \
      keys->ids[lane] = entry->id;                                                                                        \
    }                                                                                                                     \
  }

/* The key that lies at `key` is that of the line. No branch that does not mostly go one way: how long
   columns are is not to be foreseen.
   `differing` compares `width` bytes at `p` and `q` as far as `wanted` says; the first `count` of them are to be looked at. */
#define LANES_IS_EQUAL(width, wanted, differing)                                                                    \
  (const lanes_keys *keys, uint32_t lane, const uint8_t *key) {                                                           \
    const lanes_slice *const slices = keys->slices + lane * keys->slots;                                                                 \
    uint64_t others = lanes_word(key + 4) ^ keys->tags[lane];                                                             \
    key += 12;                                                                                                            \
    const lanes_run *run = keys->runs;                                                                                    \
    for (uint64_t i = keys->run_count; i != 0; i--, run++) {                                                              \
      const uint8_t *p = slices[run->first].start, *q = key + 4;                                                          \
      const uint64_t length = (uint64_t)(slices[run->last].end - p);                                                      \
      uint32_t known;                                                                                                     \
      memcpy(&known, key, 4);                                                                                             \
      /* A key of another make, by chance with this hash: where its parts lie is not known. */                            \
      if (__builtin_expect((known ^ length) != 0 || others != 0, 0)) return 0;                                            \
      uint64_t count = length < width ? length : width;                                                                   \
      others |= (differing) & (wanted);                                                                                   \
      for (uint64_t done = width; done < length && others == 0; done += width) {                                          \
        p += width;                                                                                                       \
        q += width;                                                                                                       \
        count = length - done < width ? length - done : width;                                                            \
        others |= (differing) & (wanted);                                                                                 \
      }                                                                                                                   \
      key += 4 + length;                                                                                                  \
    }                                                                                                                     \
    return others == 0;                                                                                                   \
  }

#if defined(__SSE2__)

/* As `lanes_hash_plain`, by rounds of AES. */
__attribute__((target("aes,avx2,bmi,bmi2")))
static void lanes_hash_aes(const lanes_keys *keys, uint32_t count) {
  static const uint8_t masks[32] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
  const __m128i *const secrets = (const __m128i *)keys->secrets;
  const __m128i a = _mm_loadu_si128(secrets), b = _mm_loadu_si128(secrets + 1), c = _mm_loadu_si128(secrets + 2);
  for (uint32_t lane = 0; lane < count; lane++) {
    const lanes_slice *const slices = keys->slices + lane * keys->slots;
    __m128i h = _mm_xor_si128(a, _mm_cvtsi64_si128((int64_t)keys->tags[lane]));
    for (const lanes_run *run = keys->runs; run != keys->runs + keys->run_count; run++) {
      const uint8_t *p = slices[run->first].start;
      int64_t left = slices[run->last].end - p;
      __m128i tail = _mm_cvtsi64_si128(left);
      for (; left > 16; left -= 16, p += 16)
        h = _mm_aesenc_si128(_mm_aesenc_si128(_mm_xor_si128(h, _mm_loadu_si128((const __m128i *)p)), b), c);
      if (__builtin_expect(left > 0, 1)) {
        const __m128i mask = _mm_loadu_si128((const __m128i *)(masks + 16 - left));
        tail = _mm_xor_si128(_mm_slli_si128(tail, 8), _mm_and_si128(_mm_loadu_si128((const __m128i *)p), mask));
      }
      h = _mm_aesenc_si128(_mm_aesenc_si128(_mm_xor_si128(h, tail), b), c);
    }
    h = _mm_aesenc_si128(_mm_aesenc_si128(h, a), b);
    const uint64_t hash = (uint64_t)_mm_cvtsi128_si64(h);
    keys->hashes[lane] = hash;
    __builtin_prefetch(keys->entries + LANES_PLACE(keys, hash));
  }
}

/* As `lanes_hash_plain`, 64 bytes at once: how long columns are is not to be foreseen, so most have the same way here. */
__attribute__((target("vaes,aes,avx512f,avx512bw,avx512vl,bmi,bmi2")))
static void lanes_hash_vaes(const lanes_keys *keys, uint32_t count) {
  const __m128i *const secrets = (const __m128i *)keys->secrets;
  const __m128i a = _mm_loadu_si128(secrets), b = _mm_loadu_si128(secrets + 1), c = _mm_loadu_si128(secrets + 2);
  const __m512i as = _mm512_broadcast_i32x4(a), bs = _mm512_broadcast_i32x4(b);
  for (uint32_t lane = 0; lane < count; lane++) {
    const lanes_slice *const slices = keys->slices + lane * keys->slots;
    __m512i h = _mm512_xor_si512(as, _mm512_zextsi128_si512(_mm_cvtsi64_si128((int64_t)keys->tags[lane])));
    for (const lanes_run *run = keys->runs; run != keys->runs + keys->run_count; run++) {
      const uint8_t *p = slices[run->first].start;
      int64_t left = slices[run->last].end - p;
      h = _mm512_add_epi64(h, _mm512_set1_epi64(left));
      for (; __builtin_expect(left > 64, 0); left -= 64, p += 64)
        h = _mm512_aesenc_epi128(_mm512_xor_si512(h, _mm512_loadu_si512(p)), as);
      h = _mm512_xor_si512(h, _mm512_maskz_loadu_epi8(_bzhi_u64(UINT64_MAX, (uint32_t)left), p));
      h = _mm512_aesenc_epi128(h, bs);
    }
    const __m128i x = _mm_aesenc_si128(_mm512_castsi512_si128(h), _mm512_extracti32x4_epi32(h, 1));
    const __m128i y = _mm_aesenc_si128(_mm512_extracti32x4_epi32(h, 2), _mm512_extracti32x4_epi32(h, 3));
    const __m128i last = _mm_aesenc_si128(_mm_aesenc_si128(_mm_aesenc_si128(_mm_xor_si128(x, c), y), b), c);
    const uint64_t hash = (uint64_t)_mm_cvtsi128_si64(last);
    keys->hashes[lane] = hash;
    __builtin_prefetch(keys->entries + LANES_PLACE(keys, hash));
  }
}

static inline __attribute__((always_inline)) int lanes_is_equal_plain
LANES_IS_EQUAL(16, (UINT64_C(1) << count) - 1,
  (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)p), _mm_loadu_si128((const __m128i *)q))) ^ 0xFFFF)
LANES_FIND(lanes_find_plain, lanes_is_equal_plain)

static inline __attribute__((always_inline, target("avx2,bmi,bmi2"))) int lanes_is_equal_avx2
LANES_IS_EQUAL(32, _bzhi_u64(UINT64_MAX, (uint32_t)count),
  ~(uint32_t)_mm256_movemask_epi8(
    _mm256_cmpeq_epi8(_mm256_loadu_si256((const __m256i *)p), _mm256_loadu_si256((const __m256i *)q))))
__attribute__((target("avx2,bmi,bmi2")))
LANES_FIND(lanes_find_avx2, lanes_is_equal_avx2)

static inline __attribute__((always_inline, target("avx512bw,avx512vl,bmi,bmi2"))) int lanes_is_equal_avx512
LANES_IS_EQUAL(64, _bzhi_u64(UINT64_MAX, (uint32_t)count),
  _mm512_cmpneq_epi8_mask(_mm512_loadu_si512(p), _mm512_loadu_si512(q)))
__attribute__((target("avx512bw,avx512vl,bmi,bmi2")))
LANES_FIND(lanes_find_avx512, lanes_is_equal_avx512)

#else

static inline __attribute__((always_inline)) uint64_t lanes_differing_8(const uint8_t *p, const uint8_t *q) {
  uint64_t bits = 0;
  for (uint32_t i = 0; i < 8; i++) bits |= (uint64_t)(p[i] != q[i]) << i;
  return bits;
}

static inline __attribute__((always_inline)) int lanes_is_equal_plain
LANES_IS_EQUAL(8, (UINT64_C(1) << count) - 1, lanes_differing_8(p, q))
LANES_FIND(lanes_find_plain, lanes_is_equal_plain)

#endif

/* What a parser calls for a group of lines. */
typedef struct {
  uint32_t (*lines)(const uint8_t *, const uint8_t *, uint32_t, void *);
  uint32_t (*json)(const lanes_json_key *, uint32_t, const lanes_group *, uint32_t, const uint8_t *);
  uint32_t (*columns)(const lanes_column *, uint32_t, const lanes_group *, uint32_t, uint32_t *, uint32_t *);
  void (*hash)(const lanes_keys *, uint32_t);
  void (*find)(const lanes_keys *, uint32_t, uint32_t);
} lanes_kernels;

/* Those of a level, 0 being what every processor has; null pointers where the processor at hand has no such. */
static inline lanes_kernels lanes_kernels_of_level(uint32_t level) {
  lanes_kernels kernels = {0, 0, 0, 0, 0};
  if (level == 0)
    kernels = (lanes_kernels){lanes_lines_plain, lanes_json_plain, lanes_columns_plain, lanes_hash_plain, lanes_find_plain};
#if defined(__SSE2__)
  const int has_avx2 =
    __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("aes");
  if (level == 1 && has_avx2)
    kernels = (lanes_kernels){lanes_lines_avx2, lanes_json_avx2, lanes_columns_avx2, lanes_hash_aes, lanes_find_avx2};
  if (level == 2 && has_avx2 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("vaes"))
    kernels = (lanes_kernels){
      lanes_lines_avx512, lanes_json_avx512, lanes_columns_avx512, lanes_hash_vaes, lanes_find_avx512};
#endif
  return kernels;
}

#endif
