/**
 * A reader of fixed-ram files written from docs/format.md alone: it imports nothing of ours, so what it can do the document is
 * enough for. Not fast, and it holds a file's parts in memory.
 */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";

export interface ReadBlock {
  readonly name: string;
  readonly length: number;
  readonly pageSize: number;
  readonly bitmapOffset: number;
  readonly pagesOffset: number;
  readonly bitmap: Buffer;
}

export interface ReadFile {
  readonly machine: string;
  readonly capabilities: readonly string[];
  readonly pageSize: number;
  readonly blocks: readonly ReadBlock[];
  /** Device sections in order. */
  readonly devices: readonly { readonly name: string; readonly instance: number; readonly size: number }[];
  readonly streamEnd: number;
  readonly vmdesc: Vmdesc | null;
  readonly seal: ReadSeal | null;
  page(block: number, index: number): Buffer | null;
  close(): void;
}

export interface ReadSeal {
  readonly id: string;
  readonly meta: { readonly uuid: string; readonly machine: string | null };
  /** Checks a page that is present against its digest in the table. */
  pageIsSealed(block: number, index: number): boolean;
  /** Checks every node, every root and every region. Returns what is wrong. */
  problems(): string[];
}

interface Described {
  readonly vmsd_name?: string;
  readonly fields?: readonly { readonly size: number; readonly array_len?: number }[];
  readonly subsections?: readonly Described[];
}

interface VmDevice extends Described {
  readonly name: string;
  readonly instance_id: number;
}

interface Vmdesc {
  readonly page_size?: number;
  readonly devices: readonly VmDevice[];
}

