/* Deterministic generator of Envoy (Istio's default text format), nginx-stream and Squid access logs.
 *
 *     gen envoy|mesh|nginx|squid LINES [SEED [MICROSECONDS]] > out.log
 *
 * envoy: sidecars that go straight out. mesh: the same traffic sent to an egress gateway, about 4 % passing it by.
 * All formats share one model: 2,000 hosts (Zipf, s = 1.05), 200 client pods, some 60 paths per host, log-normal
 * durations with a median per host, 3 % blocked or failed, time moving forward with jitter: in all a day, or eight of more
 * than a million lines, unless it is said how many microseconds lie between two of them, and at which microsecond they start. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <math.h>
#include <time.h>
#define NH 2000
#define NP 200
static uint64_t s[4];
static inline uint64_t rotl(uint64_t x, int k) {
  return (x << k) | (x >> (64 - k));
}
static inline uint64_t rnd(void) {
  uint64_t r = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotl(s[3], 45);
  return r;
}
static uint64_t smix(uint64_t *x) {
  uint64_t z = (*x += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}
static void seed(uint64_t v) {
  for (int i = 0; i < 4; i++)
    s[i] = smix(&v);
}
static inline double ru(void) {
  return (rnd() >> 11) * (1.0 / 9007199254740992.0);
}
static double spare;
static int has;
static double gauss(void) {
  if (has) {
    has = 0;
    return spare;
  }
  double u = ru() + 1e-300, v = ru();
  double r = sqrt(-2 * log(u));
  spare = r * sin(6.283185307179586 * v);
  has = 1;
  return r * cos(6.283185307179586 * v);
}
static char host[NH][96];
static char hip[NH][4][16];
static double hmed[NH];
static int htls[NH], hport[NH], hpass[NH];
static char pod[NP][16];
static int podua[NP];
static double cum[NH];
static uint16_t alias_[NH];
static double prob[NH];
static char path[4096][96];
static int npath[NH], pbase[NH];
static const char *uas[] = {
    "curl/7.64.0",
    "Go-http-client/1.1",
    "aws-sdk-java/2.21.29 Linux/5.10.199-190.747.amzn2.x86_64 OpenJDK_64-Bit_Server_VM/17.0.9+8-LTS "
    "Java/17.0.9 vendor/Amazon io/sync http/Apache cfg/retry-mode/legacy",
    "python-requests/2.31.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 "
    "Safari/605.1.15",
    "Apache-HttpClient/4.5.14 (Java/17.0.9)",
    "axios/1.6.2",
    "aws-sdk-go/1.48.0 (go1.21.4; linux; amd64) S3Manager",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 "
    "Safari/537.36 Edg/119.0.0.0",
    "python-urllib3/2.1.0",
    "Java/11.0.21"};
static const char *w[] = {"api",    "cdn",     "auth",     "login",   "data",  "static", "img",    "pay",
                          "search", "map",     "news",     "mail",    "video", "docs",   "assets", "queue",
                          "events", "metrics", "registry", "storage", "blob",  "edge",   "gw",     "users"};
static const char *d[] = {"example", "acme",     "contoso", "globex",    "initech",   "umbrella", "hooli",
                          "stark",   "wayne",    "wonka",   "cyberdyne", "tyrell",    "soylent",  "vandelay",
                          "oscorp",  "aperture", "massive", "dynamic",   "stackpole", "northwind"};
static const char *t[] = {"com", "net", "io", "org", "cn", "dev", "co.uk", "cloud"};
static const char *pw[] = {"v1",     "v2",      "api",    "users",    "orders",     "items",  "search",
                           "upload", "objects", "health", "token",    "session",    "events", "batch",
                           "config", "reports", "images", "politics", "index.html", "graphql"};
static const char hexd[] = "0123456789abcdef";
static char buf[1 << 20];
static size_t n;
static inline void fl(void) {
  fwrite(buf, 1, n, stdout);
  n = 0;
}
static inline void ps(const char *p) {
  size_t l = strlen(p);
  memcpy(buf + n, p, l);
  n += l;
}
static inline void pc(char c) {
  buf[n++] = c;
}
static inline void pu(uint64_t v) {
  char b[24];
  int i = 24;
  do {
    b[--i] = '0' + v % 10;
    v /= 10;
  } while (v);
  memcpy(buf + n, b + i, 24 - i);
  n += 24 - i;
}
static inline void p2(int v) {
  buf[n++] = '0' + v / 10;
  buf[n++] = '0' + v % 10;
}
static inline void p3(int v) {
  buf[n++] = '0' + v / 100;
  p2(v % 100);
}
static void setup(uint64_t sd) {
  seed(sd);
  strcpy(host[0], "edition.cnn.com");
  strcpy(host[1], "my-nginx.mesh-external.svc.cluster.local");
  strcpy(host[2], "map.baidu.com");
  for (int i = 0; i < NH; i++) {
    if (i > 2) {
      int k = rnd() % 4;
      if (k == 0)
        snprintf(host[i], 96, "%s.%s.%s", w[rnd() % 24], d[rnd() % 20], t[rnd() % 8]);
      else if (k == 1)
        snprintf(host[i], 96, "%s-%d.%s.%s", w[rnd() % 24], (int)(rnd() % 90) + 1, d[rnd() % 20],
                 t[rnd() % 8]);
      else if (k == 2)
        snprintf(host[i], 96, "%s.%s-%d.%s.%s.%s", w[rnd() % 24], w[rnd() % 24], (int)(rnd() % 40),
                 "eu-west-1", d[rnd() % 20], t[rnd() % 8]);
      else
        snprintf(host[i], 96, "%s-%s-backend.team-%s-prod%d.svc.cluster.local", w[rnd() % 24], w[rnd() % 24],
                 d[rnd() % 20], (int)(rnd() % 30));
      for (int j = 0; j < i; j++)
        if (!strcmp(host[j], host[i])) {
          char b[96];
          snprintf(b, 96, "h%d.%s", i, host[i]);
          strcpy(host[i], b);
          break;
        }
    }
    for (int k = 0; k < 4; k++)
      snprintf(hip[i][k], 16, "%d.%d.%d.%d", (int)(20 + rnd() % 200), (int)(rnd() % 256), (int)(rnd() % 256),
               (int)(1 + rnd() % 254));
    hmed[i] = exp(3.2 + 1.1 * gauss());
    htls[i] = i == 2 || ru() < 0.14;
    hport[i] = htls[i] ? 443 : (ru() < 0.7 ? 80 : 8080);
    hpass[i] = i > 50 && ru() < 0.10;
    npath[i] = 8 + rnd() % 56;
    pbase[i] = rnd() % 4032;
  }
  for (int i = 0; i < 4096; i++) {
    int k = 2 + rnd() % 4, o = 0;
    for (int j = 0; j < k; j++)
      o += snprintf(path[i] + o, 96 - o, "/%s", pw[rnd() % 20]);
    if (ru() < 0.3)
      o += snprintf(path[i] + o, 96 - o, "/%d", (int)(rnd() % 1000));
    if (ru() < 0.15)
      snprintf(path[i] + o, 96 - o, "?page=%d&limit=50", (int)(rnd() % 30));
  }
  for (int i = 0; i < NP; i++) {
    snprintf(pod[i], 16, "10.80.%d.%d", 2 + i / 60, 10 + (i * 7) % 240);
    podua[i] = rnd() % 12;
  }
  double S = 0;
  for (int i = 0; i < NH; i++)
    S += cum[i] = 1 / pow(i + 1, 1.05);
  /* Vose alias */
  static double q[NH];
  static int sm[NH], lg[NH];
  int a = 0, b = 0;
  for (int i = 0; i < NH; i++) {
    q[i] = cum[i] / S * NH;
    if (q[i] < 1)
      sm[a++] = i;
    else
      lg[b++] = i;
  }
  while (a && b) {
    int l = sm[--a], g = lg[--b];
    prob[l] = q[l];
    alias_[l] = g;
    q[g] -= 1 - q[l];
    if (q[g] < 1)
      sm[a++] = g;
    else
      lg[b++] = g;
  }
  while (b)
    prob[lg[--b]] = 1;
  while (a)
    prob[sm[--a]] = 1;
}
static inline int zip(void) {
  int i = rnd() % NH;
  return ru() < prob[i] ? i : alias_[i];
}
static int64_t sec = -1;
static char ds[32], dn[40];
static const char *mon[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static void day(int64_t us) {
  int64_t x = us / 1000000;
  if (x == sec)
    return;
  sec = x;
  time_t tt = x;
  struct tm m;
  gmtime_r(&tt, &m);
  snprintf(ds, 32, "%04d-%02d-%02dT%02d:%02d:%02d", m.tm_year + 1900, m.tm_mon + 1, m.tm_mday, m.tm_hour,
           m.tm_min, m.tm_sec);
  snprintf(dn, 40, "%02d/%s/%04d:%02d:%02d:%02d +0000", m.tm_mday, mon[m.tm_mon], m.tm_year + 1900, m.tm_hour,
           m.tm_min, m.tm_sec);
}
static inline void uuid(void) {
  uint64_t a = rnd(), b = rnd();
  char *p = buf + n;
  int j = 0;
  for (int i = 0; i < 36; i++) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      p[i] = '-';
      continue;
    }
    uint64_t v = j < 16 ? a >> (4 * j) : b >> (4 * (j - 16));
    p[i] = i == 14 ? '4' : hexd[v & 15];
    j++;
  }
  n += 36;
}
static inline void q(const char *v) {
  pc('"');
  ps(v);
  pc('"');
}
int main(int c, char **v) {
  if (c < 3) {
    fprintf(stderr, "gen envoy|mesh|nginx|squid LINES [SEED [MICROSECONDS [START]]]\n");
    return 2;
  }
  int64_t N = atoll(v[2]);
  setup(20200908);
  seed(c > 3 ? strtoull(v[3], 0, 10) : 7);
  int64_t us = c > 5 ? atoll(v[5]) : 1598596320477000ll;
  int step = N > 0 ? 86400000000ll / (N > 1000000 ? N / 8 : N) : 1;
  if (c > 4)
    step = atoi(v[4]);
  if (step < 2)
    step = 2;
  char kind = v[1][0];
  for (int64_t i = 0; i < N; i++) {
    if (n > (1 << 20) - 2048)
      fl();
    us += rnd() % (2 * step);
    int h = zip(), p = rnd() % NP;
    int64_t ts = us - (int64_t)(rnd() % 20000);
    day(ts);
    int ms = (ts / 1000) % 1000;
    double dur = hmed[h] * exp(0.9 * gauss());
    if (ru() < 0.004)
      dur *= 30;
    if (dur > 3.6e6)
      dur = 3.6e6;
    double f = ru();
    const char *ip = hip[h][rnd() & 3];
    int port = 32768 + rnd() % 28000, port2 = 32768 + rnd() % 28000;
    uint64_t rx = htls[h] ? 600 + rnd() % 900 : (rnd() % 5 ? 0 : rnd() % 20000),
             tx = (uint64_t)exp(8.3 + 1.6 * gauss());
    if (kind == 'e' || kind == 'm') {
      int tls = htls[h], gw = kind == 'm' && !hpass[h];
      int blocked = f < 0.012, fail = f >= 0.012 && f < 0.03;
      int bypass = hpass[h];
      const char *px = path[pbase[h] + rnd() % npath[h]];
      int d = (int)dur;
      int code, g = rnd() % 100;
      const char *fl_ = "-", *det = "via_upstream", *term = "-", *tf = "-";
      const char *meth = g < 70   ? "GET"
                         : g < 88 ? "POST"
                         : g < 94 ? "PUT"
                         : g < 97 ? "HEAD"
                         : g < 99 ? "DELETE"
                                  : "PATCH";
      code = ru() < 0.9 ? 200 : (rnd() % 4 == 0 ? 404 : rnd() % 3 == 0 ? 301 : rnd() % 2 ? 304 : 201);
      if (tls) {
        code = 0;
        det = "-";
      }
      if (blocked) {
        if (tls) {
          fl_ = "UH";
          tx = 0;
          rx = 0;
          d = 0;
          det = "-";
        } else {
          code = 502;
          fl_ = "-";
          det = "direct_response";
          d = 0;
          tx = 0;
          if (rnd() % 3 == 0) {
            code = 403;
            det = "rbac_access_denied_matched_policy[none]";
          }
        }
      }
      if (fail) {
        int k = rnd() % 5;
        if (tls) {
          fl_ = k < 2 ? "UF,URX" : k == 2 ? "UF" : k == 3 ? "DC" : "UO";
          det = "-";
          if (k < 3) {
            tf = "delayed_connect_error:_111";
            tx = 0;
          }
        } else {
          code = k == 0 ? 504 : k == 4 ? 0 : 503;
          fl_ = k == 0 ? "UT" : k == 1 ? "UF" : k == 2 ? "UC" : k == 3 ? "NR" : "DC";
          det = k == 0 ? "response_timeout"
                : k == 1
                    ? "upstream_reset_before_response_started{connection_failure,delayed_connect_error:_111}"
                : k == 2 ? "upstream_reset_before_response_started{connection_termination}"
                : k == 3 ? "route_not_found"
                         : "downstream_remote_disconnect";
          if (k == 1)
            tf = "delayed_connect_error:_111";
          if (k == 0)
            d = 15000 + rnd() % 100;
        }
      }
      pc('[');
      ps(ds);
      pc('.');
      p3(ms);
      ps("Z] \"");
      if (tls)
        ps("- - -");
      else {
        ps(meth);
        pc(' ');
        if (rnd() % 3 == 0) {
          ps("/id/");
          pu(rnd() % 2000000);
        }
        ps(px);
        ps(g % 3 ? " HTTP/1.1" : " HTTP/2");
      }
      ps("\" ");
      pu(code);
      pc(' ');
      ps(fl_);
      pc(' ');
      ps(det);
      pc(' ');
      ps(term);
      pc(' ');
      q(tf);
      pc(' ');
      pu(rx);
      pc(' ');
      pu(tx);
      pc(' ');
      pu(d);
      pc(' ');
      if (tls || blocked || fail)
        pc('-');
      else
        pu(d > 1 ? d - rnd() % 2 : d);
      pc(' ');
      if (tls)
        ps("\"-\" \"-\" \"-\" \"-\"");
      else {
        if (rnd() % 4 == 0)
          q("-");
        else {
          pc('"');
          ps(pod[p]);
          if (rnd() % 2) {
            ps(",10.240.");
            pu(rnd() % 4);
            pc('.');
            pu(p);
          }
          pc('"');
        }
        pc(' ');
        q(uas[rnd() % 8 ? podua[p] : rnd() % 12]);
        ps(" \"");
        uuid();
        ps("\" ");
        pc('"');
        ps(host[h]);
        if (hport[h] == 8080)
          ps(":8080");
        pc('"');
      }
      ps(" \"");
      int noup = (blocked) || (fail && fl_[0] == 'N');
      if (noup)
        pc('-');
      else if (gw) {
        ps("10.80.3.232:");
        pu(tls ? 8443 : 8080);
      } else {
        ps(ip);
        pc(':');
        pu(hport[h]);
      }
      ps("\" ");
      if (blocked)
        ps(tls ? "BlackHoleCluster" : "-");
      else if (fail && fl_[0] == 'N')
        pc('-');
      else if (bypass)
        ps("PassthroughCluster");
      else if (gw) {
        ps("outbound|");
        pu(tls ? 443 : 80);
        ps("|egress|istio-egressgateway.istio-system.svc.cluster.local");
      } else {
        ps("outbound|");
        pu(hport[h]);
        ps("||");
        ps(host[h]);
      }
      pc(' ');
      if (noup)
        pc('-');
      else {
        ps(pod[p]);
        pc(':');
        pu(port);
      }
      pc(' ');
      ps(ip);
      pc(':');
      pu(hport[h]);
      pc(' ');
      ps(pod[p]);
      pc(':');
      pu(port2);
      pc(' ');
      if (tls && !(bypass && rnd() % 2))
        ps(host[h]);
      else
        pc('-');
      pc(' ');
      if (blocked)
        ps(tls ? "-" : "block_all");
      else if (tls)
        pc('-');
      else
        ps(bypass ? "allow_any" : "default");
      pc('\n');
    } else if (kind == 'n') {
      int blocked = f < 0.02, fail = f >= 0.02 && f < 0.03;
      ps(rnd() % 2 ? "127.0.0.1" : pod[p]);
      ps(" [");
      ps(dn);
      ps("] TCP [");
      ps(blocked && rnd() % 3 == 0 ? "-" : host[h]);
      pc(']');
      pu(blocked ? (rnd() % 2 ? 403 : 500) : fail ? 502 : 200);
      pc(' ');
      pu(blocked || fail ? 0 : tx);
      pc(' ');
      pu(rx);
      pc(' ');
      pu((uint64_t)(dur / 1000));
      pc('.');
      p3((int)dur % 1000);
      pc('\n');
    } else {
      int blocked = f < 0.02, fail = f >= 0.02 && f < 0.03;
      int tls = htls[h];
      pu(ts / 1000000);
      pc('.');
      p3(ms);
      pc(' ');
      {
        char b[16];
        int l = snprintf(b, 16, "%6d", (int)dur);
        memcpy(buf + n, b, l);
        n += l;
      }
      pc(' ');
      ps(pod[p]);
      pc(' ');
      if (blocked)
        ps("TCP_DENIED/403");
      else if (tls)
        ps(fail ? "TCP_TUNNEL/503" : "TCP_TUNNEL/200");
      else if (fail)
        ps("TCP_MISS_ABORTED/000");
      else {
        int g = rnd() % 10;
        ps(g < 7 ? "TCP_MISS/200" : g == 7 ? "TCP_HIT/200" : g == 8 ? "TCP_MEM_HIT/200" : "TCP_MISS/404");
      }
      pc(' ');
      pu(blocked ? 3900 + rnd() % 200 : fail ? 0 : tx);
      pc(' ');
      if (tls) {
        ps("CONNECT ");
        ps(host[h]);
        ps(":443");
      } else {
        ps(rnd() % 5 ? "GET" : "POST");
        ps(" http://");
        ps(host[h]);
        if (hport[h] == 8080)
          ps(":8080");
        ps(path[pbase[h] + rnd() % npath[h]]);
      }
      ps(" - ");
      if (blocked)
        ps("HIER_NONE/-");
      else {
        ps("HIER_DIRECT/");
        ps(ip);
      }
      pc(' ');
      ps(tls || blocked || fail ? (blocked ? "text/html" : "-")
                                : (rnd() % 3 ? "application/json" : "text/html"));
      pc('\n');
    }
  }
  fl();
  return 0;
}
