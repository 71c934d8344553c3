import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PageBitmap } from "../../src/bytes/bitmap.ts";
import { PageHasher } from "../../src/bytes/page-digest.ts";
import { FixedramError } from "../../src/errors.ts";
import { decodeDigests, encodeDigests, nodesOf } from "../../src/fixedram/digest-sections.ts";
import { DigestTable, nodeBytes } from "../../src/fixedram/digest-table.ts";
import { countNodes, encodeNodes, nodeEntryBytes } from "../../src/fixedram/nodes.ts";
import { openFixedRam } from "../../src/fixedram/reader.ts";
import { readSection } from "../../src/fixedram/seal.ts";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { batch, configuration, MemoryFile, meta, pageSize, ramStart, tail } from "./sample.ts";

const sha = (...parts: Uint8Array[]) => createHash("sha256").update(Buffer.concat(parts)).digest("hex");

describe("DigestTable", () => {
  it("keeps every slot, however few nodes it may hold", () => {
    const places = [
      { tableOffset: 4096, pages: 1300 },
      { tableOffset: 40960, pages: 5 },
      { tableOffset: 81920, pages: 2048 },
    ];
    const set = fc.tuple(fc.nat(2), fc.nat(2047), fc.integer({ min: 1, max: 255 }));
    fc.assert(
      fc.property(fc.array(set, { maxLength: 60 }), fc.integer({ min: 1, max: 12 }), (sets, capacity) => {
        const file = new MemoryFile();
        const table = new DigestTable(file, places, capacity);
        const model = places.map(({ pages }) => new Uint8Array(pages * 8));
        for (const [block, at, fill] of sets) {
          const page = at % (places[block]?.pages ?? 1);
          table.node(block, Math.floor(page / 512)).fill(fill, (page % 512) * 8, (page % 512) * 8 + 8);
          model[block]?.fill(fill, page * 8, page * 8 + 8);
        }
        table.flush();
        const node = new Uint8Array(nodeBytes);
        places.forEach(({ tableOffset, pages }, block) => {
          const found = new Uint8Array(pages * 8);
          file.readSync(found, tableOffset);
          expect(Buffer.compare(found, model[block] ?? found)).toBe(0);
          for (let index = 0; index * 512 < pages; index++) {
            table.copy(block, index, node);
            const length = Math.min(nodeBytes, pages * 8 - index * nodeBytes);
            expect([...node.subarray(0, length)]).toEqual([
              ...found.subarray(index * nodeBytes, index * nodeBytes + length),
            ]);
          }
        });
      }),
      { numRuns: 60 },
    );
  });
});

describe("nodes", () => {
  it("are SHA-256 over 64 bytes of bits and the digests of the pages present", () => {
    const bitmap = new PageBitmap(1100);
    for (const page of [0, 3, 511, 1024, 1099]) bitmap.set(page);
    const digests = Uint8Array.from({ length: 4096 }, (_, i) => i % 251);
    expect(countNodes(bitmap)).toBe(2);
    const entries = Buffer.alloc(2 * nodeEntryBytes);
    encodeNodes(bitmap, entries, () => digests);
    const slot = (i: number) => digests.subarray(i * 8, i * 8 + 8);
    const bits = (...set: number[]) => {
      const bytes = new Uint8Array(64);
      for (const i of set) bytes[i >> 3] = (bytes[i >> 3] ?? 0) | (1 << (i & 7));
      return bytes;
    };
    expect(Number(entries.readBigUInt64BE(0))).toBe(0);
    expect(entries.toString("hex", 8, 40)).toBe(sha(bits(0, 3, 511), slot(0), slot(3), slot(511)));
    expect(Number(entries.readBigUInt64BE(40))).toBe(2);
    expect(entries.toString("hex", 48, 80)).toBe(sha(bits(0, 75), slot(0), slot(75)));
  });
});

async function sample(): Promise<{ file: MemoryFile; writer: FixedRamWriter }> {
  const file = new MemoryFile();
  const writer = new FixedRamWriter(file, configuration(), ramStart(["main", 700], ["rom", 9]), {
    isMainRam: ({ name }) => name === "main",
  });
  const [main, rom] = writer.blocks;
  if (main === undefined || rom === undefined) throw new Error("no block");
  writer.writePages(
    batch(main, [
      [510, 1],
      [511, 2],
      [512, 3],
      [513, 4],
    ]),
  );
  writer.writePages(batch(main, [[600, 9]], 0));
  writer.writePages(batch(main, [[511, 5]]));
  writer.zeroPages(main, 513, 1);
  writer.zeroPages(rom, 0, 9);
  writer.writePage(rom, 4, new Uint8Array(pageSize).fill(7));
  writer.tail(tail());
  await writer.finish(meta);
  return { file, writer };
}

async function sectionsOf(file: MemoryFile): Promise<Uint8Array[]> {
  const { seal } = (await openFixedRam(file)).seal;
  if (seal === null) throw new Error("no seal");
  const read = (type: string) => {
    const place = seal.sections.find((section) => section.type === type);
    if (place === undefined) throw new Error(type);
    return readSection(file, place, 2 ** 20);
  };
  return [await read("BLKS"), await read("RGNS"), await read("NODS")];
}

