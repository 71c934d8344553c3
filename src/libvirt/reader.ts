/** Reading a save image of libvirt: what stands before the stream, and the stream in whatever form it has. */
import { FixedramError } from "../errors.ts";
import { type FixedRamFile, type OpenOptions, openFixedRam } from "../fixedram/reader.ts";
import { sealedStreamEnd } from "../fixedram/seal.ts";
import type { Store } from "../pages/store.ts";
import { capabilitiesOf } from "../stream/configuration.ts";
import type { StreamEvents } from "../stream/events.ts";
import { StreamReader } from "../stream/reader.ts";
import { decompress } from "./decompress.ts";
import {
  type LibvirtFormat,
  type LibvirtHeader,
  libvirtHeaderBytes,
  parseLibvirtData,
  parseLibvirtFields,
} from "./header.ts";

/** Pieces that are read and given on. */
const pieceBytes = 256 * 1024;
/** Bytes behind the end of a compressed stream that are unpacked and ignored before they are too many. */
const maxTrailing = 64 * 2 ** 20;

/** An image whose pages lie at places of their own, or can be found by reading it once, or only be had in one pass. */
export type LibvirtImage<Indexed> =
  | { readonly kind: "sparse"; readonly header: LibvirtHeader; readonly file: FixedRamFile }
  | { readonly kind: "raw"; readonly header: LibvirtHeader; readonly stream: Indexed }
  | { readonly kind: "compressed"; readonly header: LibvirtHeader };

export interface LibvirtOpenOptions<Indexed> extends Omit<OpenOptions, "base" | "bigEndianBitmaps"> {
  /** Opens a stream with its pages among its records, that begins at byte `base` of the store. */
  readonly openStreamAt: (store: Store, base: number) => Promise<Indexed>;
}

/**
 * Reads what stands before the stream.
 *
 * @throws what {@link parseLibvirtFields} and {@link parseLibvirtData} throw, `system.io`
 */
export async function readLibvirtHeader(store: Store, signal?: AbortSignal): Promise<LibvirtHeader> {
  const start = new Uint8Array(libvirtHeaderBytes);
  const fields = parseLibvirtFields(start.subarray(0, await store.read(start, 0, signal)), store.size);
  const data = new Uint8Array(fields.dataLength);
  const count = await store.read(data, libvirtHeaderBytes, signal);
  if (count < data.length) {
    throw new FixedramError("file.truncated", "the file became shorter while it was read", {
      path: store.name,
      offset: libvirtHeaderBytes + count,
    });
  }
  return parseLibvirtData(fields, data);
}

/**
 * Opens a save image; the store stays the caller's. A compressed one is to be read with {@link pumpLibvirt}.
 *
 * @throws `file.*`, `stream.*`, `seal.unknown-*` of {@link readLibvirtHeader}, {@link openFixedRam} and `openStreamAt`
 */
export async function openLibvirt<Indexed>(
  store: Store,
  options: LibvirtOpenOptions<Indexed>,
): Promise<LibvirtImage<Indexed>> {
  const { openStreamAt, ...open } = options;
  const header = await readLibvirtHeader(store, options.signal);
  const { format, streamBase, byteOrder } = header;
  if (format === "sparse") {
    const file = await openFixedRam(store, { ...open, base: streamBase, bigEndianBitmaps: byteOrder === "big" });
    return { kind: "sparse", header, file };
  }
  if (format === "raw") return { kind: "raw", header, stream: await openStreamAt(store, streamBase) };
  return { kind: "compressed", header };
}

