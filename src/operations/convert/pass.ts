/** Input that is read once, from its beginning to its end: a pipe, a file whose pages have no fixed place, a compressed image. */
import { headBytes, recognise, refusal } from "../../containers/recognise.ts";
import { FixedramError } from "../../errors.ts";
import { refusePostcopy } from "../../legacy/indexer.ts";
import { checkPageSize, refuseMappedRam } from "../../legacy/reader.ts";
import type { RamBlock } from "../../pages/block.ts";
import { copyBufferBytes } from "../../pages/copy.ts";
import type { PageBatch } from "../../pages/sink.ts";
import type { Store } from "../../pages/store.ts";
import type { PageEncoding, StreamEvents } from "../../stream/events.ts";
import { savedRunState } from "../../stream/global-state.ts";
import { recordHeader } from "../../stream/page-records.ts";
import { StreamReader } from "../../stream/reader.ts";
import type { ConfigurationRecord, RamStartRecord, StreamRecord } from "../../stream/records.ts";

/** Passes a stream's events on, refuses what cannot be had in one pass, and keeps what is told of the snapshot afterwards. */
export class PassEvents implements StreamEvents {
  configuration: ConfigurationRecord | null = null;
  ramStart: RamStartRecord | null = null;
  runState: string | null = null;
  /** Where in the input the record being given stands; set once its reader is there. */
  place: (() => number) | null = null;
  readonly #name: string;
  readonly #to: StreamEvents;

  /** @param name of the input, for messages */
  constructor(name: string, to: StreamEvents) {
    this.#name = name;
    this.#to = to;
  }

