/** A hand-built save image: its header written out from docs/format.md, not with the encoder under test. */
import { FixedramError } from "../../src/errors.ts";
import { libvirtFormats } from "../../src/libvirt/header.ts";
import { MemoryFile } from "../fixedram/sample.ts";
import { build, describe_, PAGE, piece, preamble } from "../stream/helpers.ts";

export const xml = new TextEncoder().encode("<domain type='qemu'><name>gäst</name></domain>\n");
export const cookie = new TextEncoder().encode("<cookie>\n</cookie>\n");

export interface HeaderParts {
  magic?: string;
  version?: number;
  running?: number;
  format?: (typeof libvirtFormats)[number];
  formatNumber?: number;
  /** Replaces what XML and cookie make. */
  data?: Uint8Array;
  dataLength?: number;
  cookieOffset?: number;
  little?: boolean;
}

/** XML NUL, cookie NUL, some zeros. */
export const plainData = Buffer.concat([xml, Buffer.alloc(1), cookie, Buffer.alloc(1 + 64)]);

export function headerOf(parts: HeaderParts = {}): Buffer {
  const { magic = "LibvirtQemudSave", data = plainData, little = true } = parts;
  const number = parts.formatNumber ?? libvirtFormats.indexOf(parts.format ?? "raw");
  const words = [
    parts.version ?? 2,
    parts.dataLength ?? data.length,
    parts.running ?? 1,
    number,
    parts.cookieOffset ?? xml.length + 1,
  ];
  const fixed = Buffer.alloc(92);
  fixed.write(magic, "latin1");
  for (const [i, word] of words.entries()) {
    if (little) fixed.writeUInt32LE(word, 16 + 4 * i);
    else fixed.writeUInt32BE(word, 16 + 4 * i);
  }
  return Buffer.concat([fixed, data]);
}

export function fileOf(...parts: readonly Uint8Array[]): MemoryFile {
  const file = new MemoryFile();
  file.write(Buffer.concat(parts), 0);
  return file;
}

/** A stream as in a pipe: block "ram" of 16 pages, page 3 filled with 7, page 5 zero, a device. */
export const stream = build(
  preamble,
  piece.ramStart({ ram: 16 }),
  piece.part(2, piece.page(3, 7, "ram"), piece.zero(5)),
  piece.end(2),
  piece.device(5, "timer", new Uint8Array([1, 2, 3, 4])),
  piece.eof,
  piece.vmdesc(describe_(["timer", 4])),
);

/** The same as a mapped-ram stream that lies at `base`: its only block's pages at the next MiB. */
export function mappedStream(base: number): {
  readonly head: Uint8Array;
  readonly pages: number;
  readonly tail: Uint8Array;
} {
  const before = build(
    piece.header,
    piece.configuration("pc", piece.capabilities("mapped-ram")),
    piece.section(1, 2, "ram", 4),
    (b) => b.u64(16 * PAGE + 4),
    piece.name("ram"),
    (b) => b.u64(16 * PAGE),
  );
  const bitmap = base + before.length + 28;
  const pages = Math.ceil((bitmap + 8) / 2 ** 20) * 2 ** 20;
  const bits = new Uint8Array([1 << 3, 0, 0, 0, 0, 0, 0, 0]);
  const head = build(before, (b) => b.u32(1).u64(PAGE).u64(bitmap).u64(pages), bits);
  const tail = build(
    piece.eos,
    piece.footer(2),
    piece.end(2),
    piece.device(5, "timer", new Uint8Array([1, 2, 3, 4])),
    piece.eof,
    piece.vmdesc(describe_(["timer", 4])),
  );
  return { head, pages, tail };
}

export function sparseImage(header: Buffer): MemoryFile {
  const { head, pages, tail } = mappedStream(header.length);
  const file = fileOf(header, head);
  file.write(new Uint8Array(PAGE).fill(7), pages + 3 * PAGE);
  file.write(tail, pages + 16 * PAGE);
  return file;
}

export async function errorOf(action: () => Promise<unknown> | unknown): Promise<FixedramError> {
  try {
    await action();
  } catch (error) {
    if (error instanceof FixedramError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
