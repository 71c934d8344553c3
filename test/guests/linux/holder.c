/*
 * Holds known bytes at a known address and computes for ever: for tests that look into a saved guest.
 * Byte i of two pages at 0x200000000000 is (7 i + i / 256) mod 256, but for a text at 5000; the third page was never touched.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096

int main(void) {
  uint8_t *held = mmap((void *)0x200000000000, 3 * PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (held == MAP_FAILED) return 1;
  for (int i = 0; i < 2 * PAGE; i++) held[i] = (uint8_t)(i * 7 + i / 256);
  strcpy((char *)held + 5000, "fixedram holds this");
  FILE *ready = fopen("/run/holder", "w");
  if (ready == NULL) return 1;
  fprintf(ready, "%d\n", getpid());
  fclose(ready);
  for (volatile uint64_t n = 0;; n++) continue;
}
