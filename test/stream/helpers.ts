import { ByteBuilder } from "../../src/bytes/cursor.ts";
import { fromLatin1 } from "../../src/bytes/text.ts";
import { FixedramError } from "../../src/errors.ts";
import type { StreamEvents, StreamReaderOptions } from "../../src/stream/events.ts";
import { StreamReader } from "../../src/stream/reader.ts";
import type { StreamRecord } from "../../src/stream/records.ts";
import { StreamWriter, type StreamWriterOptions } from "../../src/stream/writer.ts";

export const PAGE = 4096;

/** Everything a reader gave, copied, page by page: two readings of one stream compare equal however it was cut. */
export type Event =
  | { readonly record: StreamRecord }
  | { readonly block: string; readonly page: number; readonly bytes: string }
  | { readonly block: string; readonly page: number; readonly zero: true }
  | { readonly block: string; readonly page: number; readonly kind: string; readonly data: string };

export class Recorder implements StreamEvents {
  readonly events: Event[] = [];
  /** Sizes of the batches and zero runs as they came. */
  readonly runs: string[] = [];

  record(record: StreamRecord): void {
    this.events.push({ record: structuredClone(record) });
    this.runs.push(record.kind);
  }

  pages(batch: Parameters<StreamEvents["pages"]>[0]): void {
    this.runs.push(`pages ${batch.count}`);
    for (let k = 0; k < batch.count; k++) {
      const at = batch.offsets[k] ?? Number.NaN;
      const bytes = hex(batch.chunk.subarray(at, at + batch.block.pageSize));
      this.events.push({ block: batch.block.name, page: batch.pages[k] ?? Number.NaN, bytes });
    }
  }

  zeroPages(...[block, first, count]: Parameters<StreamEvents["zeroPages"]>): void {
    this.runs.push(`zero ${count}`);
    for (let page = first; page < first + count; page++) this.events.push({ block: block.name, page, zero: true });
  }

  encoded(...[block, page, kind, data]: Parameters<StreamEvents["encoded"]>): void {
    this.events.push({ block: block.name, page, kind, data: hex(data) });
  }

  get records(): StreamRecord[] {
    return this.events.flatMap((event) => ("record" in event ? [event.record] : []));
  }

