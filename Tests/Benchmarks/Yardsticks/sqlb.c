/* How fast SQLite takes rows on this machine: they are made in memory first, only the inserts are timed.
 *
 *     sqlb DB [rows=1000000] [cols=22|12|S] [how=bind|vtab|multi|none|gen] [k=50] [jm=wal|off] [sync=normal|off]
 *          [idx=0|1|2] [late=0|1] [batch=0] [ps=4096] [cache=-65536]
 *
 * cols 22 and 12: integers; S: the same 22, ten of them as text in the row (some 230 bytes).
 * batch 0: one transaction. late 1: indexes are made after the load. none: bind and reset only; gen: read without insert. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <math.h>
#include <time.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sqlite3.h>
#define C 22
typedef int64_t row[C];
static row *d;
static int64_t NR = 1000000;
static int NC = 22, S = 0;
static uint64_t s0 = 88172645463325252ull;
static inline uint64_t rnd(void) {
  s0 ^= s0 << 13;
  s0 ^= s0 >> 7;
  s0 ^= s0 << 17;
  return s0;
}
static double ru(void) {
  return (rnd() >> 11) * (1.0 / 9007199254740992.0);
}
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}
static double cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}
#define CK(x)                                                                                                \
  do {                                                                                                       \
    int _r = (x);                                                                                            \
    if (_r != SQLITE_OK && _r != SQLITE_DONE && _r != SQLITE_ROW) {                                          \
      fprintf(stderr, "%s: %s\n", #x, sqlite3_errmsg(db));                                                   \
      exit(1);                                                                                               \
    }                                                                                                        \
  } while (0)
static sqlite3 *db;
static void ex(const char *q) {
  char *e = 0;
  if (sqlite3_exec(db, q, 0, 0, &e)) {
    fprintf(stderr, "%s: %s\n", q, e);
    exit(1);
  }
}
static char *str[10][4096];
static int sl[10][4096];
static char *rid;
static const int scol[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
static int isS[C];
static const int slen[10] = {34, 11, 34, 45, 16, 4, 3, 14, 22, 60};
/* names: ts, then host src cluster path(5->) ... */
static const char *cn[C] = {"ts",      "host",     "src",   "cluster", "path",   "xff", "method", "flags",
                            "details", "upstream", "ua",    "route",   "code",   "rx",  "tx",     "dur",
                            "svc",     "dport",    "sport", "proto",   "source", "line"};
