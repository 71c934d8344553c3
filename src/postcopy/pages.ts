import type { RamBlock } from "../pages/block.ts";
import type { PageMap } from "../pages/map.ts";

/** Where the page server's pages come from: a page map, and reads that check what they read. */
export interface PageSource {
  readonly map: PageMap;
  /**
   * Reads pages [page, page + views.length), which lie side by side in a store, without leaving the thread.
   *
   * @throws FixedramError when the bytes are not there, or do not match their digests: then none of them may be sent
   */
  readNow(views: readonly Uint8Array[], store: number, offset: number, block: RamBlock, page: number): void;
  /** The same without holding the thread. */
  readLater(views: readonly Uint8Array[], store: number, offset: number, block: RamBlock, page: number): Promise<void>;
  /**
   * Between reading and sending: the first `count` views still are what was saved, as far as the file tells.
   *
   * @throws FixedramError when the file was changed and they are not
   */
  confirm(block: RamBlock, page: number, views: readonly Uint8Array[], count: number): void;
}

/** What carries bytes to the destination, in order. */
export interface Wire {
  /**
   * @param done called once `bytes` may be used again; not when `write` returns true
   * @returns true: they are gone already
   */
  write(bytes: Uint8Array, done: () => void): boolean;
}

/** Why a page was sent. */
export type SendKind = "fault" | "window" | "prefetch" | "push";

/** What a page server does, for who wants to look on. Called for every piece: cheap, and not at all when nobody listens. */
export interface Watcher {
  /**
   * Pages [first, first + count) of a block were sent.
   *
   * @param time milliseconds on the page server's clock
   * @param took of a fault: microseconds from request to answer; else 0
   */
  sent(kind: SendKind, block: number, first: number, count: number, time: number, took: number): void;
}
