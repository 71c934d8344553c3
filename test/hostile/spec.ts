/** What a list of defects gives; generate.ts makes vectors of it. */
import { digestOf, keyOf, type Pages } from "./contents.ts";
import type { Sound } from "./marked.ts";
import { type Block, blocks, PAGE, pageOf } from "./sound.ts";

export interface Spec {
  readonly name: string;
  readonly what: string;
  readonly clause: string;
  readonly bytes: Uint8Array;
  /** Default: `ok`. */
  readonly expect?: string;
  readonly at?: number;
  readonly pages?: string;
  readonly verify?: readonly string[];
  readonly vmdesc?: string;
  readonly tree?: string;
  readonly options?: Readonly<Record<string, number>>;
  readonly base?: string;
}

export type Value = number | bigint | Uint8Array | string;

/** A field of a sound file that holds another value. */
export type FieldDefect = readonly [
  name: string,
  what: string,
  field: string,
  value: Value,
  code: string,
  /** Field whose offset the error names, or the offset; none when left out. */
  at?: string | number,
];

export function fieldSpecs(sound: Sound, base: string, clause: string, list: readonly FieldDefect[]): Spec[] {
  return list.map(([name, what, field, value, expect, at]) => ({
    name,
    what,
    clause,
    base,
    bytes: sound.with(field, value).bytes,
    expect,
    ...(at === undefined ? {} : { at: typeof at === "number" ? at : sound.at(at) }),
  }));
}

/** The pages that a mapped-ram file of these blocks holds. */
export function mappedPages(list: readonly Block[] = blocks, pageSize = PAGE): Pages {
  const pages = new Map<string, Uint8Array>();
  for (const { name, present } of list)
    for (const [page, fill] of Object.entries(present))
      pages.set(keyOf(name, Number(page)), pageOf(Number(page), fill, pageSize));
  return pages;
}

/** The pages of sound.ts's stream, worked out by hand. */
export function streamPages(encoded: boolean, end: boolean, pageSize = PAGE): Pages {
  const pages = new Map<string, Uint8Array>();
  const [ram = "", rom = ""] = blocks.map(({ name }) => name);
  pages.set(keyOf(ram, 0), pageOf(0, end ? 0x31 : 0x11, pageSize));
  const one = pageOf(1, 0x12, pageSize);
  if (encoded) {
    one.set([0xfe, 0xff], 3);
    const two = new Uint8Array(pageSize);
    two.set([7, 8], 128);
    const four = pageOf(4, 0x14, pageSize);
    four[0] = 0xee;
    pages.set(keyOf(ram, 2), two).set(keyOf(ram, 4), four);
  }
  pages.set(keyOf(ram, 1), one).set(keyOf(rom, 1), pageOf(1, 0x21, pageSize));
  if (end) pages.set(keyOf(rom, 2), pageOf(2, 0x22, pageSize)).set(keyOf(ram, 15), pageOf(15, 0x1f, pageSize));
  return pages;
}

export const mappedDigest = (list?: readonly Block[], pageSize?: number): string =>
  digestOf(mappedPages(list, pageSize));
export const streamDigest = (encoded: boolean, end: boolean, pageSize?: number): string =>
  digestOf(streamPages(encoded, end, pageSize));

export const u64 = (value: bigint): Uint8Array =>
  Uint8Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(56 - 8 * i)) & 0xffn));
export const bytesOf = (...values: number[]): Uint8Array => Uint8Array.from(values);
export function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
