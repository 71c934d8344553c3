import { describe, expect, it } from "vitest";
import { FixedramError } from "../../src/errors.ts";
import { encodeHead } from "../../src/fixedram/head.ts";
import { type OpenOptions, openFixedRam } from "../../src/fixedram/reader.ts";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { ExtentKind, ExtentList } from "../../src/pages/extents.ts";
import type { Store } from "../../src/pages/store.ts";
import { batch, configuration, MemoryFile, meta, pageSize, ramStart, tail } from "./sample.ts";

const pages = 100;

/** Blocks "a" and "b" of 100 pages, pages 1 and 99 of each there. */
async function sample(sealed = true): Promise<{ file: MemoryFile; writer: FixedRamWriter }> {
  const file = new MemoryFile();
  const writer = new FixedRamWriter(file, configuration(), ramStart(["a", pages], ["b", pages]), {
    isMainRam: () => true,
  });
  for (const block of writer.blocks)
    writer.writePages(
      batch(block, [
        [1, 5],
        [99, 6],
      ]),
    );
  writer.tail(tail());
  await writer.finish(sealed ? meta : null);
  return { file, writer };
}

async function codeOf(file: Store, options: OpenOptions = {}): Promise<string> {
  return openFixedRam(file, options).then(
    () => "none",
    (error: unknown) => {
      if (error instanceof FixedramError) return error.code;
      throw error;
    },
  );
}

const u64 = (value: number) => [...new Uint8Array(new BigUint64Array([BigInt(value)]).buffer)].reverse();

/** Offsets of the mapped-ram header's fields of block i. */
function fieldsOf(writer: FixedRamWriter, index: number) {
  const layout = writer.layout.blocks[index];
  if (layout === undefined) throw new Error("no such block");
  const header = layout.bitmapOffset - 28;
  return {
    ...layout,
    version: header,
    pageSize: header + 4,
    bitmap: header + 12,
    pages: header + 20,
    length: header - 8,
  };
}