  kinds(): string[] {
    return this.records.map((record) => record.kind);
  }
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** Gives `bytes` in pieces of the sizes that `cuts` repeats, following `position` as a file driver does. */
export function drive(
  reader: StreamReader,
  bytes: Uint8Array,
  cuts: readonly number[] = [bytes.length],
  base = 0,
): void {
  for (let k = 0; !reader.complete; k++) {
    const at = reader.position - base;
    const size = cuts[k % cuts.length] ?? 1;
    // A copy that is spoilt afterwards shows anything that was kept without copying.
    const chunk = bytes.slice(at, at + size);
    if (chunk.length === 0) break;
    reader.push(chunk);
    chunk.fill(0xee);
  }
}

export interface Reading {
  readonly recorder: Recorder;
  readonly reader: StreamReader;
}

export function read(bytes: Uint8Array, cuts?: readonly number[], options: StreamReaderOptions = {}): Reading {
  const recorder = new Recorder();
  const reader = new StreamReader(recorder, options);
  drive(reader, bytes, cuts, options.base);
  reader.end();
  return { recorder, reader };
}

/** The error that a reading ends in; fails when it ends well. */
export function readingError(
  bytes: Uint8Array,
  cuts?: readonly number[],
  options?: StreamReaderOptions,
): FixedramError {
  return errorOf(() => read(bytes, cuts, options));
}

export function errorOf(action: () => unknown): FixedramError {
  try {
    action();
  } catch (error) {
    if (error instanceof FixedramError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

/** Reads and writes again; returns the written file (holes are zeros). */
export function rewrite(
  bytes: Uint8Array,
  cuts?: readonly number[],
  options: StreamReaderOptions & StreamWriterOptions = {},
): Uint8Array {
  const base = options.base ?? 0;
  let file = new Uint8Array(0);
  const put = (piece: Uint8Array, position: number) => {
    const end = position - base + piece.length;
    if (end > file.length) {
      const larger = new Uint8Array(Math.max(end, bytes.length));
      larger.set(file);
      file = larger;
    }
    file.set(piece, position - base);
    length = Math.max(length, end);
  };
  let length = 0;
  const writer = new StreamWriter(put, options);
  const reader = new StreamReader(writer, options);
  drive(reader, bytes, cuts, base);
  reader.end();
  writer.end();
  return file.subarray(0, length);
}

type Build = (builder: ByteBuilder) => unknown;

export function build(...parts: (Build | Uint8Array)[]): Uint8Array {
  const builder = new ByteBuilder();
  for (const part of parts) {
    if (part instanceof Uint8Array) builder.bytes(part);
    else part(builder);
  }
  return builder.finish();
}

/** Pieces of hand-built streams, written out from docs/format.md and not with the writer under test. */
export const piece = {
  header: build((b) => b.u32(0x5145564d).u32(3)),
  configuration: (machine = "pc", ...subsections: Uint8Array[]) =>
    build((b) => b.u8(7).u32(machine.length).bytes(fromLatin1(machine)), ...subsections),
  subsection: (name: string, payload: Uint8Array, version = 1) =>
    build((b) => b.u8(5).u8(name.length).bytes(fromLatin1(name)).u32(version).bytes(payload)),
  capabilities: (...names: string[]) =>
    piece.subsection(
      "configuration/capabilities",
      build((b) => {
        b.u32(names.length);
        for (const name of names) b.u8(name.length).bytes(fromLatin1(name));
      }),
    ),
  section: (type: number, id: number, name: string, version: number, instance = 0) =>
    build((b) => b.u8(type).u32(id).u8(name.length).bytes(fromLatin1(name)).u32(instance).u32(version)),
  word: (address: number, flags: number) => build((b) => b.u64(address + flags)),
  name: (name: string) => build((b) => b.u8(name.length).bytes(fromLatin1(name))),
  blocks: (blocks: Record<string, number>) =>
    build(
      (b) => b.u64(Object.values(blocks).reduce((sum, pages) => sum + pages * PAGE, 0) + 4),
      ...Object.entries(blocks).map(([name, pages]) => build(piece.name(name), (b) => b.u64(pages * PAGE))),
    ),
  eos: build((b) => b.u64(0x10)),
  footer: (id: number) => build((b) => b.u8(0x7e).u32(id)),
  part: (id: number, ...content: Uint8Array[]) =>
    build((b) => b.u8(2).u32(id), ...content, piece.eos, piece.footer(id)),
  end: (id: number, ...content: Uint8Array[]) => build((b) => b.u8(3).u32(id), ...content, piece.eos, piece.footer(id)),
  ramStart: (blocks: Record<string, number> = { ram: 16 }, id = 2) =>
    build(piece.section(1, id, "ram", 4), piece.blocks(blocks), piece.eos, piece.footer(id)),
  command: (command: number, data: Uint8Array = new Uint8Array(0)) =>
    build((b) => b.u8(8).u16(command).u16(data.length).bytes(data)),
  page: (page: number, fill: number, block?: string) =>
    build(
      piece.word(page * PAGE, block === undefined ? 0x28 : 0x08),
      block === undefined ? new Uint8Array(0) : piece.name(block),
      new Uint8Array(PAGE).fill(fill),
    ),
  zero: (page: number, block?: string, fill = 0) =>
    build(
      piece.word(page * PAGE, block === undefined ? 0x22 : 0x02),
      block === undefined ? new Uint8Array(0) : piece.name(block),
      new Uint8Array([fill]),
    ),
  device: (id: number, name: string, payload: Uint8Array, instance = 0) =>
    build(piece.section(4, id, name, 1, instance), payload, piece.footer(id)),
  eof: new Uint8Array([0]),
  vmdesc: (json: unknown) => {
    const text = fromLatin1(typeof json === "string" ? json : JSON.stringify(json));
    return build((b) => b.u8(6).u32(text.length).bytes(text));
  },
};

/** A vmdesc that gives each device one field of the payload's size. */
export function describe_(...devices: [name: string, size: number, instance?: number][]): unknown {
  return {
    page_size: PAGE,
    devices: devices.map(([name, size, instance = 0]) => ({
      name,
      instance_id: instance,
      fields: [{ name: "data", type: "buffer", size }],
    })),
  };
}

export const preamble = build(piece.header, piece.configuration());
export const bytesOf = (...values: number[]) => new Uint8Array(values);
