import type { SharedBits } from "../../fixedram/placed-pages.ts";
import type { RamBlock } from "../../pages/block.ts";
import type { PageBatch } from "../../pages/sink.ts";

/**
 * Looks on while a save's pages come. Called once a batch, in the thread that takes them: what it does there, the save waits for. Without
 * one nothing is done for it.
 */
export interface SaveWatcher {
  /**
   * The block list has come.
   *
   * @param shared of each block: the bits that threads set for pages which come by multifd channels, and are told of in no other way; null:
   *   every page comes in the stream
   */
  laidOut(blocks: readonly RamBlock[], shared: readonly SharedBits[] | null): void;
  /** Pages came. The batch is valid until this returns. */
  pages(batch: PageBatch): void;
  zeroPages(block: RamBlock, first: number, count: number): void;
}
