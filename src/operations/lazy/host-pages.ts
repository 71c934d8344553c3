import { readFileSync } from "node:fs";

/** AT_PAGESZ of getauxval(3). */
const pageSizeEntry = 6n;

/** The host's page size, bytes, as the kernel told this process; 4096 where it cannot be read. */
export function hostPageSize(): number {
  try {
    const words = new BigUint64Array(new Uint8Array(readFileSync("/proc/self/auxv")).buffer);
    for (let i = 0; i + 1 < words.length; i += 2) if (words[i] === pageSizeEntry) return Number(words[i + 1]);
  } catch {
    // No /proc here.
  }
  return 4096;
}
