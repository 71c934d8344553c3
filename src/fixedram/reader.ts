import { bitmapBytes, PageBitmap, swapBitmapWords } from "../bytes/bitmap.ts";
import { FixedramError } from "../errors.ts";
import { ExtentKind } from "../pages/extents.ts";
import type { PageMap } from "../pages/map.ts";
import type { Store } from "../pages/store.ts";
import { capabilitiesOf } from "../stream/configuration.ts";
import { StreamReader } from "../stream/reader.ts";
import { RecordBudget } from "../stream/record-budget.ts";
import type { ConfigurationRecord, DeviceRecord, RamStartRecord, StreamRecord } from "../stream/records.ts";
import { checkOverlaps, checkPlaces, type StreamRun } from "./check.ts";
import { type BlockLayout, maxBitmapBytes } from "./layout.ts";
import { BitmapMap } from "./map.ts";
import { readSeal, type SealState, sealedStreamEnd } from "./seal.ts";

export interface OpenOptions {
  /** Where the stream begins, bytes; behind a libvirt header it is not 0. Offsets in the stream stay absolute. Default 0. */
  readonly base?: number;
  /** Target page size, bytes, when the configuration does not say. Default 4096. */
  readonly pageSize?: number;
  /** The host that wrote the file was big-endian, and so are its bitmaps' 64-bit words; a seal knows better. Default false. */
  readonly bigEndianBitmaps?: boolean;
  /** Bound on the memory for all bitmaps. Default 512 MiB, for 16 TiB of RAM. */
  readonly maxBitmapBytes?: number;
  /** Open a file whose bitmaps are all empty, which QEMU's background-snapshot with mapped-ram leaves. Default false. */
  readonly allowEmpty?: boolean;
  readonly signal?: AbortSignal;
}

/** A mapped-ram file, ours or QEMU's, whose structure was checked. */
export interface FixedRamFile {
  readonly store: Store;
  readonly configuration: ConfigurationRecord;
  readonly ramStart: RamStartRecord;
  readonly blocks: readonly BlockLayout[];
  /** One for each block, in memory. */
  readonly bitmaps: readonly PageBitmap[];
  /** Whether the words of the bitmaps stand big-endian in the file: as its seal says, else as was said on opening. */
  readonly bigEndian: boolean;
  /** The last 8 bytes of each bitmap, in little-endian order, with the bits behind the block's end; none where there is no bitmap. */
  readonly lastWords: readonly Uint8Array[];
  readonly devices: readonly DeviceRecord[];
  /** The JSON's bytes; null when the machine writes none. */
  readonly vmdesc: Uint8Array | null;
  /** Every record, in stream order. */
  readonly records: readonly StreamRecord[];
  /** Every byte of the file that is stream, neither page nor bitmap. */
  readonly runs: readonly StreamRun[];
  /** The stream's bytes behind the last block, bytes [offset, offset + length). */
  readonly tail: { readonly offset: number; readonly length: number };
  readonly streamBase: number;
  /** The byte after the stream's last. */
  readonly streamEnd: number;
  readonly map: PageMap;
  readonly seal: SealState;
}

const headPiece = 64 * 1024;

/**
 * Reads headers, bitmaps, device state and seal of a mapped-ram file and checks its structure; no page is read. The store
 * stays the caller's, open.
 *
 * @throws `file.not-mapped-ram`, `file.truncated`, `file.too-large`, `file.pages-unaligned`, `file.bitmap-outside`,
 *   `file.overlap`, `file.empty-bitmaps`; `stream.*` for what the stream's bytes break;
 *   `seal.unknown-version`, `seal.unknown-critical`
 */
export async function openFixedRam(store: Store, options: OpenOptions = {}): Promise<FixedRamFile> {
  const stream = await readSealedStream(store, options);
  const shared = capabilitiesOf(stream.configuration).includes("x-ignore-shared");
  const blocks = layoutsOf(stream.ramStart, shared);
  checkPlaces(blocks, store.size, options.maxBitmapBytes ?? maxBitmapBytes);
  checkOverlaps(blocks, stream.runs);
  const streamBase = options.base ?? 0;
  const seal = await readSeal(store, streamBase, stream.end);
  const bigEndian = seal.seal?.bigEndian ?? options.bigEndianBitmaps === true;
  const bitmaps: PageBitmap[] = [];
  const lastWords: Uint8Array[] = [];
  const clear: ExtentKind[] = [];
  let present = 0;
  for (const layout of blocks) {
    const bytes = await readBitmap(store, layout, bigEndian, options.signal);
    lastWords.push(bytes.slice(layout.bitmapLength === 0 ? bytes.length : -8));
    const bitmap = new PageBitmap(layout.block.pages, bytes);
    const count = bitmap.count();
    present += count;
    bitmaps.push(bitmap);
    clear.push(shared && count === 0 ? ExtentKind.absent : ExtentKind.zero);
  }
  if (present === 0 && blocks.length > 0 && !shared && options.allowEmpty !== true)
    throw emptyBitmaps(store, lastWords);
  const tailStart = blocks.findLast(({ end }) => end > 0)?.end ?? streamBase;
  return {
    store,
    configuration: stream.configuration,
    ramStart: stream.ramStart,
    blocks,
    bitmaps,
    bigEndian,
    lastWords,
    devices: stream.records.filter((record) => record.kind === "device"),
    vmdesc: stream.records.find((record) => record.kind === "vmdesc")?.bytes ?? null,
    records: stream.records,
    runs: stream.runs,
    tail: { offset: tailStart, length: stream.end - tailStart },
    streamBase,
    streamEnd: stream.end,
    map: new BitmapMap(store, blocks, bitmaps, clear),
    seal,
  };
}

