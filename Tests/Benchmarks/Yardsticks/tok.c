/* How fast a log can be read, cut into lines and cut into fields on this machine.
 *
 *     tok MODE FILE THREADS REPS
 *
 *     read    read() of 1 MiB blocks              mmap    touch every page of a fresh mapping
 *     wcread  read() and memchr for newlines      wcmmap  the same over a mapping
 *     walk    field walk byte by byte             walkv   the same, the ends of fields found with AVX2
 *     struct  two stages: masks of quotes, spaces and newlines, then fields (needs AVX-512)
 *     ...+dict  also looks nine fields of a line up in open-addressing hash tables
 *
 * All cut 22 fields, the request into 3, and read the time stamp and five integers. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <fcntl.h>
#include <unistd.h>
#include <pthread.h>
#include <time.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <immintrin.h>
typedef struct {
  uint64_t lines, bad, sum, bytes;
} R;
typedef struct {
  const char *p;
  uint32_t n;
} F;
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}
/* ---- dictionary ---- */
typedef struct {
  uint64_t h;
  uint32_t off, len, id;
} E;
typedef struct {
  E *e;
  uint32_t cap, cnt;
  char *ar;
  size_t an, ac;
} D;
static void dinit(D *d, uint32_t cap) {
  d->e = calloc(cap, sizeof(E));
  d->cap = cap;
  d->cnt = 0;
  d->ac = 1 << 20;
  d->an = 0;
  d->ar = malloc(d->ac);
}
static inline uint64_t hsh(const char *p, uint32_t n) {
  uint64_t h = n * 0x9e3779b97f4a7c15ull;
  while (n >= 8) {
    uint64_t v;
    memcpy(&v, p, 8);
    h = _mm_crc32_u64(h, v) * 0x9e3779b97f4a7c15ull ^ (h >> 29);
    p += 8;
    n -= 8;
  }
  if (n) {
    uint64_t v;
    memcpy(&v, p, 8);
    v = _bzhi_u64(v, n * 8);
    h = _mm_crc32_u64(h, v) * 0x9e3779b97f4a7c15ull ^ (h >> 29);
  }
  return h | 1;
}
static inline uint32_t dget(D *d, const char *p, uint32_t n) {
  uint64_t h = hsh(p, n);
  uint32_t i = (h >> 20) & (d->cap - 1);
  for (;;) {
    E *e = &d->e[i];
    if (e->h == h && e->len == n && !memcmp(d->ar + e->off, p, n))
      return e->id;
    if (!e->h)
      break;
    i = (i + 1) & (d->cap - 1);
  }
  if (d->cnt * 2 > d->cap) {
    E *o = d->e;
    uint32_t oc = d->cap;
    d->cap *= 2;
    d->e = calloc(d->cap, sizeof(E));
    for (uint32_t k = 0; k < oc; k++)
      if (o[k].h) {
        uint32_t j = (o[k].h >> 20) & (d->cap - 1);
        while (d->e[j].h)
          j = (j + 1) & (d->cap - 1);
        d->e[j] = o[k];
      }
    free(o);
    i = (h >> 20) & (d->cap - 1);
    while (d->e[i].h)
      i = (i + 1) & (d->cap - 1);
  }
  if (d->an + n > d->ac) {
    d->ac *= 2;
    d->ar = realloc(d->ar, d->ac);
  }
  memcpy(d->ar + d->an, p, n);
  d->e[i] = (E){h, (uint32_t)d->an, n, d->cnt};
  d->an += n;
  return d->cnt++;
}
/* ---- numbers ---- */
static inline int pint(const char *p, uint32_t n, uint64_t *v) { /* <=16 digits, SWAR */
  if (n == 1) {
    unsigned c = (unsigned char)*p - '0';
    if (c <= 9) {
      *v = c;
      return 1;
    }
    *v = 0;
    return *p == '-';
  }
  if (n <= 8) {
    uint64_t x;
    memcpy(&x, p + n - 8, 8); /* reads before p: the buffer has slack */
    int sh = (8 - n) * 8;
    x >>= 0;
    x = (x >> sh) << sh;
    x |= sh ? (0x3030303030303030ull & ((1ull << sh) - 1)) : 0;
    if (((x + 0x4646464646464646ull) | (x - 0x3030303030303030ull)) & 0x8080808080808080ull)
      return 0;
    x -= 0x3030303030303030ull;
    x = x * 10 + (x >> 8);
    x = (((x & 0x000000FF000000FFull) * 0x000F424000000064ull) +
         (((x >> 16) & 0x000000FF000000FFull) * 0x0000271000000001ull)) >>
        32;
    *v = x;
    return 1;
  }
  uint64_t r = 0;
  for (uint32_t i = 0; i < n; i++) {
    unsigned c = (unsigned char)p[i] - '0';
    if (c > 9)
      return 0;
    r = r * 10 + c;
  }
  *v = r;
  return 1;
}
static inline int64_t days(int y, int m, int d) {
  y -= m <= 2;
  int era = y / 400;
  unsigned yoe = y - era * 400, doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1,
           doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097LL + doe - 719468;
}
typedef struct {
  uint64_t d8;
  uint16_t d2;
  int64_t base;
} TC;
#define DG(i) (p[i] - '0')
static inline int pts(const char *p, uint32_t n, TC *c, int64_t *us) { /* [2020-08-28T06:32:00.696Z] */
  if (n != 26 || p[0] != '[' || p[25] != ']' || p[24] != 'Z')
    return 0;
  p++;
  uint64_t a;
  uint16_t b;
  memcpy(&a, p, 8);
  memcpy(&b, p + 8, 2);
  if (a != c->d8 || b != c->d2) {
    int y = DG(0) * 1000 + DG(1) * 100 + DG(2) * 10 + DG(3);
    c->d8 = a;
    c->d2 = b;
    c->base = days(y, DG(5) * 10 + DG(6), DG(8) * 10 + DG(9)) * 86400;
  }
  *us = (c->base + (DG(11) * 10 + DG(12)) * 3600 + (DG(14) * 10 + DG(15)) * 60 + DG(17) * 10 + DG(18)) *
            1000000LL +
        (DG(20) * 100 + DG(21) * 10 + DG(22)) * 1000LL;
  return 1;
}
typedef struct {
  D d[9];
  TC tc;
  int dict;
} X;
static inline void row(F *f, X *x, R *r) { /* f[0..21] -> typed */
  F q = f[1];
  const char *e = q.p + q.n;
  const char *s1 = memchr(q.p, ' ', q.n);
  if (!s1) {
    r->bad++;
    return;
  }
  const char *s2 = memchr(s1 + 1, ' ', e - s1 - 1);
  if (!s2) {
    r->bad++;
    return;
  }
  F m = {q.p, (uint32_t)(s1 - q.p)}, pa = {s1 + 1, (uint32_t)(s2 - s1 - 1)},
    pr = {s2 + 1, (uint32_t)(e - s2 - 1)};
  int64_t us;
  uint64_t c, a, b, d, v;
  if (!pts(f[0].p, f[0].n, &x->tc, &us) || !pint(f[2].p, f[2].n, &c) || !pint(f[7].p, f[7].n, &a) ||
      !pint(f[8].p, f[8].n, &b) || !pint(f[9].p, f[9].n, &d) || !pint(f[10].p, f[10].n, &v)) {
    r->bad++;
    return;
  }
  r->sum += us + c + a + b + d + v + m.n + pa.n * 3 + pr.n * 5;
  for (int i = 11; i < 22; i++)
    r->sum += f[i].n * i;
  if (x->dict) {
    F h = f[20];
    if (h.n == 1) {
      h = f[14];
      const char *k = memrchr(h.p, ':', h.n);
      if (k)
        h.n = k - h.p;
      if (f[14].n == 1)
        h = f[18];
    }
    F src = f[19];
    const char *k = memrchr(src.p, ':', src.n);
    if (k)
      src.n = k - src.p;
    r->sum += dget(&x->d[0], h.p, h.n) + dget(&x->d[1], src.p, src.n) + dget(&x->d[2], pa.p, pa.n) +
              dget(&x->d[3], f[12].p, f[12].n) + dget(&x->d[4], f[16].p, f[16].n) +
              dget(&x->d[5], f[4].p, f[4].n) + dget(&x->d[6], f[15].p, f[15].n) +
              dget(&x->d[7], f[11].p, f[11].n) + dget(&x->d[8], f[3].p, f[3].n);
  }
  r->lines++;
}
/* ---- three splitters over [p,e), e after a newline ---- */
static void walk(const char *p, const char *e, X *x, R *r) {
  F f[24];
  while (p < e) {
    int k = 0;
    int ok = 1;
    for (;;) {
      if (k == 24) {
        ok = 0;
        break;
      }
      if (*p == '"') {
        const char *s = ++p;
        while (*p != '"' && *p != '\n')
          p++;
        if (*p == '\n') {
          ok = 0;
          break;
        }
        f[k++] = (F){s, (uint32_t)(p - s)};
        p++;
      } else {
        const char *s = p;
        while (*p != ' ' && *p != '\n')
          p++;
        f[k++] = (F){s, (uint32_t)(p - s)};
      }
      if (*p == '\n')
        break;
      p++;
    }
    if (!ok || k != 22) {
      r->bad++;
      p = (const char *)memchr(p, '\n', e - p);
    } else
      row(f, x, r);
    p++;
  }
}
static inline const char *find2(const char *p, __m256i a) {
  __m256i nl = _mm256_set1_epi8('\n');
  for (;;) {
    __m256i v = _mm256_loadu_si256((const __m256i *)p);
    uint32_t m = _mm256_movemask_epi8(_mm256_or_si256(_mm256_cmpeq_epi8(v, a), _mm256_cmpeq_epi8(v, nl)));
    if (m)
      return p + __builtin_ctz(m);
    p += 32;
  }
}
static void walkv(const char *p, const char *e, X *x, R *r) {
  F f[24];
  __m256i qq = _mm256_set1_epi8('"'), sp = _mm256_set1_epi8(' ');
  while (p < e) {
    int k = 0;
    int ok = 1;
    for (;;) {
      if (k == 24) {
        ok = 0;
        break;
      }
      if (*p == '"') {
        const char *s = ++p;
        p = find2(p, qq);
        if (*p == '\n') {
          ok = 0;
          break;
        }
        f[k++] = (F){s, (uint32_t)(p - s)};
        p++;
      } else {
        const char *s = p;
        p = find2(p, sp);
        f[k++] = (F){s, (uint32_t)(p - s)};
      }
      if (*p == '\n')
        break;
      p++;
    }
    if (!ok || k != 22) {
      r->bad++;
      p = (const char *)memchr(p, '\n', e - p);
    } else
      row(f, x, r);
    p++;
  }
}
#ifdef __AVX512BW__
static void structural(const char *b, const char *e, X *x, R *r) {
  static __thread uint32_t ix[1 << 20];
  while (b < e) {
    const char *lim = b + (1 << 18);
    const char *end = e;
    if (lim < e) {
      end = memrchr(b, '\n', lim - b);
      end = end ? end + 1 : e;
    }
    size_t n = end - b;
    uint32_t k = 0;
    uint64_t carry = 0;
    __m512i Q = _mm512_set1_epi8('"'), S = _mm512_set1_epi8(' '), N = _mm512_set1_epi8('\n');
    for (size_t i = 0; i < n; i += 64) {
      __m512i v = _mm512_loadu_si512(b + i);
      uint64_t mq = _mm512_cmpeq_epi8_mask(v, Q), ms = _mm512_cmpeq_epi8_mask(v, S),
               mn = _mm512_cmpeq_epi8_mask(v, N);
      uint64_t in =
          _mm_cvtsi128_si64(_mm_clmulepi64_si128(_mm_set_epi64x(0, mq), _mm_set1_epi8(-1), 0)) ^ carry;
      carry = (uint64_t)((int64_t)in >> 63);
      uint64_t m = (ms & ~in) | mn;
      if (i + 64 > n)
        m = _bzhi_u64(m, n - i);
      uint32_t c = __builtin_popcountll(m);
      uint32_t *o = ix + k;
      for (uint32_t j = 0; j < c; j++) {
        o[j] = i + __builtin_ctzll(m);
        m &= m - 1;
      }
      k += c;
    }
    uint32_t j = 0, s = 0;
    F f[22];
    while (j < k) {
      if (j + 22 <= k && b[ix[j + 21]] == '\n') {
        const uint32_t *q = ix + j;
        uint32_t st = s;
        for (int z = 0; z < 22; z++) {
          uint32_t en = q[z];
          uint32_t isq = b[st] == '"';
          f[z] = (F){b + st + isq, en - st - 2 * isq};
          st = en + 1;
        }
        row(f, x, r);
        s = st;
        j += 22;
      } else {
        while (j < k && b[ix[j]] != '\n')
          j++;
        s = ix[j] + 1;
        j++;
        r->bad++;
      }
    }
    b = end;
  }
}
#else
#define structural walkv
#endif
typedef struct {
  const char *mode, *file;
  off_t lo, hi;
  R r;
} J;
static void *job(void *v) {
  J *j = v;
  int fd = open(j->file, O_RDONLY);
  X x;
  memset(&x, 0, sizeof x);
  x.dict = strstr(j->mode, "+dict") != 0;
  if (x.dict)
    for (int i = 0; i < 9; i++)
      dinit(&x.d[i], i == 2 ? 1 << 16 : 1 << 13);
  size_t B = 1 << 20;
  char *raw = malloc(64 + B * 2 + 256), *buf = raw + 64;
  size_t have = 0;
  off_t o = j->lo;
  void (*fn)(const char *, const char *, X *, R *) = !strncmp(j->mode, "walkv", 5)  ? walkv
                                                     : !strncmp(j->mode, "walk", 4) ? walk
                                                                                    : structural;
  if (strstr(j->mode, "mmap")) {
    char *m = mmap(0, j->hi, PROT_READ, MAP_PRIVATE, fd, 0);
    if (!strcmp(j->mode, "mmap"))
      for (off_t i = o; i < j->hi; i += 4096)
        j->r.sum += m[i];
    else {
      const char *p = m + o, *e = m + j->hi;
      while (p < e && (p = memchr(p, '\n', e - p))) {
        p++;
        j->r.lines++;
      }
    }
    munmap(m, j->hi);
    j->r.bytes = j->hi - o;
    close(fd);
    free(raw);
    return 0;
  }
  while (o < j->hi) {
    size_t w = B;
    if ((off_t)w > j->hi - o)
      w = j->hi - o;
    ssize_t g = pread(fd, buf + have, w, o);
    if (g <= 0)
      break;
    o += g;
    j->r.bytes += g;
    if (!strcmp(j->mode, "read"))
      continue;
    if (!strcmp(j->mode, "wcread")) {
      const char *p = buf, *e = buf + g;
      while (p < e && (p = memchr(p, '\n', e - p))) {
        p++;
        j->r.lines++;
      }
      continue;
    }
    have += g;
    char *l = memrchr(buf, '\n', have);
    if (!l)
      continue;
    l++;
    fn(buf, l, &x, &j->r);
    have = buf + have - l;
    memmove(buf, l, have);
  }
  close(fd);
  free(raw);
  return 0;
}
int main(int c, char **v) {
  if (c < 5)
    return 2;
  int T = atoi(v[3]), reps = atoi(v[4]);
  struct stat st;
  stat(v[2], &st);
  int fd = open(v[2], O_RDONLY);
  double tt[100];
  R t;
  for (int k = 0; k < reps; k++) {
    double a = now();
    J j[16];
    memset(j, 0, sizeof j);
    off_t lo = 0;
    for (int i = 0; i < T; i++) {
      off_t hi = st.st_size;
      if (i < T - 1) {
        hi = st.st_size * (i + 1) / T;
        char b[8192];
        ssize_t g = pread(fd, b, 8192, hi);
        char *q = memchr(b, '\n', g);
        hi += q - b + 1;
      }
      j[i].mode = v[1];
      j[i].file = v[2];
      j[i].lo = lo;
      j[i].hi = hi;
      lo = hi;
    }
    pthread_t th[16];
    for (int i = 1; i < T; i++)
      pthread_create(th + i, 0, job, j + i);
    job(j);
    for (int i = 1; i < T; i++)
      pthread_join(th[i], 0);
    tt[k] = now() - a;
    memset(&t, 0, sizeof t);
    for (int i = 0; i < T; i++) {
      t.lines += j[i].r.lines;
      t.bad += j[i].r.bad;
      t.sum += j[i].r.sum;
      t.bytes += j[i].r.bytes;
    }
  }
  for (int i = 0; i < reps; i++)
    for (int k = i + 1; k < reps; k++)
      if (tt[k] < tt[i]) {
        double z = tt[i];
        tt[i] = tt[k];
        tt[k] = z;
      }
  double m = tt[reps / 2];
  printf("%-12s t=%d lines %lu bad %lu sum %lx  median %.4f s min %.4f max %.4f  %.2f Mlines/s %.0f MB/s\n",
         v[1], T, t.lines, t.bad, t.sum, m, tt[0], tt[reps - 1], 1e-6 * (t.lines + t.bad) / m,
         t.bytes / m * 1e-6);
}
