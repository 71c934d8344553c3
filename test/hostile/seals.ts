/** Sealed files with named fields, and how to seal them again when something in them was changed. */
import { createHash } from "node:crypto";
import { openFixedRam } from "../../src/fixedram/reader.ts";
import { sealInPlace } from "../../src/fixedram/seal-in-place.ts";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { batch, configuration, MemoryFile, meta, ramStart, tail } from "../fixedram/sample.ts";
import { type Field, Sound } from "./marked.ts";

const sha = (bytes: Uint8Array): Uint8Array => createHash("sha256").update(bytes).digest();
const u64 = (bytes: Uint8Array, at: number): number =>
  Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at));
const u32 = (bytes: Uint8Array, at: number): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(at);
const text = (bytes: Uint8Array, at: number, length: number): string =>
  Buffer.from(bytes.subarray(at, at + length)).toString("latin1");

class SyncedFile extends MemoryFile {
  async sync(): Promise<void> {}
}

/** Seals a mapped-ram file in place. @param how where its stream begins, and whether its bitmaps' words stand big-endian */
export async function sealed(file: Sound, how: { base?: number; bigEndian?: boolean } = {}): Promise<Sound> {
  const store = new SyncedFile();
  store.write(file.bytes, 0);
  await sealInPlace(
    store,
    await openFixedRam(store, { allowEmpty: true, base: how.base ?? 0, bigEndianBitmaps: how.bigEndian === true }),
    {
      ...meta,
      memoryMap: [],
      disks: [],
    },
  );
  return withFields(store.bytes(), file.fields);
}

/** A file as a save writes it, its tables in the gaps before the pages: main RAM of 6 pages, a ROM of 3. */
export async function saved(): Promise<Sound> {
  const file = new MemoryFile();
  const writer = new FixedRamWriter(file, configuration(), ramStart(["pc.ram", 6], ["rom", 3]), {
    isMainRam: ({ name }) => name === "pc.ram",
  });
  const [ram, rom] = writer.blocks;
  if (ram === undefined || rom === undefined) throw new Error("no block");
  writer.writePages(batch(ram, [[0, 1]]));
  writer.writePages(batch(ram, [[4, 5]]));
  writer.zeroPages(rom, 0, 3);
  writer.writePages(batch(rom, [[1, 9]]));
  writer.tail(tail());
  await writer.finish({ ...meta, memoryMap: [], disks: [] });
  return withFields(file.bytes(), new Map());
}

/** Finds the seal's fields by docs/format.md. */
function withFields(bytes: Uint8Array, stream: ReadonlyMap<string, Field>): Sound {
  const fields = new Map(stream);
  const mark = (name: string, offset: number, size: number) => fields.set(name, { offset, size });
  const row = (prefix: string, at: number, list: readonly (readonly [name: string, size: number])[]) => {
    let offset = at;
    for (const [name, size] of list) {
      mark(`${prefix}.${name}`, offset, size);
      offset += size;
    }
  };
  const trailer = bytes.length - 128;
  row("trailer", trailer, [
    ["magic", 8],
    ["version", 4],
    ["length", 4],
    ["uuid", 16],
    ["base", 8],
    ["end", 8],
    ["directory", 8],
    ["directoryLength", 8],
    ["sha", 32],
    ["check", 32],
  ]);
  const directory = u64(bytes, trailer + 48);
  row("DIRS", directory, [
    ["magic", 4],
    ["type", 4],
    ["length", 8],
    ["count", 4],
    ["entryBytes", 4],
  ]);
  for (let i = 0; i < u32(bytes, directory + 16); i++) {
    const entry = directory + 24 + 64 * i;
    const type = text(bytes, entry, 4);
    row(`dir.${type}`, entry, [
      ["type", 4],
      ["flags", 4],
      ["offset", 8],
      ["length", 8],
      ["zero", 8],
      ["sha", 32],
    ]);
    const offset = u64(bytes, entry + 8);
    row(type, offset, [
      ["magic", 4],
      ["type", 4],
      ["length", 8],
      ["payload", u64(bytes, entry + 16) - 16],
    ]);
    lists(type, bytes, offset + 16, u64(bytes, entry + 16) - 16, row, mark);
  }
  return new Sound(bytes, fields);
}

type Row = (prefix: string, at: number, list: readonly (readonly [name: string, size: number])[]) => void;

function lists(
  type: string,
  bytes: Uint8Array,
  at: number,
  length: number,
  row: Row,
  mark: (name: string, offset: number, size: number) => void,
): void {
  if (type === "BLKS" || type === "RGNS") {
    mark(`${type}.count`, at, 4);
    mark(`${type}.entryBytes`, at + 4, 4);
    for (let i = 0; i < u32(bytes, at); i++) {
      if (type === "BLKS")
        row(`BLKS${i}`, at + 8 + 96 * i, [
          ["pages", 8],
          ["pageSize", 8],
          ["bitmap", 8],
          ["pagesOffset", 8],
          ["table", 8],
          ["present", 8],
          ["nodes", 8],
          ["zero", 8],
          ["root", 32],
        ]);
      else
        row(`RGNS${i}`, at + 8 + 64 * i, [
          ["kind", 4],
          ["block", 4],
          ["offset", 8],
          ["length", 8],
          ["zero", 8],
          ["sha", 32],
        ]);
    }
  }
  if (type === "NODS")
    for (let i = 0; i < length / 40; i++)
      row(`NODS${i}`, at + 40 * i, [
        ["index", 8],
        ["sha", 32],
      ]);
}

/** The trailer's check made anew. */
export function checked(bytes: Uint8Array): Uint8Array {
  const trailer = bytes.length - 128;
  bytes.set(sha(bytes.subarray(trailer, trailer + 96)), trailer + 96);
  return bytes;
}

/** The directory's digest, and the check, made anew. */
export function listed(bytes: Uint8Array): Uint8Array {
  const trailer = bytes.length - 128;
  const [offset, length] = [u64(bytes, trailer + 48), u64(bytes, trailer + 56)];
  bytes.set(sha(bytes.subarray(offset, offset + length)), trailer + 64);
  return checked(bytes);
}

/** Every digest of the seal's sections made anew, as whoever wants to mislead would. */
export function resealed(bytes: Uint8Array): Uint8Array {
  const directory = u64(bytes, bytes.length - 128 + 48);
  for (let i = 0; i < u32(bytes, directory + 16); i++) {
    const entry = directory + 24 + 64 * i;
    const [offset, length] = [u64(bytes, entry + 8), u64(bytes, entry + 16)];
    bytes.set(sha(bytes.subarray(offset, offset + length)), entry + 32);
  }
  return listed(bytes);
}