interface ParsedStream {
  readonly records: StreamRecord[];
  readonly configuration: ConfigurationRecord;
  readonly ramStart: RamStartRecord;
  readonly runs: StreamRun[];
  readonly end: number;
}

/**
 * Device state without a vmdesc ends where its container ends, so a seal's word for the stream's end is tried first. If the
 * stream does not end there, the seal is stale, and the whole file is looked at.
 */
async function readSealedStream(store: Store, options: OpenOptions): Promise<ParsedStream> {
  const limit = await sealedStreamEnd(store);
  if (limit === null) return readStream(store, options, store.size);
  try {
    return await readStream(store, options, limit);
  } catch (error) {
    if (!(error instanceof FixedramError && error.code.startsWith("stream."))) throw error;
    return readStream(store, options, store.size);
  }
}

async function readStream(store: Store, options: OpenOptions, limit: number): Promise<ParsedStream> {
  const records: StreamRecord[] = [];
  const budget = new RecordBudget();
  const reader: StreamReader = new StreamReader(
    {
      record: (record) => {
        if (record.kind === "configuration") requireMappedRam(store, record);
        budget.take(record, reader.itemOffset);
        records.push(record);
      },
      pages: () => undefined,
      zeroPages: () => undefined,
      encoded: () => undefined,
    },
    { base: options.base ?? 0, ...(options.pageSize === undefined ? {} : { pageSize: options.pageSize }) },
  );
  const runs = await feed(store, reader, limit, options.signal);
  const configuration = records.find((record) => record.kind === "configuration");
  const ramStart = records.find((record) => record.kind === "ram-start");
  if (configuration === undefined) throw notMappedRam(store, "no configuration section");
  if (ramStart === undefined) throw notMappedRam(store, "no RAM section");
  return { records, configuration, ramStart, runs, end: reader.position };
}

/**
 * Gives the reader the bytes it wants, up to `limit`, hopping with it over the pages. Returns which bytes of the file are
 * stream.
 */
async function feed(
  store: Store,
  reader: StreamReader,
  limit: number,
  signal: AbortSignal | undefined,
): Promise<StreamRun[]> {
  const runs: StreamRun[] = [];
  const buffer = new Uint8Array(headPiece);
  while (!reader.complete) {
    const start = reader.position;
    const last = runs.at(-1);
    const run = last !== undefined && last.end === start ? last : { start, end: start };
    if (run !== last) runs.push(run);
    const wanted = Math.max(0, Math.min(buffer.length, limit - start));
    const count = wanted === 0 ? 0 : await store.read(buffer.subarray(0, wanted), start, signal);
    if (count === 0) {
      reader.end();
      break;
    }
    run.end = start + reader.push(buffer.subarray(0, count));
  }
  return runs;
}

function layoutsOf(ramStart: RamStartRecord, shared: boolean): BlockLayout[] {
  return ramStart.blocks.map(({ block, mapped }) => {
    if (mapped === null)
      throw new FixedramError("file.not-mapped-ram", "a RAM block has no place in the file", { block: block.name });
    const { bitmapOffset, pagesOffset } = mapped;
    // Left out for x-ignore-shared, without a place: no block's pages are where the stream begins.
    if (shared && bitmapOffset === 0 && pagesOffset === 0) {
      return { block, bitmapOffset, bitmapLength: 0, pagesOffset, end: 0 };
    }
    return {
      block,
      bitmapOffset,
      bitmapLength: bitmapBytes(block.pages),
      pagesOffset,
      end: pagesOffset + block.length,
    };
  });
}

/** The bitmap's bytes in little-endian order; of a block that has none in the file, one of zeros. */
async function readBitmap(
  store: Store,
  layout: BlockLayout,
  bigEndian: boolean,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  if (layout.bitmapLength === 0) return new Uint8Array(bitmapBytes(layout.block.pages));
  const bytes = new Uint8Array(layout.bitmapLength);
  const count = await store.read(bytes, layout.bitmapOffset, signal);
  if (count !== bytes.length) {
    throw new FixedramError("file.truncated", "the file became shorter while it was read", {
      path: store.name,
      offset: layout.bitmapOffset + count,
    });
  }
  if (bigEndian) swapBitmapWords(bytes);
  return bytes;
}

function requireMappedRam(store: Store, configuration: ConfigurationRecord): void {
  const found = capabilitiesOf(configuration);
  if (!found.includes("mapped-ram"))
    throw notMappedRam(store, found.length === 0 ? "no capabilities" : found.join(", "));
}

function notMappedRam(store: Store, found: string): FixedramError {
  return new FixedramError("file.not-mapped-ram", "this is a migration stream whose pages have no fixed place", {
    path: store.name,
    expected: "the capability mapped-ram",
    found,
    hint: "It must be converted before it can be used as a snapshot file.",
  });
}

function emptyBitmaps(store: Store, lastWords: readonly Uint8Array[]): FixedramError {
  const past = lastWords.some((word) => word.some((byte) => byte !== 0));
  return new FixedramError(
    "file.empty-bitmaps",
    "every bitmap is empty: the file says that all of the guest's memory is zero",
    {
      path: store.name,
      ...(past ? { found: "bits behind the blocks' ends only" } : {}),
      hint: past
        ? "The file was read in another order of bits than its own: a big-endian host's (s390x) wants --big-endian, another one does not."
        : "QEMU leaves such a file when background-snapshot is used together with mapped-ram; it cannot be resumed. Take the snapshot again, without background-snapshot or with fixedram.",
    },
  );
}
