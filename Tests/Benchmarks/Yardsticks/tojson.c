/* Rewrites an Envoy log of Istio's default text format as Istio's default JSON, line by line, on standard output.
 *
 *     tojson LOG > LOG.json
 *
 * For generated logs, in which no field holds a quote. A missing value ("-") becomes null, as since Istio 1.9. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *keys[] = {"response_code",
                             "response_flags",
                             "response_code_details",
                             "connection_termination_details",
                             "upstream_transport_failure_reason",
                             "bytes_received",
                             "bytes_sent",
                             "duration",
                             "upstream_service_time",
                             "x_forwarded_for",
                             "user_agent",
                             "request_id",
                             "authority",
                             "upstream_host",
                             "upstream_cluster",
                             "upstream_local_address",
                             "downstream_local_address",
                             "downstream_remote_address",
                             "requested_server_name",
                             "route_name"};
/* Typed JSON: numbers stand without quotes. */
static const char isNumber[] = {1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

static void value(const char *text, size_t length, int number) {
  if (length == 1 && *text == '-')
    fputs("null", stdout);
  else if (number)
    fwrite(text, 1, length, stdout);
  else
    printf("\"%.*s\"", (int)length, text);
}

/* The field at *next, which may stand in quotes; moves on to the one behind it. */
static char *field(char **next, size_t *length) {
  char *start = *next, end = ' ';
  if (*start == '"') {
    start++;
    end = '"';
  }
  char *stop = start + strcspn(start, end == '"' ? "\"\n" : " \n");
  *length = stop - start;
  *next = stop + (*stop == '"');
  if (**next == ' ')
    (*next)++;
  return start;
}

int main(int count, char **arguments) {
  FILE *log = count == 2 ? fopen(arguments[1], "r") : NULL;
  if (!log) {
    fprintf(stderr, "tojson LOG\n");
    return 2;
  }
  char *line = NULL;
  size_t capacity = 0, length;
  while (getline(&line, &capacity, log) > 0) {
    char *next = line, *text = field(&next, &length);
    printf("{\"start_time\":\"%.*s\"", (int)length - 2, text + 1);
    text = field(&next, &length);
    char *path = memchr(text, ' ', length), *end = text + length;
    char *protocol = path ? memchr(path + 1, ' ', end - path - 1) : NULL;
    if (!protocol)
      return 1;
    fputs(",\"method\":", stdout);
    value(text, path - text, 0);
    fputs(",\"path\":", stdout);
    value(path + 1, protocol - path - 1, 0);
    fputs(",\"protocol\":", stdout);
    value(protocol + 1, end - protocol - 1, 0);
    for (size_t index = 0; index < sizeof keys / sizeof *keys; index++) {
      text = field(&next, &length);
      printf(",\"%s\":", keys[index]);
      value(text, length, isNumber[index]);
    }
    fputs("}\n", stdout);
  }
  return 0;
}
