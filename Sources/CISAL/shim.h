/* What Gatewatch needs of ISA-L (https://github.com/intel/isa-l), which inflates twice as fast as zlib. It is looked for when
   the program is asked to use it, so that the program runs without; its header, where there is one at build time (Debian:
   libisal-dev), says how its state lies in memory, which is the same for all libraries of that soname. */
#ifndef GATEWATCH_ISAL_H
#define GATEWATCH_ISAL_H

#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>

#define GATEWATCH_ISAL_SONAME "libisal.so.2"

struct gatewatch_isal {
  /* 0: this program was built without the header. */
  size_t state_size;
  /* The functions of the library; NULL where it is not installed. */
  void *inflate_init, *inflate;
};

struct gatewatch_isal_step {
  uint32_t taken, given;
  /* 1: the data has come to its end. */
  int has_ended;
  /* 1: it is damaged. */
  int is_damaged;
  /* Bytes behind the end that were taken: the first one lowest, at most eight. */
  uint64_t behind;
  int behind_count;
};

#if __has_include(<isa-l/igzip_lib.h>)
#include <isa-l/igzip_lib.h>

static inline struct gatewatch_isal gatewatch_isal_find(void) {
  struct gatewatch_isal found = {sizeof(struct inflate_state), NULL, NULL};
  /* Never closed: it is used until the program ends. */
  void *library = dlopen(GATEWATCH_ISAL_SONAME, RTLD_NOW | RTLD_LOCAL);
  if (!library) return found;
  found.inflate_init = dlsym(library, "isal_inflate_init");
  found.inflate = dlsym(library, "isal_inflate");
  return found;
}

/* Begins with the data of another member: deflate's, without header and trailer. */
static inline void gatewatch_isal_begin(const struct gatewatch_isal *isal, void *state) {
  ((void (*)(struct inflate_state *))isal->inflate_init)(state);
}

/* Output may be held back only when all of `out` was filled. */
static inline struct gatewatch_isal_step gatewatch_isal_inflate(
    const struct gatewatch_isal *isal, void *state, const uint8_t *in, uint32_t in_count, uint8_t *out, uint32_t out_count) {
  struct inflate_state *s = state;
  struct gatewatch_isal_step step = {0};
  s->next_in = (uint8_t *)in; /* It is not written to. */
  s->avail_in = in_count;
  s->next_out = out;
  s->avail_out = out_count;
  step.is_damaged = ((int (*)(struct inflate_state *))isal->inflate)(s) != ISAL_DECOMP_OK;
  step.taken = in_count - s->avail_in;
  step.given = out_count - s->avail_out;
  step.has_ended = s->block_state == ISAL_BLOCK_FINISH;
  if (step.has_ended) {
    /* It reads eight bytes at a time; the bits before a whole byte are the padding of the last block. */
    step.behind_count = s->read_in_length / 8;
    step.behind = s->read_in >> (s->read_in_length % 8);
  }
  return step;
}

#else

static inline struct gatewatch_isal gatewatch_isal_find(void) { return (struct gatewatch_isal){0, NULL, NULL}; }

static inline void gatewatch_isal_begin(const struct gatewatch_isal *isal, void *state) {}

static inline struct gatewatch_isal_step gatewatch_isal_inflate(
    const struct gatewatch_isal *isal, void *state, const uint8_t *in, uint32_t in_count, uint8_t *out, uint32_t out_count) {
  return (struct gatewatch_isal_step){0};
}

#endif

#endif