export interface PumpOptions {
  /** Target page size, bytes, when the stream's configuration does not say. Default 4096. */
  readonly pageSize?: number;
  /** Waits until what was given has been taken, so that nothing piles up. */
  readonly drained?: () => Promise<void>;
  /** Bytes of the file read so far. */
  readonly onRead?: (bytes: number) => void;
  /** Told, before the first event, how to ask where the record being given stands. */
  readonly onPlace?: (place: () => number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Gives all records and pages of a raw or compressed image to `events`, in one pass. What follows the stream's end is ignored,
 * as libvirt does. Returns the stream's length, bytes (unpacked).
 *
 * Offsets in `stream.*` errors count in the file for a raw image, in the unpacked stream for a compressed one.
 *
 * @throws `stream.*`; `file.libvirt-compressed`, `file.libvirt-trailing`, `file.libvirt-format` (a stream with places of its
 *   own in an image that says it has none; a sparse image); `system.*`; the signal's reason
 */
export async function pumpLibvirt(
  store: Store,
  header: LibvirtHeader,
  events: StreamEvents,
  options: PumpOptions = {},
): Promise<number> {
  const { format, streamBase } = header;
  if (format === "sparse") throw misplaced(header);
  const base = format === "raw" ? streamBase : 0;
  const { signal, drained, onRead, onPlace, ...rest } = options;
  const reader = new StreamReader(withoutPlaces(events, header), { base, ...rest });
  onPlace?.(() => reader.itemOffset);
  // A machine without a vmdesc writes a stream that ends where its container ends, and a seal is not the stream's.
  const end = format === "raw" ? ((await sealedStreamEnd(store)) ?? store.size) : store.size;
  const bytes = piecesOf(store, streamBase, end, onRead, signal);
  const stream = format === "raw" ? bytes : decompress(format, bytes, signal);
  try {
    await pumpPieces(stream, reader, format !== "raw", drained);
  } catch (error) {
    throw format === "raw" ? error : inUnpacked(error, format);
  }
  return reader.position - base;
}

/** @param drain read on behind the stream's end: the exit status of what unpacks it says whether what it gave was right */
async function pumpPieces(
  stream: AsyncIterable<Uint8Array>,
  reader: StreamReader,
  drain: boolean,
  drained: (() => Promise<void>) | undefined,
): Promise<void> {
  let trailing = 0;
  for await (const chunk of stream) {
    const used = reader.complete ? 0 : reader.push(chunk);
    await drained?.();
    if (!reader.complete) continue;
    if (!drain) return;
    trailing += chunk.length - used;
    if (trailing > maxTrailing) {
      throw new FixedramError(
        "file.libvirt-trailing",
        "the compressed save image goes on far behind its stream's end",
        {
          expected: `at most ${maxTrailing} bytes`,
          hint: "It was made to mislead, or is not what libvirt wrote.",
        },
      );
    }
  }
  if (!reader.complete) reader.end();
}

/** Refuses a mapped-ram stream: it would send the reader to places that a single pass cannot go to. */
function withoutPlaces(events: StreamEvents, header: LibvirtHeader): StreamEvents {
  return {
    record: (record) => {
      if (record.kind === "configuration" && capabilitiesOf(record).includes("mapped-ram")) throw misplaced(header);
      events.record(record);
    },
    pages: (batch) => events.pages(batch),
    zeroPages: (block, first, count) => events.zeroPages(block, first, count),
    encoded: (block, page, kind, data) => events.encoded(block, page, kind, data),
  };
}

function inUnpacked(error: unknown, format: LibvirtFormat): unknown {
  if (!(error instanceof FixedramError && error.code.startsWith("stream.") && error.details.hint === undefined))
    return error;
  const hint = `The offset counts in the stream as ${format} unpacks it.`;
  return new FixedramError(error.code, error.message, { ...error.details, hint }, { cause: error.cause });
}

async function* piecesOf(
  store: Store,
  from: number,
  end: number,
  onRead?: (bytes: number) => void,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for (let at = from; at < end; ) {
    signal?.throwIfAborted();
    // A new one each time: a pipe may still hold the one before.
    const piece = new Uint8Array(Math.min(pieceBytes, end - at));
    const count = await store.read(piece, at, signal);
    if (count === 0) return;
    yield piece.subarray(0, count);
    at += count;
    onRead?.(at);
  }
}

function misplaced(header: LibvirtHeader): FixedramError {
  return new FixedramError("file.libvirt-format", "the save image's stream has its pages at fixed places", {
    offset: 28,
    expected: "6 (sparse), and random access",
    found: header.format,
  });
}
