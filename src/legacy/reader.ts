import { FixedramError } from "../errors.ts";
import type { PageMap } from "../pages/map.ts";
import type { Store } from "../pages/store.ts";
import { capabilitiesOf } from "../stream/configuration.ts";
import type { ConfigurationRecord, DeviceRecord, RamStartRecord, StreamRecord } from "../stream/records.ts";
import { parseVmdesc } from "../stream/vmdesc.ts";
import { type StreamCounts, StreamIndexer } from "./indexer.ts";
import { LegacyMap } from "./map.ts";
import { Overlay, type ScratchStore } from "./overlay.ts";
import type { PageTable } from "./page-table.ts";

export interface LegacyOptions {
  /** Where the stream begins, bytes. Default 0. */
  readonly base?: number;
  /** No byte at or past this offset is read. Default: the store's size. */
  readonly limit?: number;
  /** Target page size, bytes, when the configuration does not say. Default 4096. */
  readonly pageSize?: number;
  /** Makes the file that XBZRLE and compressed pages are unpacked into; called only if there are any. */
  readonly scratch: () => ScratchStore;
  /** Bound on the memory for the page tables. Default 2 GiB: 1 TiB of RAM with every page present. */
  readonly maxIndexBytes?: number;
  /** Bound on what encoded pages unpack to. Default 64 GiB. */
  readonly maxOverlayBytes?: number;
  /** Bound on records that are not pages. Default 2^20; their bytes are bounded by 256 MiB. */
  readonly maxRecords?: number;
  /** Bytes read at once. Default 1 MiB, with which reading in sequence reaches a disk's full rate. */
  readonly pieceBytes?: number;
  /** Bytes of the store read so far, and how many there are. */
  readonly onRead?: (bytes: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** A legacy stream in which every page's last content has been found: what an index file keeps. */
export interface StreamIndex {
  readonly streamBase: number;
  /** The byte after the stream's last. */
  readonly streamEnd: number;
  /** Every record in stream order, but the PARTs of the RAM section. */
  readonly records: readonly StreamRecord[];
  readonly ramStart: RamStartRecord;
  readonly tables: readonly PageTable[];
  /** For each block: whether the stream says anything of its pages. */
  readonly mentioned: readonly boolean[];
  readonly counts: StreamCounts;
}

/** A migration stream whose pages have no fixed place, as a page map. */
export interface LegacyStream {
  readonly store: Store;
  readonly configuration: ConfigurationRecord;
  readonly ramStart: RamStartRecord;
  readonly devices: readonly DeviceRecord[];
  readonly vmdesc: Uint8Array | null;
  readonly records: readonly StreamRecord[];
  readonly streamBase: number;
  readonly streamEnd: number;
  readonly map: PageMap;
  readonly counts: StreamCounts;
  /** False when pages had to be unpacked: an index could not say where they are. */
  readonly indexable: boolean;
  readonly index: StreamIndex;
  /** Gives the unpacked pages' file back; the store stays open. */
  close(): Promise<void>;
}

const maxRecordBytes = 2 ** 28;

/**
 * Reads a legacy stream once from beginning to end (docs/format.md, "Streams without fixed places") and finds each page's
 * last content: a later PAGE wins, ZERO makes it zero, XBZRLE and compressed pages are unpacked into `options.scratch`.
 * Memory: 8 bytes for each page that is present, by groups of 16, and the records. The store stays the caller's.
 *
 * @throws `stream.*`; `file.mapped-ram` for a stream whose pages do have a fixed place; `file.no-ram`; `file.postcopy`;
 *   `file.page-size`; `file.too-large`; `file.truncated`; `system.*` for the scratch file
 */
export async function openLegacy(store: Store, options: LegacyOptions): Promise<LegacyStream> {
  const overlay = new Overlay(options.scratch, options.maxOverlayBytes ?? 2 ** 36);
  try {
    const index = await indexStream(store, overlay, options);
    const vmdesc = index.records.find((record) => record.kind === "vmdesc");
    if (vmdesc !== undefined) checkPageSize(store.name, vmdesc.bytes, index.ramStart);
    return legacyStream(store, index, overlay.store);
  } catch (error) {
    await overlay.store?.close();
    throw error;
  }
}

async function indexStream(store: Store, overlay: Overlay, options: LegacyOptions): Promise<StreamIndex> {
  const { pageSize } = options;
  const base = options.base ?? 0;
  const limit = Math.min(store.size, options.limit ?? store.size);
  const limits = {
    maxIndexBytes: options.maxIndexBytes ?? 2 ** 31,
    maxRecords: options.maxRecords ?? 2 ** 20,
    maxRecordBytes,
  };
  const indexer = new StreamIndexer(overlay, limits, { base, ...(pageSize === undefined ? {} : { pageSize }) });
  const { reader } = indexer;
  const buffer = new Uint8Array(options.pieceBytes ?? 2 ** 20);
  while (!reader.complete) {
    options.signal?.throwIfAborted();
    const at = reader.position;
    const wanted = Math.max(0, Math.min(buffer.length, limit - at));
    const count = wanted === 0 ? 0 : await readPiece(store, buffer.subarray(0, wanted), at, options.signal);
    if (count === 0) {
      reader.end();
      break;
    }
    reader.push(buffer.subarray(0, count));
    if (indexer.unsettled) await indexer.settle(store, options.signal);
    options.onRead?.(at + count - base, limit - base);
    refuseMapped(indexer.records, store);
  }
  const ramStart = indexer.records.find((record) => record.kind === "ram-start");
  if (ramStart === undefined) {
    throw new FixedramError("file.no-ram", "the stream holds no memory: it has no RAM section", { path: store.name });
  }
  const { records, tables, mentioned, counts } = indexer;
  return { streamBase: base, streamEnd: reader.position, records, ramStart, tables, mentioned, counts };
}

/** Without leaving the thread where that can be, which is faster; but signals and timers get their turn. */
async function readPiece(store: Store, target: Uint8Array, at: number, signal?: AbortSignal): Promise<number> {
  if (store.readSync === undefined) return store.read(target, at, signal);
  if (Math.floor(at / turnBytes) !== Math.floor((at + target.length) / turnBytes)) {
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
  }
  return store.readSync(target, at);
}

/** Bytes that are read from one turn to the next. */
const turnBytes = 16 * 2 ** 20;

function refuseMapped(records: readonly StreamRecord[], store: Store): void {
  const configuration = records[1];
  if (configuration?.kind === "configuration") refuseMappedRam(configuration, store.name);
}

/** For input that passes once, or a reader that looks for pages among the records. @throws `file.mapped-ram` */
export function refuseMappedRam(configuration: ConfigurationRecord, path: string): void {
  if (!capabilitiesOf(configuration).includes("mapped-ram")) return;
  throw new FixedramError("file.mapped-ram", "the stream's pages have a fixed place: it is no legacy stream", {
    path,
    hint: "Open it as a mapped-ram file, by its name: it cannot come through a pipe.",
  });
}

/** Only the vmdesc, at the very end, knows the page size of targets on which it does not vary. */
export function checkPageSize(path: string, vmdesc: Uint8Array, { blocks }: RamStartRecord): void {
  const used = blocks[0]?.block.pageSize;
  const said = parseVmdesc(vmdesc).page_size;
  if (said === undefined || used === undefined || said === used) return;
  throw new FixedramError("file.page-size", "the stream's own description names another page size", {
    path,
    expected: `${used} bytes`,
    found: `${said} bytes`,
    hint: "Open it with that page size.",
  });
}

/** A stream from its index, whether just made or read from a file. */
export function legacyStream(store: Store, index: StreamIndex, overlay: Store | null): LegacyStream {
  const { records, ramStart, tables, mentioned, streamBase, streamEnd, counts } = index;
  const configuration = records.find((record) => record.kind === "configuration");
  if (configuration === undefined) throw new TypeError("a stream that was read has a configuration");
  const shared = capabilitiesOf(configuration).includes("x-ignore-shared");
  const absent = mentioned.map((said) => shared && !said);
  const blocks = ramStart.blocks.map(({ block }) => block);
  return {
    store,
    configuration,
    ramStart,
    devices: records.filter((record) => record.kind === "device"),
    vmdesc: records.find((record) => record.kind === "vmdesc")?.bytes ?? null,
    records,
    streamBase,
    streamEnd,
    map: new LegacyMap(store, overlay, blocks, tables, absent),
    counts,
    indexable: overlay === null,
    index,
    close: async () => {
      await overlay?.close();
    },
  };
}
