/**
 * Test vectors: one file with one defect, or none. A vector is kept as text: a header that says what must happen, an empty line,
 * and the file's bytes as the places that are not zero, or as what differs from a sound file of the same folder:
 *
 *     what: page size of 0
 *     clause: Block entry
 *     expect: stream.mapped-page-size
 *     at: 106
 *     base: mapped
 *     size: 86404
 *
 *     106: 00 x8
 *
 * Bytes are hexadecimal; `x8` repeats the byte before it. `test/vectors/README.md` describes the header.
 */

export interface Vector {
  /** `folder/name`. */
  readonly name: string;
  readonly what: string;
  /** Section of docs/format.md. */
  readonly clause: string;
  /** `ok`, or the code of the error that opening it must give. */
  readonly expect: string;
  /** Byte offset that the error must name; null: it names none. */
  readonly at: number | null;
  /** What a deep check of its seal must say: the state and then each problem, `code [block [page]]`. */
  readonly verify: readonly string[] | null;
  /** Digest of the pages it holds (contents.ts); null unless `ok`. */
  readonly pages: string | null;
  /** Of a device section: what describes it, and what its fields hold; JSON. */
  readonly vmdesc: string | null;
  readonly tree: string | null;
  /** Options of the reader: `maxBlocks`, `pageSize`. */
  readonly options: Readonly<Record<string, number>>;
  /** Name of the vector whose bytes it changes. */
  readonly base: string | null;
  readonly bytes: Uint8Array;
}

/** Runs of zeros at least this long are left out. */
const holeBytes = 16;

/** The bytes as text: `offset: hex`, 48 bytes a line, runs of a byte as `x` and their length. */
function dump(bytes: Uint8Array, ranges: readonly (readonly [start: number, end: number])[]): string {
  const lines: string[] = [];
  for (const [start, end] of ranges) {
    let at = start;
    while (at < end) {
      const words: string[] = [];
      const first = at;
      while (at < end && words.length < 48) {
        const byte = bytes[at] ?? 0;
        let run = at + 1;
        while (run < end && bytes[run] === byte) run++;
        const text = byte.toString(16).padStart(2, "0");
        if (run - at >= 4) {
          words.push(text, `x${run - at}`);
          at = run;
        } else {
          words.push(text);
          at++;
        }
      }
      lines.push(`${first}: ${words.join(" ")}\n`);
    }
  }
  return lines.join("");
}

/** Where bytes are not zero, joined over holes shorter than 16 bytes. */
function filled(bytes: Uint8Array, same: (at: number) => boolean): [number, number][] {
  const ranges: [number, number][] = [];
  for (let at = 0; at < bytes.length; at++) {
    if (same(at)) continue;
    const last = ranges.at(-1);
    if (last !== undefined && at - last[1] < holeBytes) last[1] = at + 1;
    else ranges.push([at, at + 1]);
  }
  return ranges;
}

/** @param base the bytes of the vector's base */
export function formatVector(vector: Vector, base: Uint8Array | null): string {
  const { bytes } = vector;
  const header: [string, string | number | null][] = [
    ["what", vector.what],
    ["clause", vector.clause],
    ["expect", vector.expect],
    ["at", vector.at],
    ...(vector.verify ?? []).map((line): [string, string] => ["verify", line]),
    ["pages", vector.pages],
    ["vmdesc", vector.vmdesc],
    ["tree", vector.tree],
    ...Object.entries(vector.options),
    ["base", base === null ? null : vector.base],
    ["size", bytes.length],
  ];
  const lines = header.filter(([, value]) => value !== null).map(([key, value]) => `${key}: ${value}\n`);
  const same = base === null ? (at: number) => bytes[at] === 0 : (at: number) => bytes[at] === (base[at] ?? 0);
  return `${lines.join("")}\n${dump(bytes, filled(bytes, same))}`;
}

const known = ["what", "clause", "expect", "at", "verify", "pages", "vmdesc", "tree", "base", "size"];

/** @param baseOf the bytes of another vector of the folder */
export function parseVector(name: string, text: string, baseOf: (name: string) => Uint8Array): Vector {
  const split = text.indexOf("\n\n");
  const fields = new Map<string, string[]>();
  for (const line of text.slice(0, split).split("\n")) {
    const colon = line.indexOf(": ");
    const key = line.slice(0, colon);
    fields.set(key, [...(fields.get(key) ?? []), line.slice(colon + 2)]);
  }
  const one = (key: string): string | null => fields.get(key)?.[0] ?? null;
  const at = one("at");
  const base = one("base");
  const bytes = new Uint8Array(Number(one("size")));
  if (base !== null) bytes.set(baseOf(base).subarray(0, bytes.length));
  for (const line of text.slice(split + 2).split("\n")) if (line !== "") fill(bytes, line);
  return {
    name,
    what: one("what") ?? "",
    clause: one("clause") ?? "",
    expect: one("expect") ?? "",
    at: at === null ? null : Number(at),
    verify: fields.get("verify") ?? null,
    pages: one("pages"),
    vmdesc: one("vmdesc"),
    tree: one("tree"),
    options: Object.fromEntries([...fields].filter(([key]) => !known.includes(key)).map(([k, [v]]) => [k, Number(v)])),
    base,
    bytes,
  };
}

function fill(bytes: Uint8Array, line: string): void {
  const [place = "", ...words] = line.split(" ");
  let at = Number.parseInt(place, 10);
  let byte = 0;
  for (const word of words) {
    if (word.startsWith("x")) {
      const more = Number(word.slice(1)) - 1;
      bytes.fill(byte, at, at + more);
      at += more;
      continue;
    }
    byte = Number.parseInt(word, 16);
    bytes[at++] = byte;
  }
}
