/* /init of a guest that holds known bytes at known virtual addresses, one process on each CPU: `rdinit=/bin/spinners`.
 *
 * Process n has at 0x100000000000 + n * 0x40000000: 8 MiB of words, each its own address XOR (n + 1) << 56, aligned so that the
 * kernel may use 2 MiB pages; a page that is not there; then, across a page border, a text. They spin, so that a CPU that is stopped
 * has one of them in its page tables. The text is in no file: it is put together here.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#define BASE 0x100000000000ul
#define WORDS (8ul << 20)
#define GAP 4096ul
#define TAIL 8192ul

static volatile unsigned long turns;

static void *map(unsigned long at, unsigned long length) {
  void *got = mmap((void *)at, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (got == MAP_FAILED) _exit(1);
  return got;
}

static void hold(unsigned long n) {
  unsigned long at = BASE + n * 0x40000000ul;
  uint64_t *words = map(at, WORDS);
  if (n == 0) madvise(words, WORDS, MADV_HUGEPAGE);
  for (unsigned long i = 0; i < WORDS / 8; i++) words[i] = (uint64_t)(words + i) ^ (n + 1) << 56;
  char *tail = map(at + WORDS + GAP, TAIL);
  memset(tail, 0xee, TAIL);
  char text[64];
  int length = snprintf(text, sizeof text, "%s bytes of process %lu at the border", "known", n);
  memcpy(tail + 4096 - 11, text, (size_t)length);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(n, &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0) _exit(2);
}

int main(void) {
  long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  int ready[2];
  if (pipe(ready) != 0) return 1;
  for (long n = cpus - 1; n >= 0; n--) {
    if (n > 0 && fork() != 0) continue;
    hold((unsigned long)n);
    if (n > 0) {
      if (write(ready[1], "x", 1) != 1) return 1;
    } else {
      char got;
      for (long i = 1; i < cpus; i++)
        if (read(ready[0], &got, 1) != 1) return 1;
      printf("ready %ld\n", cpus);
      fflush(stdout);
    }
    for (;;) turns++;
  }
  return 0;
}
