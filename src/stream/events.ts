import type { RamBlock } from "../pages/block.ts";
import type { PageBatch } from "../pages/sink.ts";
import type { StreamRecord } from "./records.ts";

/** How a page is encoded that does not come as its plain bytes. */
export type PageEncoding = "xbzrle" | "zlib";

/**
 * What a {@link StreamReader} gives and a {@link StreamWriter} takes, in stream order.
 *
 * Batches and encoded data are views on reused memory, valid until the call returns; records may be kept.
 */
export interface StreamEvents {
  record(record: StreamRecord): void;
  pages(batch: PageBatch): void;
  /** Pages [firstPage, firstPage + count) are zero. */
  zeroPages(block: RamBlock, firstPage: number, count: number): void;
  /** xbzrle applies to the page's content so far (see xbzrle.ts), zlib replaces it. */
  encoded(block: RamBlock, page: number, kind: PageEncoding, data: Uint8Array): void;
}

export interface StreamReaderOptions {
  /** Where the stream begins in its file, bytes; mapped-ram offsets are absolute. Default 0. */
  readonly base?: number;
  /** Target page size, bytes, when the configuration does not say. Default 4096. */
  readonly pageSize?: number;
  /** Page size of the host that wrote the stream, bytes. Default 4096. */
  readonly hostPageSize?: number;
  /** Bound on what must be held in memory at once: device state, a packaged command, a dirty bitmap. Default 256 MiB. */
  readonly maxDeviceState?: number;
  /** Default 65536. */
  readonly maxBlocks?: number;
}

/** {@link StreamReaderOptions} with the defaults filled in, shared by the reader's parts. */
export interface Limits {
  readonly maxDeviceState: number;
  readonly maxBlocks: number;
}
