/* The ceiling of the whole work in C: Envoy text log -> tokeniser (AVX2 field walk) -> nine dictionaries -> rows of 22
 * integers -> SQLite through a virtual table over a ring of batches; then the three reports.
 *
 *     e2e LOG DB THREADS(1|2) RID(0|1) [TEMPLATE(0|1)]
 *
 * THREADS 1: the table's cursor parses; 2: a parser thread feeds it. RID 1 stores the request id as a blob of 16 bytes.
 * TEMPLATE 1 drops the query and stars path segments that are all digits before the dictionary sees them.
 * The reports (bypass, blocked, exact percentiles per host) are one scan outside SQL, grouped here.
 *
 * A yardstick, no product: one format, no escapes, no rejected lines kept, no state between runs. */
#define main tok_main
#include "tok.c"
#undef main
#include <math.h>
#include <sqlite3.h>
#define NC 22
typedef int64_t row22[NC];
#define BR 8192
#define NB 8
typedef struct {
  row22 r[BR];
  uint8_t id[BR][16];
  int n;
} B;
static B *ring;
static volatile uint64_t head, tail;
static volatile int done;
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cp = PTHREAD_COND_INITIALIZER, cc = PTHREAD_COND_INITIALIZER;
static X x;
static R r;
static int fd, RID, TH;
static char *raw, *buf;
static size_t have;
static const char *p, *lend;
static int eof;
static uint64_t lineno_;
static int TM;
static inline uint32_t tmpl(const char *p, uint32_t n, char *o) {
  char *w = o;
  const char *e = p + n;
  while (p < e && *p != '?') {
    if (*p == '/' && p + 1 < e && p[1] >= '0' && p[1] <= '9') {
      const char *q = p + 1;
      while (q < e && *q >= '0' && *q <= '9')
        q++;
      if (q == e || *q == '/' || *q == '?') {
        *w++ = '/';
        *w++ = '*';
        p = q;
        continue;
      }
    }
    *w++ = *p++;
  }
  return w - o;
}
static sqlite3 *db;
static void ex(const char *q) {
  char *e = 0;
  if (sqlite3_exec(db, q, 0, 0, &e)) {
    fprintf(stderr, "%s: %s\n", q, e);
    exit(1);
  }
}
static int refill(void) {
  have = 0;
  if (lend) {
  }
  static size_t left;
  static char *lp;
  if (eof)
    return 0;
  if (lp && left)
    memmove(buf, lp, left);
  ssize_t g = read(fd, buf + left, 1 << 20);
  if (g <= 0) {
    eof = 1;
    return 0;
  }
  size_t n = left + g;
  char *l = memrchr(buf, '\n', n);
  l++;
  p = buf;
  lend = l;
  left = buf + n - l;
  lp = l;
  return 1;
}
static inline int hexv(char c) {
  return c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
}
static int fill(B *b) {
  b->n = 0;
  F f[24];
  __m256i qq = _mm256_set1_epi8('"'), sp = _mm256_set1_epi8(' ');
  while (b->n < BR) {
    if (p >= lend && !refill())
      break;
    int k = 0, ok = 1;
    lineno_++;
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
      r.bad++;
      p = (const char *)memchr(p, '\n', lend - p) + 1;
      continue;
    }
    p++;
    F q = f[1];
    const char *e = q.p + q.n;
    const char *s1 = memchr(q.p, ' ', q.n);
    const char *s2 = s1 ? memchr(s1 + 1, ' ', e - s1 - 1) : 0;
    if (!s2) {
      r.bad++;
      continue;
    }
    int64_t us;
    uint64_t c, rx, tx, d, v, po = 0, so = 0;
    if (!pts(f[0].p, f[0].n, &x.tc, &us) || !pint(f[2].p, f[2].n, &c) || !pint(f[7].p, f[7].n, &rx) ||
        !pint(f[8].p, f[8].n, &tx) || !pint(f[9].p, f[9].n, &d) || !pint(f[10].p, f[10].n, &v)) {
      r.bad++;
      continue;
    }
    F h = f[20];
    if (h.n == 1) {
      h = f[14];
      if (h.n == 1)
        h = f[18];
      const char *z = memrchr(h.p, ':', h.n);
      if (z)
        h.n = z - h.p;
    }
    F src = f[19], dl = f[18];
    const char *z = memrchr(src.p, ':', src.n);
    if (z) {
      pint(z + 1, src.p + src.n - z - 1, &so);
      src.n = z - src.p;
    }
    z = memrchr(dl.p, ':', dl.n);
    if (z)
      pint(z + 1, dl.p + dl.n - z - 1, &po);
    int64_t *o = b->r[b->n];
    o[0] = us;
    o[1] = dget(&x.d[0], h.p, h.n);
    o[2] = dget(&x.d[1], src.p, src.n);
    o[3] = dget(&x.d[4], f[16].p, f[16].n);
    if (TM && s2 - s1 < 1000) {
      char tb[1040];
      uint32_t tn = tmpl(s1 + 1, s2 - s1 - 1, tb);
      o[4] = dget(&x.d[2], tb, tn);
    } else
      o[4] = dget(&x.d[2], s1 + 1, s2 - s1 - 1);
    o[5] = dget(&x.d[7], f[11].p, f[11].n);
    o[6] = dget(&x.d[8], q.p, s1 - q.p);
    o[7] = dget(&x.d[8], f[3].p, f[3].n);
    o[8] = dget(&x.d[5], f[4].p, f[4].n);
    o[9] = dget(&x.d[6], f[15].p, f[15].n);
    o[10] = dget(&x.d[3], f[12].p, f[12].n);
    o[11] = dget(&x.d[8], f[21].p, f[21].n);
    o[12] = c;
    o[13] = rx;
    o[14] = tx;
    o[15] = d;
    o[16] = f[10].n == 1 && *f[10].p == '-' ? -1 : (int64_t)v;
    o[17] = po;
    o[18] = so;
    o[19] = dget(&x.d[8], s2 + 1, e - s2 - 1);
    o[20] = 1;
    o[21] = lineno_;
    if (RID) {
      uint8_t *t = b->id[b->n];
      if (f[13].n == 36) {
        int w = 0;
        const char *g = f[13].p;
        for (int i = 0; i < 36; i++) {
          if (g[i] == '-')
            continue;
          t[w++] = hexv(g[i]) << 4 | hexv(g[i + 1]);
          i++;
        }
      } else
        t[0] = 0, t[1] = 0xff;
    }
    b->n++;
    r.lines++;
  }
  return b->n;
}
static void *prod(void *v) {
  for (;;) {
    pthread_mutex_lock(&mu);
    while (head - tail == NB)
      pthread_cond_wait(&cp, &mu);
    pthread_mutex_unlock(&mu);
    B *b = &ring[head % NB];
    int n = fill(b);
    pthread_mutex_lock(&mu);
    if (!n)
      done = 1;
    else
      head++;
    pthread_cond_signal(&cc);
    pthread_mutex_unlock(&mu);
    if (!n)
      return 0;
  }
}
typedef struct {
  sqlite3_vtab_cursor b;
  B *cur;
  int i;
  int end;
  int64_t n;
} cur;
static void nextb(cur *c) {
  if (TH == 1) {
    c->cur = &ring[0];
    c->end = !fill(c->cur);
    c->i = 0;
    return;
  }
  pthread_mutex_lock(&mu);
  if (c->cur) {
    tail++;
    pthread_cond_signal(&cp);
  }
  while (head == tail && !done)
    pthread_cond_wait(&cc, &mu);
  c->end = head == tail;
  pthread_mutex_unlock(&mu);
  c->cur = &ring[tail % NB];
  c->i = 0;
}
static int vcon(sqlite3 *d, void *a, int c, const char *const *v, sqlite3_vtab **o, char **e) {
  char q[512] = "create table x(";
  for (int i = 0; i < NC + RID; i++) {
    char z[16];
    snprintf(z, 16, "%sc%d", i ? "," : "", i);
    strcat(q, z);
  }
  strcat(q, ")");
  *o = calloc(1, sizeof(sqlite3_vtab));
  return sqlite3_declare_vtab(d, q);
}
static int vdis(sqlite3_vtab *v) {
  free(v);
  return 0;
}
static int vbest(sqlite3_vtab *v, sqlite3_index_info *i) {
  i->estimatedCost = 1e6;
  return 0;
}
static int vopen(sqlite3_vtab *v, sqlite3_vtab_cursor **o) {
  cur *c = calloc(1, sizeof *c);
  *o = &c->b;
  return 0;
}
static int vclose(sqlite3_vtab_cursor *c) {
  free(c);
  return 0;
}
static int vfil(sqlite3_vtab_cursor *c, int a, const char *s, int n, sqlite3_value **v) {
  nextb((cur *)c);
  return 0;
}
static int vnext(sqlite3_vtab_cursor *b) {
  cur *c = (cur *)b;
  c->n++;
  if (++c->i >= c->cur->n)
    nextb(c);
  return 0;
}
static int veof(sqlite3_vtab_cursor *c) {
  return ((cur *)c)->end;
}
static int vcol(sqlite3_vtab_cursor *b, sqlite3_context *s, int k) {
  cur *c = (cur *)b;
  if (k == NC) {
    uint8_t *t = c->cur->id[c->i];
    if (t[1] == 0xff && !t[0])
      sqlite3_result_null(s);
    else
      sqlite3_result_blob(s, t, 16, SQLITE_STATIC);
  } else
    sqlite3_result_int64(s, c->cur->r[c->i][k]);
  return 0;
}
static int vrow(sqlite3_vtab_cursor *c, sqlite_int64 *o) {
  *o = ((cur *)c)->n + 1;
  return 0;
}
static sqlite3_module mod = {0, vcon, vcon, vbest, vdis, vdis, vopen, vclose, vfil, vnext, veof, vcol, vrow};
static int ci(const void *a, const void *b) {
  int x = *(int *)a, y = *(int *)b;
  return (x > y) - (x < y);
}
int main(int c, char **v) {
  double a = now();
  TH = atoi(v[3]);
  RID = atoi(v[4]);
  TM = c > 5 ? atoi(v[5]) : 0;
  ring = malloc(sizeof(B) * NB);
  raw = malloc((2 << 20) + 512);
  buf = raw + 64;
  for (int i = 0; i < 9; i++)
    dinit(&x.d[i], i == 2 ? 1 << 16 : 1 << 13);
  fd = open(v[1], O_RDONLY);
  unlink(v[2]);
  char q[2048];
  snprintf(q, 2048, "%s-wal", v[2]);
  unlink(q);
  sqlite3_initialize();
  sqlite3_open(v[2], &db);
  ex("pragma page_size=16384;pragma journal_mode=wal;pragma synchronous=normal;pragma "
     "cache_size=-65536;pragma locking_mode=exclusive");
  ex("create table flow(ts integer,host integer,src integer,cluster integer,path integer,xff integer,method "
     "integer,flags integer,details integer,upstream integer,ua integer,route integer,code integer,rx "
     "integer,tx integer,dur integer,svc integer,dport integer,sport integer,proto integer,source "
     "integer,line integer)");
  if (RID)
    ex("alter table flow add column rid blob");
  sqlite3_create_module(db, "src", &mod, 0);
  pthread_t t;
  if (TH == 2)
    pthread_create(&t, 0, prod, 0);
  ex("begin;insert into flow select * from src");
  if (TH == 2)
    pthread_join(t, 0);
  double m0 = now();
  ex("create table dict(k integer,id integer,v text,primary key(k,id)) without rowid");
  sqlite3_stmt *s;
  sqlite3_prepare_v2(db, "insert into dict values(?,?,?)", -1, &s, 0);
  for (int k = 0; k < 9; k++) {
    D *d = &x.d[k];
    E **o = malloc(d->cnt * 8);
    for (uint32_t i = 0; i < d->cap; i++)
      if (d->e[i].h)
        o[d->e[i].id] = &d->e[i];
    for (uint32_t i = 0; i < d->cnt; i++) {
      sqlite3_bind_int(s, 1, k);
      sqlite3_bind_int(s, 2, i);
      sqlite3_bind_text(s, 3, d->ar + o[i]->off, o[i]->len, SQLITE_STATIC);
      sqlite3_step(s);
      sqlite3_reset(s);
    }
    free(o);
  }
  sqlite3_finalize(s);
  ex("commit");
  double m = now();
  /* reports by one scan */
  typedef struct {
    int *v;
    uint32_t n, c;
    uint64_t b, by;
  } A;
  A *h = calloc(x.d[0].cnt, sizeof(A));
  uint64_t bp = 0, bl = 0, chk = 0;
  int pt = (int)dget(&x.d[4], "PassthroughCluster", 18), bh = (int)dget(&x.d[4], "BlackHoleCluster", 16);
  sqlite3_prepare_v2(db, "select host,cluster,flags,code,rx,tx,dur from flow", -1, &s, 0);
  while (sqlite3_step(s) == SQLITE_ROW) {
    A *z = &h[sqlite3_column_int(s, 0)];
    int cl = sqlite3_column_int(s, 1);
    if (cl == pt) {
      bp++;
      z->by += sqlite3_column_int64(s, 4) + sqlite3_column_int64(s, 5);
    }
    if (cl == bh || sqlite3_column_int(s, 3) == 403)
      bl++;
    z->b += sqlite3_column_int64(s, 5);
    if (z->n == z->c) {
      z->c = z->c ? z->c * 2 : 16;
      z->v = realloc(z->v, z->c * 4ul);
    }
    z->v[z->n++] = sqlite3_column_int(s, 6);
  }
  for (uint32_t i = 0; i < x.d[0].cnt; i++)
    if (h[i].n) {
      qsort(h[i].v, h[i].n, 4, ci);
      double P[4] = {.5, .9, .95, .99};
      for (int k = 0; k < 4; k++)
        chk += h[i].v[(uint32_t)ceil(P[k] * h[i].n) - 1];
    }
  double m2 = now();
  ex("pragma wal_checkpoint(truncate)");
  sqlite3_finalize(s);
  sqlite3_close(db);
  double e = now();
  struct stat st;
  stat(v[2], &st);
  printf("e2e t=%d rid=%d tmpl=%d lines %lu bad %lu hosts %u paths %u bypass %lu blocked %lu chk %lu | flows "
         "%.3f dict %.3f reports %.3f close %.3f total %.3f s | %.0f lines/s | %.1f MB (%.1f B/line)\n",
         TH, RID, TM, r.lines, r.bad, x.d[0].cnt, x.d[2].cnt, bp, bl, chk, m0 - a, m - m0, m2 - m, e - m2,
         e - a, r.lines / (e - a), st.st_size / 1e6, (double)st.st_size / r.lines);
}