export function read(path: string, base = 0): ReadFile {
  const fd = openSync(path, "r");
  const fileSize = fstatSync(fd).size;
  const at = (offset: number, length: number): Buffer => {
    const bytes = Buffer.alloc(length);
    if (readSync(fd, bytes, 0, length, offset) !== length) throw new Error(`the file ends before ${offset + length}`);
    return bytes;
  };
  let pos = base;
  const take = (length: number): Buffer => {
    pos += length;
    return at(pos - length, length);
  };
  const u8 = () => take(1).readUInt8();
  const u32 = () => take(4).readUInt32BE();
  const u64 = () => number(take(8).readBigUInt64BE());
  const name = () => take(u8()).toString("latin1");
  const expect = (what: string, found: unknown, wanted: unknown) => {
    if (found !== wanted) throw new Error(`${what} at ${pos}: ${String(found)}, not ${String(wanted)}`);
  };

  // "The stream's framing", "Configuration"
  expect("magic", take(4).toString("latin1"), "QEVM");
  expect("version", u32(), 3);
  expect("configuration", u8(), 7);
  const machine = take(u32()).toString("latin1");
  let capabilities: string[] = [];
  let pageSize = 4096;
  while (at(pos, 1).readUInt8() === 5) {
    u8();
    const subsection = name();
    expect("subsection's version", u32(), 1);
    if (subsection === "configuration/capabilities") capabilities = Array.from({ length: u32() }, name);
    else if (subsection === "configuration/target-page-bits") pageSize = 2 ** u32();
    else if (subsection === "configuration/uuid") take(16);
    else throw new Error(`subsection ${subsection}`);
  }
  if (!capabilities.includes("mapped-ram")) throw new Error("not mapped-ram");

  // "The head", "Block entry"
  expect("START", u8(), 1);
  const sectionId = u32();
  expect("section", name(), "ram");
  expect("instance", u32(), 0);
  expect("RAM version", u32(), 4);
  const first = u64();
  expect("MEM_SIZE", first % pageSize, 4);
  const blocks: ReadBlock[] = [];
  let start = base;
  for (let left = first - 4; left > 0; ) {
    const block = name();
    const length = u64();
    if (u32() > 1) throw new Error("mapped-ram header's version");
    expect("page size", u64(), pageSize);
    const [bitmapOffset, pagesOffset] = [u64(), u64()];
    const bitmap = at(bitmapOffset, Math.ceil(length / pageSize / 64) * 8);
    blocks.push({ name: block, length, pageSize, bitmapOffset, pagesOffset, bitmap });
    pos = pagesOffset + length;
    start = pos;
    left -= length;
  }

  // "Tail"
  expect("EOS", u64(), 16);
  const footer = (id: number) => {
    expect("footer", u8(), 0x7e);
    expect("footer's id", u32(), id);
  };
  footer(sectionId);
  const devices: { name: string; instance: number; size: number }[] = [];
  const vmdesc = tail();
  const streamEnd = pos;

  /** A FULL's payload does not tell its length: the vmdesc, which stands last, does. It is looked for from the file's end. */
  function tail() {
    const found = findVmdesc(at(start, Math.min(fileSize - start, 2 ** 26)));
    const sizes = found === null ? new Map<string, number>() : sizesOf(found.json);
    for (;;) {
      const type = u8();
      if (type === 2 || type === 3) {
        expect("PART or END", u32(), sectionId);
        expect("EOS", u64(), 16);
        footer(sectionId);
      } else if (type === 8) {
        take(2);
        take(take(2).readUInt16BE());
      } else if (type === 4) {
        const id = u32();
        const device = name();
        const instance = u32();
        u32();
        const size = sizes.get(`${device} ${instance}`);
        if (size === undefined) throw new Error(`no description of ${device}`);
        devices.push({ name: device, instance, size });
        take(size);
        footer(id);
      } else if (type === 0) break;
      else throw new Error(`section type ${type} at ${pos}`);
    }
    if (found === null) return null;
    expect("VMDESC", u8(), 6);
    take(u32());
    return found.json;
  }

  const file: ReadFile = {
    machine,
    capabilities,
    pageSize,
    blocks,
    devices,
    streamEnd,
    vmdesc,
    seal: readSeal(),
    page: (block, index) => {
      const found = blocks[block];
      if (found === undefined || !bit(found.bitmap, index)) return null;
      return at(found.pagesOffset + index * pageSize, pageSize);
    },
    close: () => closeSync(fd),
  };
  return file;

  // "Seal"
  function readSeal(): ReadSeal | null {
    const trailer = at(fileSize - 128, 128);
    if (trailer.toString("latin1", 0, 8) !== "FRAMSEAL") return null;
    expect("trailer's check", sha256(trailer.subarray(0, 96)), trailer.toString("hex", 96));
    expect("seal's version", trailer.readUInt32BE(8), 1);
    expect("stream's begin", number(trailer.readBigUInt64BE(32)), base);
    expect("stream's end", number(trailer.readBigUInt64BE(40)), streamEnd);
    const directory = at(number(trailer.readBigUInt64BE(48)), number(trailer.readBigUInt64BE(56)));
    const id = sha256(directory);
    expect("directory", id, trailer.toString("hex", 64, 96));
    const sections = new Map<string, Buffer>();
    const count = directory.readUInt32BE(16);
    expect("directory's entry", directory.readUInt32BE(20), 64);
    for (let i = 0; i < count; i++) {
      const entry = directory.subarray(24 + 64 * i, 24 + 64 * (i + 1));
      const bytes = at(number(entry.readBigUInt64BE(8)), number(entry.readBigUInt64BE(16)));
      const type = entry.toString("latin1", 0, 4);
      expect(`section ${type}`, sha256(bytes), entry.toString("hex", 32));
      expect("section's head", bytes.toString("latin1", 0, 8), `FRAM${type}`);
      if (entry.readUInt32BE(4) % 2 === 1 && !["META", "BORD", "BLKS", "RGNS", "NODS"].includes(type))
        throw new Error(type);
      sections.set(type, bytes.subarray(16));
    }
    // "BORD"
    const order = sections.get("BORD");
    if (order !== undefined) {
      expect("order", order.toString("hex"), "00000001");
      for (const { bitmap } of blocks) bitmap.swap64();
    }
    const meta = JSON.parse((sections.get("META") ?? Buffer.alloc(0)).toString("utf8"));
    const uuid = trailer.toString("hex", 16, 32);
    expect("uuid", meta.uuid.replaceAll("-", ""), uuid);
    const list = (type: string, size: number): Buffer[] => {
      const bytes = sections.get(type) ?? Buffer.alloc(8);
      return Array.from({ length: bytes.readUInt32BE(0) }, (_, i) => bytes.subarray(8 + i * size, 8 + (i + 1) * size));
    };
    const sealed = list("BLKS", 96);
    const table = (block: number, page: number, pages = 1) =>
      at(number((sealed[block] as Buffer).readBigUInt64BE(32)) + 8 * page, 8 * pages);
    const pageIsSealed = (block: number, index: number): boolean => {
      const page = file.page(block, index);
      return page !== null && xxh64(page) === table(block, index).readBigUInt64BE();
    };
    const problems = (): string[] => {
      const wrong: string[] = [];
      for (const region of list("RGNS", 64)) {
        const bytes = at(number(region.readBigUInt64BE(8)), number(region.readBigUInt64BE(16)));
        if (sha256(bytes) !== region.toString("hex", 32)) wrong.push(`region ${region.toString("latin1", 0, 4)}`);
      }
      const nodes = sections.get("NODS") ?? Buffer.alloc(0);
      let next = 0;
      for (const [i, entry] of sealed.entries()) {
        const of = nodes.subarray(next, next + 40 * number(entry.readBigUInt64BE(48)));
        next += of.length;
        if (sha256(of) !== entry.toString("hex", 64)) wrong.push(`root of block ${i}`);
        wrong.push(...wrongNodes(i, of));
      }
      return wrong;
    };
    const wrongNodes = (block: number, listed: Buffer): string[] => {
      const { bitmap, length } = blocks[block] as ReadBlock;
      const pages = length / pageSize;
      const expected = new Map<number, string>();
      for (let k = 0; k < listed.length; k += 40)
        expected.set(number(listed.readBigUInt64BE(k)), listed.toString("hex", k + 8, k + 40));
      const wrong: string[] = [];
      for (let node = 0; node * 512 < pages; node++) {
        const end = Math.min(pages, (node + 1) * 512);
        const bits = Buffer.alloc(64);
        const digests: Buffer[] = [];
        const slots = table(block, node * 512, end - node * 512);
        for (let page = node * 512; page < end; page++) {
          if (!bit(bitmap, page)) continue;
          const k = page - node * 512;
          bits[k >> 3] = (bits[k >> 3] ?? 0) | (1 << (k & 7));
          digests.push(slots.subarray(8 * k, 8 * k + 8));
        }
        const found = digests.length === 0 ? undefined : sha256(Buffer.concat([bits, ...digests]));
        if (found !== expected.get(node)) wrong.push(`node ${node} of block ${block}`);
      }
      return wrong;
    };
    return { id, meta, pageIsSealed, problems };
  }
}

