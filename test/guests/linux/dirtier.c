/* Keeps rewriting memory and verifying it: `dirtier MIB THREADS MIB_A_SECOND STATUS_FILE CONSOLE`.
 *
 * Each thread owns a part of the memory and sweeps over it. What a page holds follows from its address and generation; every
 * page is verified before it is rewritten with the next generation, every eighth page of a generation is zeroed instead.
 * STATUS_FILE gets "pages-checked bad-pages" four times a second; a bad page is reported on CONSOLE at once.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define WORDS (PAGE / 8)

static atomic_ulong checked, bad;
static int console;
static unsigned long rate_pages; /* a second and thread; 0: no limit */

struct part {
  uint64_t *memory;
  unsigned long pages;
};

static uint64_t first_word(const uint64_t *page, unsigned long index, uint64_t generation) {
  if (((index >> 2) + generation) % 8 == 0) return 0;
  return ((uintptr_t)page * 0x9e3779b97f4a7c15u + generation * 0xc2b2ae3d27d4eb4fu) | 1;
}

static void write_page(uint64_t *page, unsigned long index, uint64_t generation) {
  uint64_t word = first_word(page, index, generation);
  if (word == 0) {
    memset(page, 0, PAGE);
    return;
  }
  for (int i = 0; i < WORDS; i++, word += 0x165667b19e3779f9u) page[i] = word;
}

static void check_page(const uint64_t *page, unsigned long index, uint64_t generation) {
  uint64_t word = first_word(page, index, generation);
  uint64_t step = word == 0 ? 0 : 0x165667b19e3779f9u;
  for (int i = 0; i < WORDS; i++, word += step) {
    if (page[i] == word) continue;
    char line[200];
    int length = snprintf(line, sizeof line, "BAD dirtier page %lu word %d generation %lu found %016lx expected %016lx\n", index, i,
                          (unsigned long)generation, (unsigned long)page[i], (unsigned long)word);
    /* The first few say enough. */
    if (atomic_fetch_add(&bad, 1) < 5 && write(console, line, (size_t)length) < 0) perror("dirtier");
    return;
  }
}

static void *sweep(void *argument) {
  struct part *part = argument;
  unsigned long budget = 0;
  for (uint64_t generation = 1;; generation++) {
    for (unsigned long i = 0; i < part->pages; i++) {
      uint64_t *page = part->memory + i * WORDS;
      check_page(page, i, generation);
      write_page(page, i, generation + 1);
      atomic_fetch_add(&checked, 1);
      if (rate_pages != 0 && ++budget >= rate_pages / 50 + 1) {
        budget = 0;
        nanosleep(&(struct timespec){0, 20000000}, NULL);
      }
    }
  }
  return NULL;
}

int main(int count, char **arguments) {
  if (count != 6) return 2;
  unsigned long mib = strtoul(arguments[1], NULL, 10), threads = strtoul(arguments[2], NULL, 10);
  if (mib == 0 || threads == 0) return 2;
  rate_pages = strtoul(arguments[3], NULL, 10) * 256 / threads;
  console = open(arguments[5], O_WRONLY | O_NOCTTY);
  for (unsigned long t = 0; t < threads; t++) {
    struct part *part = malloc(sizeof *part);
    part->pages = mib * 256 / threads;
    part->memory = mmap(NULL, part->pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (part->memory == MAP_FAILED) return 1;
    for (unsigned long i = 0; i < part->pages; i++) write_page(part->memory + i * WORDS, i, 1);
    pthread_t thread;
    if (pthread_create(&thread, NULL, sweep, part) != 0) return 1;
  }
  for (;;) {
    char line[64];
    int length = snprintf(line, sizeof line, "%lu %lu\n", atomic_load(&checked), atomic_load(&bad));
    int file = open(arguments[4], O_WRONLY | O_CREAT, 0644);
    if (file >= 0) {
      /* In place and growing only, so a reader never sees it empty. */
      if (pwrite(file, line, (size_t)length, 0) < 0) perror("dirtier");
      close(file);
    }
    nanosleep(&(struct timespec){0, 100000000}, NULL);
  }
}
