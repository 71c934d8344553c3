import type { RamBlock } from "./block.ts";
import type { ExtentList } from "./extents.ts";
import type { Store } from "./store.ts";

/**
 * Where a page is. Every container that allows random access (fixed-ram file, mapped-ram by QEMU, libvirt image, indexed
 * stream) is one; resume, convert, verify and the rest work on this alone.
 */
export interface PageMap {
  readonly blocks: readonly RamBlock[];
  /** What the extents' `store` field counts in. */
  readonly stores: readonly Store[];
  /**
   * Describes pages [first, first + count) of a block, synchronously and without allocating.
   *
   * Appends extents in page order to `into` and returns how many pages they cover: `count`, or fewer when `into` is full
   * (call again from there). The caller clears `into`.
   */
  extents(block: number, first: number, count: number, into: ExtentList): number;
}