function number(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new Error(`${value} is too large`);
  return Number(value);
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** "Bitmap": byte floor(i / 8), bit i mod 8. */
function bit(bitmap: Buffer, index: number): boolean {
  return ((bitmap[Math.floor(index / 8)] ?? 0) & (1 << (index % 8))) !== 0;
}

/** The last `06 u32 {` whose length leads to its closing brace. */
function findVmdesc(bytes: Buffer): { readonly json: Vmdesc } | null {
  for (let i = bytes.lastIndexOf(6); i >= 0; i = i === 0 ? -1 : bytes.lastIndexOf(6, i - 1)) {
    if (bytes[i + 5] !== 0x7b || i + 5 > bytes.length) continue;
    const length = bytes.readUInt32BE(i + 1);
    if (bytes[i + 4 + length] !== 0x7d) continue;
    try {
      return { json: JSON.parse(bytes.toString("utf8", i + 5, i + 5 + length)) as Vmdesc };
    } catch {}
  }
  return null;
}

/** "The payload of a FULL": size x (array_len or 1) over its fields, and 1 + 1 + n + 4 + body for each subsection. */
function sizesOf(vmdesc: Vmdesc): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const device of vmdesc.devices) sizes.set(`${device.name} ${device.instance_id}`, bodyOf(device));
  return sizes;
}

function bodyOf({ fields = [], subsections = [] }: Described): number {
  const own = fields.reduce((sum, { size, array_len = 1 }) => sum + size * array_len, 0);
  return subsections.reduce((sum, each) => sum + 6 + String(each.vmsd_name).length + bodyOf(each), own);
}

const MASK = 2n ** 64n - 1n;
const [P1, P2, P3, P4] = [0x9e3779b185ebca87n, 0xc2b2ae3d27d4eb4fn, 0x165667b19e3779f9n, 0x85ebca77c2b2ae63n] as const;
const rotl = (x: bigint, r: bigint): bigint => ((x << r) | (x >> (64n - r))) & MASK;
const round = (acc: bigint, lane: bigint): bigint => (rotl((acc + lane * P2) & MASK, 31n) * P1) & MASK;

/** xxh64 with seed 0 of a multiple of 32 bytes. */
function xxh64(bytes: Buffer): bigint {
  let v = [(P1 + P2) & MASK, P2, 0n, -P1 & MASK];
  for (let i = 0; i < bytes.length; i += 32) v = v.map((acc, k) => round(acc, bytes.readBigUInt64LE(i + 8 * k)));
  let h = v.reduce((sum, acc, k) => (sum + rotl(acc, [1n, 7n, 12n, 18n][k] ?? 0n)) & MASK, 0n);
  for (const acc of v) h = ((h ^ round(0n, acc)) * P1 + P4) & MASK;
  h = (h + BigInt(bytes.length)) & MASK;
  h = ((h ^ (h >> 33n)) * P2) & MASK;
  h = ((h ^ (h >> 29n)) * P3) & MASK;
  return h ^ (h >> 32n);
}