static const int c12[12] = {0, 1, 2, 3, 7, 12, 13, 14, 15, 4, 10, 21};
static void gen(void) {
  static double cum[2000];
  double t = 0;
  for (int i = 0; i < 2000; i++) {
    t += 1 / pow(i + 1, 1.05);
    cum[i] = t;
  }
  d = malloc(sizeof(row) * NR);
  int64_t ts = 1598596320477000ll;
  for (int64_t i = 0; i < NR; i++) {
    int64_t *r = d[i];
    ts += rnd() % 172800;
    double u = ru() * t;
    int lo = 0, hi = 1999;
    while (lo < hi) {
      int m = (lo + hi) / 2;
      if (cum[m] < u)
        lo = m + 1;
      else
        hi = m;
    }
    double g = sqrt(-2 * log(ru() + 1e-12)) * cos(6.2831853 * ru());
    r[0] = ts / 1000 * 1000;
    r[1] = lo + 1;
    r[2] = rnd() % 200 + 1;
    r[3] = lo + 1 + (rnd() % 50 == 0);
    r[4] = rnd() % 3 ? lo * 40 + rnd() % 40 : 80000 + rnd() % 190000;
    r[5] = rnd() % 800;
    r[6] = rnd() % 6;
    r[7] = rnd() % 40 ? 0 : 1 + rnd() % 8;
    r[8] = rnd() % 40 ? 0 : 1 + rnd() % 12;
    r[9] = lo * 4 + rnd() % 4;
    r[10] = rnd() % 12;
    r[11] = rnd() % 4;
    r[12] = rnd() % 10 ? 200 : 404;
    r[13] = rnd() % 5 ? 0 : rnd() % 20000;
    r[14] = (int64_t)exp(8.3 + 1.6 * (g));
    r[15] = (int64_t)exp(3.2 + ((lo * 7919) % 100) / 45.0 + 0.9 * g);
    r[16] = r[15];
    r[17] = rnd() % 2 ? 80 : 8080;
    r[18] = 32768 + rnd() % 28000;
    r[19] = rnd() % 3;
    r[20] = 1;
    r[21] = i + 1;
  }
  if (S) {
    for (int k = 0; k < 10; k++)
      for (int i = 0; i < 4096; i++) {
        char b[128];
        int n = slen[k] + (int)(rnd() % 5) - 2;
        if (n < 1)
          n = 1;
        for (int j = 0; j < n; j++)
          b[j] = 'a' + rnd() % 26;
        b[n] = 0;
        str[k][i] = strdup(b);
        sl[k][i] = n;
      }
    for (int k = 0; k < 10; k++)
      isS[scol[k]] = k + 1;
    rid = malloc(36 * 4096);
    for (int i = 0; i < 36 * 4096; i++)
      rid[i] = 'a' + rnd() % 16;
  }
}
/* ---- vtab ---- */
typedef struct {
  sqlite3_vtab_cursor b;
  int64_t i;
} cur;
static int vcon(sqlite3 *x, void *a, int c, const char *const *v, sqlite3_vtab **o, char **e) {
  char q[1024] = "create table x(";
  for (int i = 0; i < NC; i++) {
    strcat(q, i ? ",c" : "c");
    char z[8];
    snprintf(z, 8, "%d", i);
    strcat(q, z);
  }
  strcat(q, ")");
  int r = sqlite3_declare_vtab(x, q);
  *o = calloc(1, sizeof(sqlite3_vtab));
  return r;
}
static int vdis(sqlite3_vtab *v) {
  free(v);
  return 0;
}
static int vbest(sqlite3_vtab *v, sqlite3_index_info *i) {
  i->estimatedCost = 1e6;
  i->estimatedRows = 1000000;
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
  ((cur *)c)->i = 0;
  return 0;
}
static int vnext(sqlite3_vtab_cursor *c) {
  ((cur *)c)->i++;
  return 0;
}
static int veof(sqlite3_vtab_cursor *c) {
  return ((cur *)c)->i >= NR;
}
static int vcol(sqlite3_vtab_cursor *c, sqlite3_context *x, int k) {
  int64_t i = ((cur *)c)->i;
  if (NC == 12)
    k = c12[k];
  int q = isS[k];
  if (q) {
    int z = d[i][k] & 4095;
    sqlite3_result_text(x, str[q - 1][z], sl[q - 1][z], SQLITE_STATIC);
  } else
    sqlite3_result_int64(x, d[i][k]);
  return 0;
}
static int vrow(sqlite3_vtab_cursor *c, sqlite_int64 *r) {
  *r = ((cur *)c)->i + 1;
  return 0;
}
static sqlite3_module mod = {0, vcon, vcon, vbest, vdis, vdis, vopen, vclose, vfil, vnext, veof, vcol, vrow};
static inline void bindrow(sqlite3_stmt *st, int base, int64_t i) {
  int64_t *r = d[i];
  if (NC == 12) {
    for (int k = 0; k < 12; k++)
      sqlite3_bind_int64(st, base + k + 1, r[c12[k]]);
    return;
  }
  if (!S) {
    for (int k = 0; k < C; k++)
      sqlite3_bind_int64(st, base + k + 1, r[k]);
    return;
  }
  for (int k = 0; k < C; k++) {
    int q = isS[k];
    if (q) {
      int z = r[k] & 4095;
      sqlite3_bind_text(st, base + k + 1, str[q - 1][z], sl[q - 1][z], SQLITE_STATIC);
    } else
      sqlite3_bind_int64(st, base + k + 1, r[k]);
  }
}
int main(int c, char **v) {
  const char *how = "bind", *jm = "wal", *sy = "normal";
  int kk = 50, idx = 0, late = 0, ps = 4096, cache = -65536;
  int64_t batch = 0;
  for (int i = 2; i < c; i++) {
    char *e = strchr(v[i], '=');
    *e++ = 0;
    if (!strcmp(v[i], "rows"))
      NR = atoll(e);
    else if (!strcmp(v[i], "cols")) {
      if (*e == 'S') {
        S = 1;
        NC = 22;
      } else
        NC = atoi(e);
    } else if (!strcmp(v[i], "how"))
      how = e;
    else if (!strcmp(v[i], "k"))
      kk = atoi(e);
    else if (!strcmp(v[i], "jm"))
      jm = e;
    else if (!strcmp(v[i], "sync"))
      sy = e;
    else if (!strcmp(v[i], "idx"))
      idx = atoi(e);
    else if (!strcmp(v[i], "batch"))
      batch = atoll(e);
    else if (!strcmp(v[i], "ps"))
      ps = atoi(e);
    else if (!strcmp(v[i], "late"))
      late = atoi(e);
    else if (!strcmp(v[i], "cache"))
      cache = atoi(e);
  }
  gen();
  char q[65536];
  char p[4200];
  if (strcmp(v[1], ":memory:")) {
    unlink(v[1]);
    snprintf(p, 4200, "%s-wal", v[1]);
    unlink(p);
    snprintf(p, 4200, "%s-shm", v[1]);
    unlink(p);
  }
  CK(sqlite3_open_v2(v[1], &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, 0));
  snprintf(q, 200,
           "pragma page_size=%d; pragma journal_mode=%s; pragma synchronous=%s; pragma cache_size=%d; pragma "
           "locking_mode=exclusive; pragma temp_store=memory",
           ps, jm, sy, cache);
  ex(q);
  strcpy(q, "create table flow(");
  for (int k = 0; k < NC; k++) {
    if (k)
      strcat(q, ",");
    strcat(q, cn[NC == 12 ? c12[k] : k]);
    strcat(q, isS[NC == 12 ? c12[k] : k] ? " text" : " integer");
  }
  strcat(q, ")");
  ex(q);
  const char *ix[2] = {"create index ih on flow(host,ts)", "create index it on flow(ts)"};
  if (!late)
    for (int i = 0; i < idx; i++)
      ex(ix[i]);
  sqlite3_create_module(db, "src", &mod, 0);
  double a = now(), ac = cpu();
  if (!strcmp(how, "vtab")) {
    ex("begin");
    ex("insert into flow select * from src");
    ex("commit");
  } else if (!strcmp(how, "gen")) {
    ex("select count(*),max(c0+c1) from src");
  } else {
    int K = !strcmp(how, "multi") ? kk : 1;
    strcpy(q, "insert into flow values");
    char *z = q + strlen(q);
    for (int i = 0; i < K; i++) {
      *z++ = i ? ',' : ' ';
      *z++ = '(';
      for (int k = 0; k < NC; k++) {
        if (k)
          *z++ = ',';
        *z++ = '?';
      }
      *z++ = ')';
    }
    *z = 0;
    sqlite3_stmt *st;
    CK(sqlite3_prepare_v3(db, q, -1, SQLITE_PREPARE_PERSISTENT, &st, 0));
    ex("begin");
    int64_t left = batch;
    int step = strcmp(how, "none");
    for (int64_t i = 0; i + K <= NR; i += K) {
      for (int j = 0; j < K; j++)
        bindrow(st, j * NC, i + j);
      if (step)
        sqlite3_step(st);
      sqlite3_reset(st);
      if (batch && (left -= K) <= 0) {
        ex("commit");
        ex("begin");
        left = batch;
      }
    }
    ex("commit");
    sqlite3_finalize(st);
  }
  double m = now();
  if (late)
    for (int i = 0; i < idx; i++)
      ex(ix[i]);
  double b = now();
  if (!strcmp(jm, "wal"))
    ex("pragma wal_checkpoint(truncate)");
  sqlite3_close(db);
  double e = now(), ec = cpu();
  struct stat st;
  st.st_size = 0;
  stat(v[1], &st);
  printf("cols=%s%d how=%s k=%d jm=%s sync=%s idx=%d late=%d batch=%ld ps=%d | load %.3f index %.3f close "
         "%.3f total %.3f cpu %.3f | %.0f rows/s (load) %.0f rows/s (all) | %.1f B/row\n",
         S ? "S" : "", NC, how, !strcmp(how, "multi") ? kk : 1, jm, sy, idx, late, (long)batch, ps, m - a,
         b - m, e - b, e - a, ec - ac, NR / (m - a), NR / (e - a), (double)st.st_size / NR);
}
