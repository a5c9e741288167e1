/* How fast a gzip file inflates on this machine; the output is thrown away.
 *
 *     inflate zlib|deflate|isal FILE REPS
 *
 * libdeflate and ISA-L take part where their headers are installed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <time.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/stat.h>
#include <zlib.h>
#if __has_include(<libdeflate.h>)
#include <libdeflate.h>
#define HAS_LIBDEFLATE 1
#endif
#if __has_include(<isa-l/igzip_lib.h>)
#include <isa-l/igzip_lib.h>
#define HAS_ISAL 1
#endif
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}
int main(int c, char **v) {
  int fd = open(v[2], O_RDONLY);
  struct stat st;
  fstat(fd, &st);
  unsigned char *in = malloc(st.st_size);
  size_t g = 0;
  while (g < (size_t)st.st_size)
    g += read(fd, in + g, st.st_size - g);
  int R = atoi(v[3]);
  size_t OB = 1 << 18;
  unsigned char *o = malloc(OB);
  double t[50];
  size_t tot = 0;
  uint32_t isz;
  memcpy(&isz, in + st.st_size - 4, 4);
  unsigned char *big = 0;
  if (!strcmp(v[1], "deflate")) {
    big = malloc(isz);
    memset(big, 1, isz);
  }
  for (int k = 0; k < R; k++) {
    tot = 0;
    double a = now();
    if (!strcmp(v[1], "zlib")) {
      z_stream z;
      memset(&z, 0, sizeof z);
      inflateInit2(&z, 31);
      z.next_in = in;
      z.avail_in = st.st_size;
      int r;
      do {
        z.next_out = o;
        z.avail_out = OB;
        r = inflate(&z, Z_NO_FLUSH);
        tot += OB - z.avail_out;
      } while (r == Z_OK);
      inflateEnd(&z);
      if (r != Z_STREAM_END)
        return 1;
    }
#ifdef HAS_LIBDEFLATE
    else if (!strcmp(v[1], "deflate")) {
      struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
      size_t n;
      if (libdeflate_gzip_decompress(d, in, st.st_size, big, isz, &n))
        return 1;
      tot = n;
      libdeflate_free_decompressor(d);
    }
#endif
#ifdef HAS_ISAL
    else if (!strcmp(v[1], "isal")) {
      struct inflate_state s;
      struct isal_gzip_header h;
      isal_inflate_init(&s);
      isal_gzip_header_init(&h);
      s.crc_flag = ISAL_GZIP;
      s.next_in = in;
      s.avail_in = st.st_size;
      do {
        s.next_out = o;
        s.avail_out = OB;
        if (isal_inflate(&s))
          return 1;
        tot += OB - s.avail_out;
      } while (s.block_state != ISAL_BLOCK_FINISH);
    }
#endif
    else {
      fprintf(stderr, "inflate: %s is not built in\n", v[1]);
      return 2;
    }
    t[k] = now() - a;
  }
  for (int i = 0; i < R; i++)
    for (int j = i + 1; j < R; j++)
      if (t[j] < t[i]) {
        double z = t[i];
        t[i] = t[j];
        t[j] = z;
      }
  printf("%-8s %s out %zu median %.3f s (min %.3f max %.3f) %.0f MB/s of output\n", v[1], v[2], tot, t[R / 2],
         t[0], t[R - 1], tot / t[R / 2] * 1e-6);
}