describe("openFixedRam", () => {
  it("gives extents in page order, also when the list is small", async () => {
    const { file, writer } = await sample();
    const opened = await openFixedRam(file);
    const list = new ExtentList(3);
    expect(opened.map.extents(1, 0, pages, list)).toBe(99);
    expect([...list.kind]).toEqual([ExtentKind.zero, ExtentKind.data, ExtentKind.zero]);
    expect([...list.first]).toEqual([0, 1, 2]);
    expect([...list.pages]).toEqual([1, 1, 97]);
    expect(list.offset[1]).toBe(fieldsOf(writer, 1).pagesOffset + pageSize);
    list.clear();
    expect(opened.map.extents(1, 99, 1, list)).toBe(1);
    expect(list.kind[0]).toBe(ExtentKind.data);
    expect(() => opened.map.extents(1, 99, 2, list)).toThrow(RangeError);
    expect(() => opened.map.extents(2, 0, 1, list)).toThrow(RangeError);
  });

  it("never reads a page", async () => {
    const { file, writer } = await sample();
    const spans = writer.layout.blocks.map(({ pagesOffset, end }) => [pagesOffset, end] as const);
    const watched: Store = {
      name: "watched",
      size: file.size,
      read: (target, position) => {
        // One read ahead from an entry may end among the pages' gap, never begin among the pages.
        for (const [start, end] of spans) expect(position >= start && position < end).toBe(false);
        return file.read(target, position);
      },
      close: async () => {},
    };
    await openFixedRam(watched);
  });

  it("takes bitmaps of a big-endian host", async () => {
    const { file, writer } = await sample();
    for (const index of [0, 1]) {
      const { bitmapOffset, bitmapLength } = fieldsOf(writer, index);
      const bytes = new Uint8Array(bitmapLength);
      file.readBack(bytes, bitmapOffset);
      for (let i = 0; i < bitmapLength; i += 8) bytes.subarray(i, i + 8).reverse();
      file.write(bytes, bitmapOffset);
    }
    file.truncate(writer.streamEnd);
    const opened = await openFixedRam(file, { bigEndianBitmaps: true });
    expect(opened.bitmaps.map((bitmap) => [bitmap.nextSet(0), bitmap.lastSet(), bitmap.count()])).toEqual([
      [1, 99, 2],
      [1, 99, 2],
    ]);
  });

  it("ignores bits past the end of the block", async () => {
    const { file, writer } = await sample();
    file.patch(fieldsOf(writer, 0).bitmapOffset + 15, [0xff]);
    expect((await openFixedRam(file)).bitmaps[0]?.count()).toBe(2);
  });

  it("takes other placements: descending pages, a bitmap behind the stream, anything in the gaps", async () => {
    const { file, writer } = await sample(false);
    const { bitmap, bitmapOffset, bitmapLength, pagesOffset } = fieldsOf(writer, 0);
    const bytes = new Uint8Array(bitmapLength);
    file.readBack(bytes, bitmapOffset);
    const place = file.size + 13;
    file.write(bytes, place);
    file.patch(bitmap, u64(place));
    file.patch(bitmapOffset, new Array(16).fill(0xee)).patch(pagesOffset - 5, [1, 2, 3]);
    expect((await openFixedRam(file)).bitmaps[0]?.lastSet()).toBe(99);
  });

  const defects: [string, (file: MemoryFile, writer: FixedRamWriter) => unknown, string][] = [
    [
      "a bitmap past the end of the file",
      (file, writer) => file.patch(fieldsOf(writer, 0).bitmap, u64(file.size - 8)),
      "file.bitmap-outside",
    ],
    [
      "a bitmap past 2^53",
      (file, writer) => file.patch(fieldsOf(writer, 0).bitmap, u64(2 ** 53 - 1)),
      "file.too-large",
    ],
    [
      "a bitmap over the other's pages",
      (file, writer) => file.patch(fieldsOf(writer, 0).bitmap, u64(fieldsOf(writer, 1).pagesOffset)),
      "file.overlap",
    ],
    [
      "two bitmaps in one place",
      (file, writer) => file.patch(fieldsOf(writer, 0).bitmap, u64(fieldsOf(writer, 1).bitmapOffset)),
      "file.overlap",
    ],
    ["a bitmap over the file's head", (file, writer) => file.patch(fieldsOf(writer, 0).bitmap, u64(0)), "file.overlap"],
    [
      "a bitmap over the tail",
      (file, writer) => file.patch(fieldsOf(writer, 0).bitmap, u64(writer.streamEnd - 8)),
      "file.overlap",
    ],
    [
      "a page size that is not the guest's",
      (file, writer) => file.patch(fieldsOf(writer, 0).pageSize, u64(8192)),
      "stream.mapped-page-size",
    ],
    ["a page size of 0", (file, writer) => file.patch(fieldsOf(writer, 0).pageSize, u64(0)), "stream.mapped-page-size"],
    [
      "an unknown header version",
      (file, writer) => file.patch(fieldsOf(writer, 0).version, [0, 0, 0, 2]),
      "stream.mapped-version",
    ],
    [
      "pages past the end of the file",
      (file, writer) => file.patch(fieldsOf(writer, 0).pages, u64(2 ** 40)),
      "stream.cut",
    ],
    ["a file cut among the pages", (file, writer) => file.truncate(fieldsOf(writer, 1).pagesOffset + 5), "stream.cut"],
    ["an empty file", (file) => file.truncate(0), "stream.cut"],
    ["a file cut in the bitmap", (file, writer) => file.truncate(fieldsOf(writer, 0).bitmapOffset + 3), "stream.cut"],
    ["another magic", (file) => file.patch(0, [0x50]), "stream.bad-magic"],
  ];
  for (const [name, damage, code] of defects) {
    it(`refuses ${name}: ${code}`, async () => {
      const { file, writer } = await sample();
      damage(file, writer);
      expect(await codeOf(file)).toBe(code);
    });
  }

  it("refuses pages that do not stand at a multiple of the page size", async () => {
    const { file, writer } = await sample(false);
    const { pages: field, pagesOffset, end } = fieldsOf(writer, 1);
    const rest = new Uint8Array(file.size - end);
    file.readBack(rest, end);
    file.write(rest, end + 512);
    file.patch(field, u64(pagesOffset + 512));
    expect(await codeOf(file)).toBe("file.pages-unaligned");
  });

  it("refuses a legacy stream, and one without RAM", async () => {
    const { file } = await sample();
    const head = Buffer.from(file.bytes().subarray(0, 200));
    const at = head.indexOf("mapped-ram");
    file.write(Buffer.from("other-name"), at);
    expect(await codeOf(file)).toBe("file.not-mapped-ram");
    const bare = new MemoryFile();
    bare.write(file.bytes().subarray(0, at), 0);
    bare.write(Buffer.from("mapped-ram\0"), at);
    expect(await codeOf(bare)).toBe("file.not-mapped-ram");
  });

  it("names the file that background-snapshot with mapped-ram leaves", async () => {
    const { file, writer } = await sample();
    for (const index of [0, 1]) file.patch(fieldsOf(writer, index).bitmapOffset, new Array(16).fill(0));
    expect(await codeOf(file)).toBe("file.empty-bitmaps");
    expect(await codeOf(file, { allowEmpty: true })).toBe("none");
  });

  it("checks the bitmaps' size before it allocates them", async () => {
    const { file } = await sample();
    expect(await codeOf(file, { maxBitmapBytes: 31 })).toBe("file.too-large");
    expect(await codeOf(file, { maxBitmapBytes: 32 })).toBe("none");
  });

  it("reports absent pages in a block that was shared and left out, zero ones in another", async () => {
    const plain = ramStart(["shared", 2], ["a", 2]);
    const start = { ...plain, blocks: plain.blocks.map((entry) => ({ ...entry, guestAddress: 2 ** 32 })) };
    const layouts = start.blocks.map(({ block }, index) => {
      const pagesOffset = (index + 1) * 2 ** 16;
      return { block, bitmapOffset: pagesOffset - 8, bitmapLength: 8, pagesOffset, end: pagesOffset + block.length };
    });
    const file = new MemoryFile();
    for (const piece of encodeHead(configuration("x-ignore-shared", "mapped-ram"), start, layouts)) {
      file.write(piece.bytes, piece.position);
    }
    file.patch(2 ** 17 - 8, [1]);
    const at = 2 ** 17 + 2 * pageSize;
    file.write(tail(), at);
    const { map } = await openFixedRam(file);
    const list = new ExtentList(3);
    map.extents(0, 0, 2, list);
    map.extents(1, 0, 2, list);
    expect([...list.kind]).toEqual([ExtentKind.absent, ExtentKind.data, ExtentKind.zero]);
  });

  it("notices a file that becomes shorter while it is read", async () => {
    const { file, writer } = await sample();
    const { bitmapOffset } = fieldsOf(writer, 1);
    const store: Store = {
      name: "shrinking",
      size: file.size,
      read: async (target, position) => (position === bitmapOffset ? 3 : file.read(target, position)),
      close: async () => {},
    };
    expect(await codeOf(store)).toBe("file.truncated");
  });

  it("stops when it is told to", async () => {
    const { file } = await sample();
    await expect(openFixedRam(file, { signal: AbortSignal.abort() })).rejects.toThrow();
  });
});