describe("a sealed file", () => {
  it("has the digest of each page present in its table, the last that came, and the file's id", async () => {
    const { file, writer } = await sample();
    const hasher = new PageHasher(0);
    const fills: [number, number, number][] = [
      [0, 510, 1],
      [0, 511, 5],
      [0, 512, 3],
      [0, 600, 9],
      [1, 0, 0],
      [1, 4, 7],
      [1, 8, 0],
    ];
    for (const [block, page, fill] of fills) {
      const expected = new Uint8Array(8);
      hasher.hash(new Uint8Array(pageSize).fill(fill), 0, 1, pageSize, pageSize, expected, 0);
      const found = new Uint8Array(8);
      file.readSync(found, (writer.layout.blocks[block]?.tableOffset ?? 0) + page * 8);
      expect([block, page, ...found]).toEqual([block, page, ...expected]);
    }
    const { seal } = (await openFixedRam(file)).seal;
    const directory = new Uint8Array(seal?.directoryLength ?? 0);
    file.readSync(directory, seal?.directoryOffset ?? 0);
    expect(seal?.id).toBe(sha(directory));
  });

  it("lists blocks, every byte of the stream that is no page, and nodes", async () => {
    const { file, writer } = await sample();
    const [blks, rgns, nods] = await sectionsOf(file);
    if (blks === undefined || rgns === undefined || nods === undefined) throw new Error("no section");
    const { blocks, regions, nodes } = decodeDigests(blks, rgns, nods, file.size);
    expect(blocks.map(({ pages, present, nodes: count }) => [pages, present, count])).toEqual([
      [700, 4, 2],
      [9, 9, 1],
    ]);
    expect(
      blocks.map(({ pagesOffset, tableOffset, bitmapOffset }) => [bitmapOffset, tableOffset, pagesOffset]),
    ).toEqual(
      writer.layout.blocks.map(({ pagesOffset, tableOffset, bitmapOffset }) => [
        bitmapOffset,
        tableOffset,
        pagesOffset,
      ]),
    );
    expect([0, 1].map((block) => sha(nodesOf({ blocks, nodes }, block)))).toEqual(
      blocks.map(({ root }) => Buffer.from(root).toString("hex")),
    );
    expect(regions.map(({ kind, block }) => `${kind} ${block}`)).toEqual([
      "HEAD 0",
      "ENTR 1",
      "BMAP 0",
      "BMAP 1",
      "TAIL 0",
    ]);
    const bytes = file.bytes();
    for (const { offset, length, sha256 } of regions)
      expect(sha(bytes.subarray(offset, offset + length))).toBe(Buffer.from(sha256).toString("hex"));
    const [head, entry, , , last] = regions;
    expect(head?.length).toBe(writer.layout.blocks[0]?.bitmapOffset);
    expect([entry?.offset, (entry?.offset ?? 0) + (entry?.length ?? 0)]).toEqual([
      writer.layout.blocks[1]?.entryOffset,
      writer.layout.blocks[1]?.bitmapOffset,
    ]);
    expect([last?.offset, (last?.offset ?? 0) + (last?.length ?? 0)]).toEqual([
      writer.layout.tailOffset,
      writer.streamEnd,
    ]);
    const again = encodeDigests({ blocks, regions, nodes, bigEndian: false }).map(({ payload }) => payload);
    expect(again.map((payload) => sha(payload))).toEqual([blks, rgns, nods].map((payload) => sha(payload)));
  });

  it("is refused where the sections contradict each other, or name places outside the file", async () => {
    const { file } = await sample();
    const [blks, rgns, nods] = await sectionsOf(file);
    if (blks === undefined || rgns === undefined || nods === undefined) throw new Error("no section");
    const changed = (bytes: Uint8Array, at: number, ...values: number[]) => {
      const copy = bytes.slice();
      copy.set(values, at);
      return copy;
    };
    const code = (b: Uint8Array, r: Uint8Array, n: Uint8Array) => {
      try {
        decodeDigests(b, r, n, file.size);
      } catch (error) {
        if (error instanceof FixedramError) return error.code;
        throw error;
      }
      return "none";
    };
    expect(code(blks, rgns, nods)).toBe("none");
    // BLKS: count, entry size, pages, page size, the three places, present, nodes.
    for (const at of [3, 7, 8 + 5, 16 + 7, 24 + 4, 32 + 4, 40 + 4, 48 + 6, 56 + 6]) {
      expect([at, code(changed(blks, at, 0x77), rgns, nods)]).toEqual([at, "seal.bad-digests"]);
    }
    expect(code(changed(blks, 32, 0xff), rgns, nods)).toBe("seal.number-too-large");
    // RGNS: count, entry size, kind, block, offset, length.
    for (const at of [3, 7, 8, 12 + 3, 16 + 4, 24 + 4]) {
      expect([at, code(blks, changed(rgns, at, 0x77), nods)]).toEqual([at, "seal.bad-digests"]);
    }
    expect(code(blks, rgns, nods.subarray(8))).toBe("seal.bad-digests");
    expect(code(blks, rgns, Buffer.concat([nods, nods]))).toBe("seal.bad-digests");
    expect(code(new Uint8Array(5), rgns, nods)).toBe("seal.out-of-bounds");
  });
});
