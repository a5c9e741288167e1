/* Writes what the egress gateway would log of the traffic in a generated sidecar log (`gen mesh`): one line for each line
 * that went to the gateway, on the same connection, a moment later.
 *
 *     nexthop LOG > gateway.log
 *
 * For Istio's default text format as gen writes it: 22 fields, in which no quoted one holds a quote. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  TIME, REQUEST, CODE, FLAGS, DETAILS, TERMINATION, FAILURE, RECEIVED, SENT, DURATION, SERVICE_TIME, FORWARDED_FOR, AGENT,
  REQUEST_ID, AUTHORITY, UPSTREAM_HOST, CLUSTER, UPSTREAM_LOCAL, DOWNSTREAM_LOCAL, DOWNSTREAM_REMOTE, SNI, ROUTE, FIELDS
};

typedef struct {
  const char *start;
  size_t length;
} field;

static uint64_t state = 88172645463325252ull;
static uint64_t next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static int split(char *line, field *fields) {
  char *p = line;
  for (int i = 0; i < FIELDS; i++) {
    char *end = *p == '"' ? strchr(p + 1, '"') : NULL;
    end = end ? end + 1 : p + strcspn(p, " \n");
    fields[i] = (field){p, end - p};
    p = end;
    if (*p == ' ') p++;
  }
  return *p == '\n';
}

static void put(field f) { fwrite(f.start, 1, f.length, stdout); }
static int is(field f, const char *text) { return f.length == strlen(text) && !memcmp(f.start, text, f.length); }

/* A later millisecond of the same second: gen's times have "[YYYY-MM-DDTHH:MM:SS.mmmZ]". */
static void put_later(field time, int by) {
  int ms = atoi(time.start + 21);
  ms = ms + by > 999 ? 999 : ms + by;
  printf("%.21s%03dZ]", time.start, ms);
}

int main(int count, char **words) {
  FILE *log = count == 2 ? fopen(words[1], "r") : NULL;
  if (!log) {
    fprintf(stderr, "nexthop LOG > gateway.log\n");
    return 2;
  }
  static char out[1 << 20];
  setvbuf(stdout, out, _IOFBF, sizeof out);
  char *line = NULL;
  size_t room = 0;
  while (getline(&line, &room, log) > 0) {
    field f[FIELDS];
    if (!split(line, f)) continue;
    /* "10.80.3.232:8443" */
    if (f[UPSTREAM_HOST].length < 14 || memcmp(f[UPSTREAM_HOST].start, "\"10.80.3.232:", 13)) continue;
    int is_http = !is(f[AUTHORITY], "\"-\"");
    field host = is_http ? (field){f[AUTHORITY].start + 1, f[AUTHORITY].length - 2} : f[SNI];
    const char *colon = memchr(host.start, ':', host.length);
    if (colon) host.length = colon - host.start;
    const char *port = (const char *)memchr(f[DOWNSTREAM_LOCAL].start, ':', f[DOWNSTREAM_LOCAL].length) + 1;
    int port_length = f[DOWNSTREAM_LOCAL].start + f[DOWNSTREAM_LOCAL].length - port;

    put_later(f[TIME], 1 + next() % 3);
    for (int i = REQUEST; i <= AUTHORITY; i++) {
      putchar(' ');
      put(f[i]);
    }
    printf(" \"%.*s\" outbound|%.*s||%.*s", (int)f[DOWNSTREAM_LOCAL].length, f[DOWNSTREAM_LOCAL].start, port_length, port,
           (int)host.length, host.start);
    printf(" 10.80.3.232:%d %.*s ", (int)(32768 + next() % 28000), (int)f[UPSTREAM_HOST].length - 2,
           f[UPSTREAM_HOST].start + 1);
    put(f[UPSTREAM_LOCAL]);
    putchar(' ');
    put(f[SNI]);
    putchar(' ');
    put(f[ROUTE]);
    putchar('\n');
  }
  return fflush(stdout) != 0;
}
