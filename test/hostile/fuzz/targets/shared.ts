/** What several targets use. */
import type { PageBatch } from "../../../../src/pages/sink.ts";
import type { StreamEvents } from "../../../../src/stream/events.ts";
import type { StreamRecord } from "../../../../src/stream/records.ts";
import { Marked } from "../../marked.ts";
import type { FuzzLib } from "../fuzz-lib.ts";
import type { PlainPages } from "./plain-stream.ts";

export const bytesOfText = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
export const bytesOfHex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
export const word = (value: number): Uint8Array => new Marked().u64(null, value).finish().bytes;

/** Small files: pages of the smallest size that is read, so that little of an input is pages. */
export const small = {
  pageSize: 1024,
  pageBits: 10,
  devices: [{ name: "timer", id: 7, payload: Uint8Array.of(1, 2, 3, 4) }],
};
export const block = [
  { name: "ram", pages: 9, present: { 0: 1, 1: 2, 8: 3 } },
  { name: "rom", pages: 2, present: { 1: 4 } },
];

/** Told by what takes pages, whose caller knows the place. */
const placedLater = ["stream.no-ram", "stream.xbzrle-data", "stream.compressed-page", "stream.device-fields"];

/** The code of an error that the sources are meant to report; anything else goes on. */
export function codeOf(error: unknown): string {
  const { name, code, details } = error as { name?: string; code?: string; details?: { offset?: unknown } };
  if (name !== "FixedramError" || code === undefined) throw error;
  if (code.startsWith("stream.") && typeof details?.offset !== "number" && !placedLater.includes(code)) {
    throw new Error(`${code} tells no offset`);
  }
  return code;
}

/** A number that is the same for the same events, however they came. */
export class Quick implements StreamEvents {
  value = 0;
  #add(number: number): void {
    this.value = (Math.imul(this.value, 31) + number) | 0;
  }

  record(record: StreamRecord): void {
    this.#add(record.kind.length * 256 + record.kind.charCodeAt(4));
    if ("sectionId" in record) this.#add(record.sectionId);
    if ("payload" in record) for (const byte of record.payload) this.#add(byte);
    if ("bytes" in record) for (const byte of record.bytes) this.#add(byte);
    if ("data" in record) for (const byte of record.data) this.#add(byte);
  }

  pages({ block: { index, pageSize }, pages, offsets, chunk, count }: PageBatch): void {
    for (let k = 0; k < count; k++) {
      const at = offsets[k] ?? 0;
      this.#add(index);
      this.#add(pages[k] ?? 0);
      for (let i = at; i < at + pageSize; i += 61) this.#add(chunk[i] ?? 0);
    }
  }

  zeroPages(...[{ index }, first, count]: Parameters<StreamEvents["zeroPages"]>): void {
    for (let page = first; page < first + count; page++) this.#add(index * 65536 + page + 7);
  }

  encoded(...[{ index }, page, , data]: Parameters<StreamEvents["encoded"]>): void {
    this.#add(index * 65536 + page);
    for (const byte of data) this.#add(byte);
  }
}

export const options = { pageSize: 1024 };

/** Reads a stream in chunks; where one ends and how. */
export function read(lib: FuzzLib, bytes: Uint8Array, events: StreamEvents, cut: (at: number) => number): string {
  try {
    const reader = new lib.StreamReader(events, options);
    for (let turns = 0; !reader.complete; turns++) {
      if (turns > 200_000) throw new Error("it does not end");
      const at = reader.position;
      const chunk = bytes.subarray(at, at + cut(at));
      if (chunk.length === 0) break;
      reader.push(chunk);
    }
    reader.end();
    return `ok ${reader.position}`;
  } catch (error) {
    return `${codeOf(error)} ${(error as { details: { offset?: number } }).details.offset}`;
  }
}

export function equal(found: ReadonlyMap<string, Uint8Array>, model: PlainPages, what: string): void {
  if (found.size !== model.size) throw new Error(`${found.size} pages, ${what} has ${model.size}`);
  for (const [key, bytes] of found) {
    const other = model.get(key);
    if (other === undefined || Buffer.compare(bytes, other) !== 0)
      throw new Error(`page ${JSON.stringify(key)} is not that of ${what}`);
  }
}

/** Input read as choices, each a byte; zeros behind its end. */
export class Choices {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get left(): boolean {
    return this.#at < this.#bytes.length;
  }

  byte(): number {
    return this.#bytes[this.#at++] ?? 0;
  }

  below(limit: number): number {
    return this.byte() % limit;
  }

  /** Two bytes. */
  word(): number {
    return this.byte() * 256 + this.byte();
  }

  /** All that is left. */
  rest(): Uint8Array {
    const rest = this.#bytes.subarray(this.#at);
    this.#at = this.#bytes.length;
    return rest;
  }
}
