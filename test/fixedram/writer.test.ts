import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isZero } from "../../src/bytes/zero.ts";
import { planLayout } from "../../src/fixedram/layout.ts";
import { type FixedRamFile, openFixedRam } from "../../src/fixedram/reader.ts";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { ExtentKind, ExtentList } from "../../src/pages/extents.ts";
import { batch, configuration, MemoryFile, meta, pageSize, ramStart, tail } from "./sample.ts";

const isMain = (block: { name: string }) => block.name === "main";

/** Content of each page by its first byte, read through the page map. */
async function fillsOf(file: FixedRamFile, block: number): Promise<number[]> {
  const list = new ExtentList(2);
  const fills: number[] = [];
  const { pages } = file.map.blocks[block] ?? { pages: 0 };
  const bytes = new Uint8Array(pageSize);
  while (fills.length < pages) {
    list.clear();
    expect(file.map.extents(block, fills.length, pages - fills.length, list)).toBeGreaterThan(0);
    for (let i = 0; i < list.length; i++) {
      expect(list.first[i]).toBe(fills.length);
      for (let page = 0; page < (list.pages[i] ?? 0); page++) {
        if (list.kind[i] === ExtentKind.zero) fills.push(0);
        else {
          expect(await file.store.read(bytes, (list.offset[i] ?? 0) + page * pageSize)).toBe(pageSize);
          expect(bytes.every((byte) => byte === bytes[0])).toBe(true);
          fills.push(bytes[0] ?? -1);
        }
      }
    }
  }
  return fills;
}

function newWriter(file: MemoryFile, ...blocks: (readonly [string, number])[]): FixedRamWriter {
  return new FixedRamWriter(file, configuration(), ramStart(...blocks), { isMainRam: isMain });
}

function blockOf(writer: FixedRamWriter, index: number) {
  const block = writer.blocks[index];
  if (block === undefined) throw new Error("no such block");
  return block;
}

describe("planLayout", () => {
  it("places bitmap, pages and the next entry as QEMU does", () => {
    const blocks = ramStart(["pc.ram", 65536], ["bios", 64]).blocks.map(({ block }) => block);
    const layout = planLayout(100, blocks);
    expect(layout.blocks.map(({ block, ...places }) => places)).toEqual([
      {
        entryOffset: 100,
        bitmapOffset: 143,
        bitmapLength: 8192,
        tableOffset: 12288,
        pagesOffset: 2 ** 20,
        end: 2 ** 20 + 2 ** 28,
      },
      {
        entryOffset: 2 ** 20 + 2 ** 28,
        bitmapOffset: 2 ** 20 + 2 ** 28 + 41,
        bitmapLength: 8,
        tableOffset: 2 ** 20 + 2 ** 28 + 4096,
        pagesOffset: 2 ** 21 + 2 ** 28,
        end: 2 ** 21 + 2 ** 28 + 2 ** 18,
      },
    ]);
    expect(layout.tailOffset).toBe(2 ** 21 + 2 ** 28 + 2 ** 18);
  });

  it("refuses a file that would pass 2^53 bytes", () => {
    const block = { index: 0, name: "a", length: 2 ** 53 - 4096, pageSize, pages: 2 ** 41 - 1 };
    expect(() => planLayout(0, [block])).toThrow(expect.objectContaining({ code: "file.too-large" }));
  });
});