  /** @throws `file.mapped-ram`, `file.postcopy`, `file.page-size` */
  record(record: StreamRecord): void {
    switch (record.kind) {
      case "configuration":
        refuseMappedRam(record, this.#name);
        this.configuration = record;
        break;
      case "command":
        refusePostcopy(record.command, this.place?.());
        break;
      case "ram-start":
        this.ramStart = record;
        break;
      case "device":
        this.runState ??= savedRunState([record]);
        break;
      case "vmdesc":
        if (this.ramStart !== null) checkPageSize(this.#name, record.bytes, this.ramStart);
        break;
    }
    this.#to.record(record);
  }

  pages(batch: PageBatch): void {
    this.#to.pages(batch);
  }

  zeroPages(block: RamBlock, firstPage: number, count: number): void {
    this.#to.zeroPages(block, firstPage, count);
  }

  encoded(block: RamBlock, page: number, kind: PageEncoding, data: Uint8Array): void {
    try {
      this.#to.encoded(block, page, kind, data);
    } catch (error) {
      if (!(error instanceof FixedramError) || error.details.offset !== undefined || this.place === null) throw error;
      const details = { offset: this.place(), ...error.details };
      throw new FixedramError(error.code, error.message, details, { cause: error });
    }
  }
}

export interface PumpOptions {
  /** Where the stream begins, bytes. Default 0. */
  readonly base?: number;
  readonly pageSize?: number;
  /** Waits until what was given has been taken, so that nothing piles up. */
  readonly drained?: () => Promise<void>;
  /** Bytes of the input so far. */
  readonly onBytes?: (bytes: number) => void;
  /** Told, before the first event, how to ask where the record being given stands. */
  readonly onPlace?: (place: () => number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Gives a stream's events, chunk by chunk. Chunks may be reused when the next is asked for.
 *
 * @returns where the stream ended, and how many bytes came behind it
 * @throws `stream.*`, what the events throw, the signal's reason
 */
export async function pump(
  chunks: AsyncIterable<Uint8Array>,
  events: StreamEvents,
  options: PumpOptions,
): Promise<{ readonly end: number; readonly trailing: number }> {
  const { base = 0, pageSize, drained, onBytes, signal } = options;
  const reader = new StreamReader(events, { base, ...(pageSize === undefined ? {} : { pageSize }) });
  options.onPlace?.(() => reader.itemOffset);
  let bytes = 0;
  for await (const chunk of chunks) {
    signal?.throwIfAborted();
    bytes += chunk.length;
    if (!reader.complete) reader.push(chunk);
    if (drained !== undefined) await drained();
    onBytes?.(bytes);
  }
  if (!reader.complete) reader.end();
  if (drained !== undefined) await drained();
  return { end: reader.position, trailing: base + bytes - reader.position };
}

/** Memory to read a file's pieces into, each used again only when it may be. */
export interface PieceSource {
  /** False: there will be none for a while yet. Default: always true. */
  ready?(): boolean;
  piece(): Uint8Array;
}

/** Bytes that are read from one turn of the event loop to the next. */
const turnBytes = 16 * 2 ** 20;

/**
 * The same for a stream in a file, read without leaving the thread. A piece ends where a page's record would, if what follows is
 * like what came last: then no page lies in two pieces.
 *
 * @param end of the stream at most, bytes
 */
export async function pumpFile(
  store: Pick<Store, "name"> & Required<Pick<Store, "readSync">>,
  end: number,
  pieces: PieceSource,
  events: StreamEvents,
  { base = 0, pageSize, onBytes, onPlace, signal }: Omit<PumpOptions, "drained">,
): Promise<number> {
  const reader = new StreamReader(events, { base, ...(pageSize === undefined ? {} : { pageSize }) });
  onPlace?.(() => reader.itemOffset);
  while (!reader.complete) {
    const at = reader.position;
    while (pieces.ready?.() === false) {
      await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
    }
    const piece = pieces.piece();
    const length = Math.max(0, Math.min(wholeRecords(reader, piece.length), end - at));
    const count = length === 0 ? 0 : store.readSync(piece.subarray(0, length), at);
    if (count === 0) {
      reader.end();
      break;
    }
    reader.push(piece.subarray(0, count));
    onBytes?.(at + count - base);
    if (Math.floor(at / turnBytes) === Math.floor((at + count) / turnBytes)) continue;
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
  }
  return reader.position;
}

/** Bytes from a reader's position to the last end of a record that lies within `most`, if only pages' records follow. */
function wholeRecords({ position, itemOffset, blocks: [block] }: StreamReader, most: number): number {
  const record = (block?.pageSize ?? 0) + recordHeader;
  const held = position - itemOffset;
  const whole = Math.floor((most + held) / record) * record - held;
  return block === undefined || whole <= 0 ? most : whole;
}

/**
 * What comes through a pipe, when it begins as a stream.
 *
 * @throws as {@link refusal}, by what the first bytes are
 */
export async function* streamOnly(chunks: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Uint8Array> {
  let head: Uint8Array | null = new Uint8Array(0);
  for await (const chunk of chunks) {
    if (head === null) {
      yield chunk;
      continue;
    }
    head = joined(head, chunk);
    if (head.length < 4) continue;
    if (recognise(head).kind === "stream") {
      yield head;
      head = null;
    } else if (head.length >= headBytes) throw refusedPipe(head, name);
  }
  if (head !== null) throw refusedPipe(head, name);
}

function refusedPipe(head: Uint8Array, name: string): unknown {
  const found = recognise(head);
  const refused = refusal(found, head);
  if (refused !== null) return refused;
  return new FixedramError("usage.not-through-pipe", "a libvirt save image cannot come through a pipe", {
    path: name,
    expected: "a migration stream",
    found: "a libvirt save image",
    hint: "Give the image by its name.",
  });
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}

/** A file's bytes in order, the next piece being read while the last is used. @param buffer two pieces */
export async function* piecesOf(
  store: Store,
  from: number,
  end: number,
  buffer: Uint8Array = new Uint8Array(copyBufferBytes),
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const half = Math.floor(buffer.length / 2);
  const halves = [buffer.subarray(0, half), buffer.subarray(half, 2 * half)] as const;
  const read = (at: number, target: Uint8Array): Promise<number> => {
    const reading = store.read(target.subarray(0, Math.max(0, Math.min(half, end - at))), at, signal);
    reading.catch(() => {});
    return reading;
  };
  let next = read(from, halves[0]);
  try {
    for (let at = from, turn = 0; at < end; turn = 1 - turn) {
      const count = await next;
      if (count === 0) return;
      const piece = (turn === 0 ? halves[0] : halves[1]).subarray(0, count);
      at += count;
      next = read(at, turn === 0 ? halves[1] : halves[0]);
      yield piece;
    }
  } finally {
    await next.catch(() => {});
  }
}