describe("FixedRamWriter", () => {
  it("writes a file that opens, with blocks, devices, vmdesc and seal", async () => {
    const file = new MemoryFile();
    const writer = newWriter(file, ["main", 300], ["b\xefos", 20]);
    writer.writePages(
      batch(blockOf(writer, 0), [
        [3, 7],
        [4, 8],
        [299, 9],
      ]),
    );
    writer.zeroPages(blockOf(writer, 1), 0, 20);
    writer.writePages(batch(blockOf(writer, 1), [[5, 1]]));
    const bytes = tail();
    for (const byte of bytes) writer.tail(Uint8Array.of(byte));
    await writer.finish(meta);
    expect(file.committed).toBe(true);
    const opened = await openFixedRam(file);
    expect(opened.configuration.machine).toBe("pc-i440fx-7.2");
    expect(opened.map.blocks.map(({ name, pages }) => [name, pages])).toEqual([
      ["main", 300],
      ["b\xefos", 20],
    ]);
    expect(opened.bitmaps.map((bitmap) => bitmap.count())).toEqual([3, 20]);
    expect(opened.devices.map(({ name, payload }) => [name, [...payload]])).toEqual([
      ["timer", [0xde, 0xad, 0xbe, 0xef]],
    ]);
    expect(new TextDecoder().decode(opened.vmdesc ?? undefined)).toContain('"timer"');
    expect(opened.tail).toEqual({ offset: writer.layout.tailOffset, length: bytes.length });
    expect(opened.streamEnd).toBe(writer.streamEnd);
    expect(opened.seal.seal?.meta).toEqual(meta);
    expect(file.size % 4096).toBe(0);
    expect(writer.countPages()).toEqual({ total: 320, data: 4, zero: 316 });
  });

  it("starts with the bytes that docs/format.md gives", async () => {
    const file = new MemoryFile();
    const writer = newWriter(file, ["main", 1]);
    writer.writePages(batch(blockOf(writer, 0), [[0, 0xab]]));
    writer.tail(tail());
    await writer.finish();
    const bytes = Buffer.from(file.bytes());
    const expected = [
      "5145564d00000003", // QEVM, version
      `070000000d${Buffer.from("pc-i440fx-7.2").toString("hex")}`,
      `051a${Buffer.from("configuration/capabilities").toString("hex")}00000001`,
      `000000010a${Buffer.from("mapped-ram").toString("hex")}`,
      "01000000020372616d0000000000000004", // START, id 2, "ram", instance 0, version 4
      "0000000000001004", // 4096 bytes of RAM
      `04${Buffer.from("main").toString("hex")}0000000000001000`,
      "000000010000000000001000",
    ].join("");
    expect(bytes.toString("hex", 0, expected.length / 2)).toBe(expected);
    const at = expected.length / 2;
    expect(bytes.readBigUInt64BE(at)).toBe(BigInt(at + 16));
    expect(bytes.readBigUInt64BE(at + 8)).toBe(BigInt(2 ** 20));
    expect(bytes.toString("hex", at + 16, at + 24)).toBe("0100000000000000");
    expect(bytes[2 ** 20]).toBe(0xab);
    expect(bytes.subarray(2 ** 20 + 4096).equals(tail())).toBe(true);
  });

  it("writes adjacent pages with one call, contiguous in the chunk or not, in pieces of 512 KiB", () => {
    const file = new MemoryFile();
    const writer = newWriter(file, ["main", 1000]);
    const run = (first: number, count: number) =>
      Array.from({ length: count }, (_, i) => [first + i, i % 256] as const);
    writer.writePages(batch(blockOf(writer, 0), run(10, 100)));
    expect(file.writes).toBe(1);
    writer.writePages(batch(blockOf(writer, 0), run(10, 100), 0));
    expect(file.writes).toBe(2);
    writer.writePages(batch(blockOf(writer, 0), run(200, 300)));
    expect(file.writes).toBe(5);
    expect(writer.rewritten).toBe(100);
    const page = new Uint8Array(pageSize);
    writer.readPage(blockOf(writer, 0), 499, page);
    expect(page[0]).toBe(299 % 256);
  });

  it("clears the bit of a zero page in main RAM and leaves its bytes", async () => {
    const file = new MemoryFile();
    const writer = newWriter(file, ["main", 8]);
    writer.writePages(
      batch(blockOf(writer, 0), [
        [1, 5],
        [2, 6],
      ]),
    );
    const writes = file.writes;
    writer.zeroPages(blockOf(writer, 0), 0, 2);
    expect(file.writes).toBe(writes);
    const page = new Uint8Array(pageSize).fill(1);
    writer.readPage(blockOf(writer, 0), 1, page);
    expect(isZero(page)).toBe(true);
    writer.tail(tail());
    await writer.finish();
    const opened = await openFixedRam(file);
    expect(await fillsOf(opened, 0)).toEqual([0, 0, 6, 0, 0, 0, 0, 0]);
  });

  it("stores zero pages of other blocks: a hole where nothing was, zeros where something was", async () => {
    const file = new MemoryFile();
    const writer = newWriter(file, ["rom", 40]);
    writer.zeroPages(blockOf(writer, 0), 0, 39);
    expect(file.writes).toBe(0);
    writer.writePages(
      batch(blockOf(writer, 0), [
        [20, 5],
        [21, 5],
      ]),
    );
    writer.zeroPages(blockOf(writer, 0), 10, 11);
    expect(file.writes).toBe(2);
    writer.tail(tail());
    await writer.finish();
    const opened = await openFixedRam(file);
    expect(opened.bitmaps[0]?.count()).toBe(39);
    expect(await fillsOf(opened, 0)).toEqual(Array.from({ length: 40 }, (_, i) => (i === 21 ? 5 : 0)));
    expect(writer.countPages()).toEqual({ total: 40, data: 1, zero: 39 });
  });

  it("agrees with a plain model for any sequence of pages and zeros", async () => {
    const page = fc.tuple(fc.nat(69), fc.integer({ min: 1, max: 255 }));
    const step = fc.oneof(
      fc.record({
        kind: fc.constant("pages" as const),
        block: fc.nat(1),
        list: fc.array(page, { maxLength: 8 }),
        sorted: fc.boolean(),
      }),
      fc.record({ kind: fc.constant("zero" as const), block: fc.nat(1), first: fc.nat(69), count: fc.nat(69) }),
      fc.record({ kind: fc.constant("one" as const), block: fc.nat(1), page }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const file = new MemoryFile();
        const writer = newWriter(file, ["main", 70], ["rom", 70]);
        const model = [new Array<number>(70).fill(0), new Array<number>(70).fill(0)];
        for (const action of steps) {
          const block = blockOf(writer, action.block);
          const pages = model[action.block] ?? [];
          if (action.kind === "zero") {
            const count = Math.min(action.count, 70 - action.first);
            writer.zeroPages(block, action.first, count);
            pages.fill(0, action.first, action.first + count);
          } else if (action.kind === "one") {
            writer.writePage(block, action.page[0], new Uint8Array(pageSize).fill(action.page[1]));
            pages[action.page[0]] = action.page[1];
          } else {
            const list = action.sorted ? action.list.map(([, fill], i) => [i + 3, fill] as const) : action.list;
            writer.writePages(batch(block, list, action.sorted ? 0 : 8));
            for (const [index, fill] of list) pages[index] = fill;
          }
        }
        const bytes = new Uint8Array(pageSize);
        for (const [i, pages] of model.entries()) {
          pages.forEach((fill, index) => {
            writer.readPage(blockOf(writer, i), index, bytes);
            expect([bytes[0], bytes[4095]]).toEqual([fill, fill]);
          });
        }
        writer.tail(tail(false));
        await writer.finish(meta);
        const opened = await openFixedRam(file, { allowEmpty: true });
        expect([await fillsOf(opened, 0), await fillsOf(opened, 1)]).toEqual(model);
        expect(writer.countPages().data).toBe(model.flat().filter((fill) => fill > 0).length);
        expect(opened.seal.state).toBe("sealed");
      }),
      { numRuns: 150 },
    );
  });

  it("keeps the places of the streams's end without a vmdesc, sealed or not", async () => {
    for (const record of [meta, null]) {
      const file = new MemoryFile();
      const writer = newWriter(file, ["main", 2]);
      writer.writePages(batch(blockOf(writer, 0), [[1, 1]]));
      writer.tail(tail(false));
      await writer.finish(record);
      const opened = await openFixedRam(file);
      expect(opened.vmdesc).toBeNull();
      expect(opened.streamEnd).toBe(writer.streamEnd);
      expect(opened.seal.state).toBe(record === null ? "none" : "sealed");
    }
  });

  it("takes a tail larger than its buffer", async () => {
    const file = new MemoryFile();
    const writer = newWriter(file, ["main", 2]);
    writer.tail(Uint8Array.of(1, 2, 3));
    writer.tail(new Uint8Array(200_000).fill(4));
    writer.tail(Uint8Array.of(5));
    writer.complete(null);
    const bytes = file.bytes().subarray(writer.layout.tailOffset);
    expect([bytes.length, bytes[2], bytes[3], bytes[200_002], bytes[200_003]]).toEqual([200_004, 3, 4, 4, 5]);
    expect(() => writer.tail(bytes)).toThrow();
    expect(() => writer.complete(null)).toThrow();
  });

  it("does not begin with QEVM before it is complete, and aborts the file", async () => {
    const file = new MemoryFile();
    const writer = newWriter(file, ["main", 2]);
    writer.writePages(batch(blockOf(writer, 0), [[1, 1]]));
    writer.tail(tail());
    expect(isZero(file.bytes().subarray(0, 4096))).toBe(true);
    await writer.abort();
    expect(file.aborted).toBe(true);
  });

  it("refuses pages outside a block and guests with ignored memory", () => {
    const file = new MemoryFile();
    const writer = newWriter(file, ["main", 2]);
    const block = blockOf(writer, 0);
    expect(() => writer.writePages(batch(block, [[2, 1]]))).toThrow(RangeError);
    expect(() => writer.zeroPages(block, 1, 2)).toThrow(RangeError);
    expect(() => writer.readPage(block, -1, new Uint8Array(pageSize))).toThrow(RangeError);
    expect(() => writer.writePage(block, 0, new Uint8Array(1))).toThrow(RangeError);
    expect(() => writer.zeroPages({ ...block, index: 1 }, 0, 1)).toThrow(RangeError);
    expect(() => new FixedRamWriter(file, configuration("x-ignore-shared"), ramStart(["main", 1]))).toThrow(
      expect.objectContaining({ code: "file.ignore-shared" }),
    );
  });

  it("notices when the file loses what was written", () => {
    const file = new MemoryFile();
    const writer = newWriter(file, ["main", 2]);
    writer.writePages(batch(blockOf(writer, 0), [[1, 1]]));
    file.truncate(10);
    expect(() => writer.readPage(blockOf(writer, 0), 1, new Uint8Array(pageSize))).toThrow(
      expect.objectContaining({ code: "file.truncated" }),
    );
  });
});
