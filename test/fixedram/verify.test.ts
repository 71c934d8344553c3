import { beforeAll, describe, expect, it } from "vitest";
import { FixedramError } from "../../src/errors.ts";
import { type Digests, encodeDigests, nodesOf, type SealedBlock } from "../../src/fixedram/digest-sections.ts";
import { rootOf } from "../../src/fixedram/nodes.ts";
import { encodeSeal, readDigests, readSealAlone, sealGaps } from "../../src/fixedram/seal.ts";
import { checkSealed, type SealCheck } from "../../src/fixedram/verify.ts";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { batch, configuration, MemoryFile, meta, pageSize, ramStart, tail } from "./sample.ts";

let file: MemoryFile;
let writer: FixedRamWriter;

/** Pages of "main" that are present; each has its own content. */
const present = [0, 1, 2, 3, 70, 509, 510, 511, 512, 513, 1100, 2999];

beforeAll(async () => {
  file = new MemoryFile();
  writer = new FixedRamWriter(file, configuration(), ramStart(["main", 3000], ["rom", 9]), {
    isMainRam: ({ name }) => name === "main",
  });
  const [main, rom] = writer.blocks;
  if (main === undefined || rom === undefined) throw new Error("no block");
  present.forEach((page, i) => {
    writer.writePages(batch(main, [[page, i + 1]]));
  });
  writer.zeroPages(rom, 0, 9);
  writer.writePages(batch(rom, [[4, 200]]));
  writer.tail(tail());
  await writer.finish(meta);
});

async function check(deep = true): Promise<SealCheck> {
  const seal = await readSealAlone(file);
  if (seal === null) throw new Error("no seal");
  return checkSealed(file, seal, { deep });
}

/** Runs `work` on the file with these bytes changed, then puts them back. */
async function with_<T>(position: number, bytes: Uint8Array | number[], work: () => Promise<T>): Promise<T> {
  const before = new Uint8Array(bytes.length);
  file.readSync(before, position);
  file.write(Uint8Array.from(bytes), position);
  try {
    return await work();
  } finally {
    file.write(before, position);
  }
}

const place = (block: number) => {
  const found = writer.layout.blocks[block];
  if (found === undefined) throw new Error("no block");
  return found;
};
const pageAt = (block: number, page: number) => place(block).pagesOffset + page * pageSize;
const brief = ({ problems }: SealCheck) =>
  problems.list.map(({ code, block, page, pages }) => [code, block, page, pages]);
const byteAt = (position: number) => {
  const byte = new Uint8Array(1);
  file.readSync(byte, position);
  return byte[0] ?? 0;
};

describe("checkSealed", () => {
  it("finds nothing in a file as it was sealed, and accounts for every byte", async () => {
    for (const deep of [false, true]) {
      const result = await check(deep);
      expect(result.problems.list).toEqual([]);
      expect(result.state).toBe("sealed");
      const { coverage } = result;
      if (coverage === null) throw new Error("no coverage");
      expect(coverage.pages).toBe((present.length + 9) * pageSize);
      expect(coverage.tables).toBe((present.length + 9) * 8);
      expect(coverage.regions).toBeGreaterThan(384);
      expect(Object.values(coverage).reduce((sum, bytes) => sum + bytes, 0)).toBe(file.size);
      expect(result.unchecked).toHaveLength(deep ? 0 : 1);
    }
  });

  it("finds each byte that is no page when it is flipped, all but those that are documented as uncovered", async () => {
    // Everything up to 16 KiB past the first table, and from the second block's entry on.
    const table = [0, 1].map((block) => ({
      start: place(block).tableOffset,
      end: place(block).tableOffset + place(block).block.pages * 8,
    }));
    const places: number[] = [];
    for (let at = 0; at < place(0).bitmapOffset + place(0).bitmapLength; at++) places.push(at);
    for (let at = place(1).entryOffset; at < place(1).bitmapOffset + place(1).bitmapLength; at++) places.push(at);
    for (let at = writer.layout.tailOffset; at < writer.streamEnd; at++) places.push(at);
    for (const page of present) places.push((table[0]?.start ?? 0) + page * 8 + (page % 8));
    for (let page = 0; page < 9; page++) places.push((table[1]?.start ?? 0) + page * 8 + (page % 8));
    for (let at = writer.streamEnd; at < file.size; at++) if (at % 61 === 0 || byteAt(at) !== 0) places.push(at);
    expect(places.length).toBeGreaterThan(2000);
    const inTable = (at: number) => table.some(({ start, end }) => at >= start && at < end);
    for (const at of places) {
      const found = await with_(at, [byteAt(at) ^ 0x41], async () => {
        try {
          const seal = await readSealAlone(file);
          return seal === null ? 1 : (await checkSealed(file, seal, { deep: inTable(at) })).problems.count;
        } catch (error) {
          if (error instanceof FixedramError && error.code.startsWith("seal.")) return 1;
          throw error;
        }
      });
      expect([at, found > 0]).toEqual([at, true]);
    }
  }, 60_000);

  it("names the page of any flipped byte of it", async () => {
    let state = 1;
    const random = (below: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const all = [
      ...present.map((page) => [0, page] as const),
      ...Array.from({ length: 9 }, (_, page) => [1, page] as const),
    ];
    // 10^4 in all, as many as there are pages at a time.
    for (let round = 0; round < 10_000 / all.length; round++) {
      const flipped = all.filter(() => random(2) === 0);
      const places = flipped.map(([block, page]) => pageAt(block, page) + random(pageSize));
      const before = places.map(byteAt);
      places.forEach((at, i) => {
        file.patch(at, [(before[i] ?? 0) ^ (1 << random(8))]);
      });
      const result = await check();
      places.forEach((at, i) => {
        file.patch(at, [before[i] ?? 0]);
      });
      const named = result.problems.list.flatMap(({ code, block, page = -1, pages = 0 }) =>
        Array.from({ length: pages }, (_, i) => [code, block, page + i]),
      );
      expect(named).toEqual(flipped.map(([block, page]) => ["seal.damaged-page", block === 0 ? "main" : "rom", page]));
      expect(result.state).toBe(flipped.length === 0 ? "sealed" : "damaged");
      const [first] = result.problems.list;
      if (first !== undefined) expect(first.offset).toBe(pageAt(first.block === "main" ? 0 : 1, first.page ?? 0));
    }
  }, 60_000);

  it("names pages that were swapped, and pages lost to a hole", async () => {
    const page = (index: number) => {
      const bytes = new Uint8Array(pageSize);
      file.readSync(bytes, pageAt(0, index));
      return bytes;
    };
    const [a, b] = [page(1), page(70)];
    const swapped = await with_(pageAt(0, 1), b, () => with_(pageAt(0, 70), a, () => check()));
    expect(brief(swapped)).toEqual([
      ["seal.damaged-page", "main", 1, 1],
      ["seal.damaged-page", "main", 70, 1],
    ]);
    const lost = await with_(pageAt(0, 509), new Uint8Array(5 * pageSize), () => check());
    // One run for each node.
    expect(brief(lost)).toEqual([["seal.damaged-page", "main", 509, 5]]);
    expect(lost.problems.list[0]?.message).toContain("only zeros");
  });

  it("names the page of a wrong bit, either way, and goes on to check the page", async () => {
    for (const page of [0, 1, 4, 71, 512, 514, 600, 1100, 1600, 2047, 2998, 2999]) {
      const at = place(0).bitmapOffset + Math.floor(page / 8);
      const result = await with_(at, [byteAt(at) ^ (1 << (page % 8))], () => check());
      expect(brief(result)).toEqual([
        ["seal.damaged-region", undefined, undefined, undefined],
        ["seal.damaged-bitmap", "main", page, 1],
      ]);
      expect(result.problems.list[1]?.message).toMatch(
        present.includes(page) ? /is zero which was there/ : /is there which was zero/,
      );
    }
    const both = await with_(pageAt(0, 2), [99], () =>
      with_(place(0).bitmapOffset, [byteAt(place(0).bitmapOffset) & ~4], () => check()),
    );
    expect(brief(both).slice(1)).toEqual([
      ["seal.damaged-bitmap", "main", 2, 1],
      ["seal.damaged-page", "main", 2, 1],
    ]);
  });

  it("says so where it cannot tell what is damaged", async () => {
    const cleared = await with_(place(0).bitmapOffset, [0], () => check());
    expect(brief(cleared).slice(1)).toEqual([["seal.damaged-node", "main", 0, 512]]);
  });

  it("tells a damaged digest from a damaged page", async () => {
    const at = place(0).tableOffset + 510 * 8 + 3;
    const result = await with_(at, [byteAt(at) ^ 1], () => check());
    expect(brief(result)).toEqual([["seal.damaged-table", "main", 510, 1]]);
    // Slots of pages that are not there do not count.
    expect((await with_(place(0).tableOffset + 5 * 8, [1, 2, 3], () => check())).problems.count).toBe(0);
    const two = await with_(at, [byteAt(at) ^ 1], () => with_(pageAt(0, 3), [255], () => check()));
    expect(brief(two)).toEqual([
      ["seal.damaged-page", "main", 3, 1],
      ["seal.damaged-page", "main", 510, 1],
    ]);
    expect(two.problems.list[0]?.message).toContain("or its digest");
  });

  it("quick: names the region, and reads no page", async () => {
    const damaged = async (at: number) => {
      const result = await with_(at, [byteAt(at) ^ 0x20], () => check(false));
      return result.problems.list.map(({ code, message }) => `${code} ${message.split(" ").slice(0, 3).join(" ")}`);
    };
    expect(await damaged(20)).toEqual(["seal.damaged-region the stream's header"]);
    expect(await damaged(place(1).entryOffset + 2)).toEqual(["seal.damaged-region the entry of"]);
    expect(await damaged(place(1).bitmapOffset)).toEqual(["seal.damaged-region the bitmap of"]);
    expect(await damaged(writer.streamEnd - 100)).toContain("seal.damaged-region the device state");
    expect(await damaged(pageAt(0, 1))).toEqual([]);
  });

  it("finds a seal that speaks of other places than the stream", async () => {
    const seal = await readSealAlone(file);
    if (seal === null) throw new Error("no seal");
    const stale = await with_(writer.layout.tailOffset, tail(false), () => check());
    expect(stale.state).toBe("stale");
    expect(brief(stale).map(([code]) => code)).toEqual(["seal.damaged-region", "seal.stale"]);
    const [gap] = sealGaps(seal, file.size, []);
    const padding = await with_(gap?.offset ?? 0, [1], () => check(false));
    expect(brief(padding).map(([code]) => code)).toEqual(["seal.damaged-padding"]);
    const without = { ...seal, sections: seal.sections.filter(({ type }) => type === "META") };
    const result = await checkSealed(file, without);
    expect([result.state, result.coverage, result.problems.count]).toEqual(["sealed", null, 0]);
    expect(result.unchecked[0]).toContain("no digests");
  });

  it("keeps a bounded list", async () => {
    const lots = new MemoryFile();
    const big = new FixedRamWriter(lots, configuration(), ramStart(["main", 3000]), { isMainRam: () => true });
    const [main] = big.blocks;
    if (main === undefined) throw new Error("no block");
    for (let page = 0; page < 3000; page++) big.writePages(batch(main, [[page, 7]]));
    big.tail(tail());
    await big.finish(meta);
    const seal = await readSealAlone(lots);
    if (seal === null) throw new Error("no seal");
    for (let page = 0; page < 3000; page += 2)
      lots.patch((big.layout.blocks[0]?.pagesOffset ?? 0) + page * pageSize, [1]);
    const { problems } = await checkSealed(lots, seal, { deep: true });
    expect([problems.list.length, problems.leftOut]).toEqual([1000, 500]);
  });
});

describe("a seal made to mislead", () => {
  /** The file, sealed anew with other digests, every check of the seal right. */
  async function resealed(change: (digests: Digests) => Digests, copy = new MemoryFile()): Promise<SealCheck> {
    copy.write(file.bytes(), 0);
    const seal = await readSealAlone(copy);
    const digests = seal === null ? null : await readDigests(copy, seal);
    if (seal === null || digests === null) throw new Error("no digests");
    const made = encodeSeal(seal.streamBase, seal.streamEnd, seal.meta, encodeDigests(change(digests)));
    copy.truncate(seal.streamEnd);
    copy.write(new Uint8Array(made.trailerOffset - seal.streamEnd), seal.streamEnd);
    for (const { bytes, position } of made.pieces) copy.write(bytes, position);
    copy.write(made.trailer, made.trailerOffset);
    const again = await readSealAlone(copy);
    if (again === null) throw new Error("no seal");
    return checkSealed(copy, again, { deep: true });
  }
  const firstBlock = (changed: Partial<SealedBlock>) => (digests: Digests) => ({
    ...digests,
    blocks: digests.blocks.map((block, i) => (i === 0 ? { ...block, ...changed } : block)),
  });

  it("is sound when nothing is changed", async () => {
    expect((await resealed((digests) => digests)).problems.list).toEqual([]);
  });

  it("is refused where its blocks, regions or tables are not the stream's", async () => {
    const { tableOffset, pagesOffset } = place(0);
    const changes: ((digests: Digests) => Digests)[] = [
      firstBlock({ pagesOffset: pagesOffset + 4096 }),
      firstBlock({ tableOffset: pagesOffset + 4096 }),
      firstBlock({ tableOffset: place(1).tableOffset }),
      firstBlock({ bitmapOffset: tableOffset }),
      firstBlock({ root: new Uint8Array(32) }),
      (digests) => ({ ...digests, regions: digests.regions.slice(1) }),
      (digests) => ({ ...digests, regions: [...digests.regions, ...digests.regions.slice(0, 1)] }),
      (digests) => ({ ...digests, blocks: digests.blocks.slice(0, 1), nodes: nodesOf(digests, 0), regions: [] }),
    ];
    for (const [i, change] of changes.entries()) {
      const { state, problems } = await resealed(change);
      expect([i, state]).toEqual([i, "damaged"]);
      expect([i, problems.list.map(({ code }) => code)]).toEqual([i, expect.arrayContaining(["seal.bad-digests"])]);
    }
  });

  it("is refused where regions overlap, before any of them is read", async () => {
    const counts = { bytes: 0 };
    class Counted extends MemoryFile {
      override async read(target: Uint8Array, position: number): Promise<number> {
        counts.bytes += target.length;
        return this.readSync(target, position);
      }
    }
    await resealed((digests) => digests, new Counted());
    const sound = counts.bytes;
    counts.bytes = 0;
    const { state, problems, unchecked } = await resealed((digests) => {
      const [region] = digests.regions;
      if (region === undefined) throw new Error("no region");
      const whole = { ...region, offset: 0, length: 2 ** 20 };
      return { ...digests, regions: [...digests.regions, ...Array.from({ length: 500 }, () => whole)] };
    }, new Counted());
    expect([state, problems.list.map(({ code }) => code)]).toEqual(["damaged", ["seal.bad-digests"]]);
    expect(unchecked).toEqual(["Nothing but the seal was read."]);
    expect(counts.bytes).toBeLessThan(sound);
  });

  it("names pages where nodes are missing, added, or of another block", async () => {
    const without = await resealed((digests) => ({
      ...firstBlock({ nodes: 3, root: rootOf(nodesOf(digests, 0).subarray(40)) })(digests),
      nodes: digests.nodes.subarray(40),
    }));
    expect(without.problems.list.map(({ code }) => code)).toContain("seal.damaged-bitmap");
    expect((await resealed(digestsWithSwappedNodes)).problems.count).toBeGreaterThan(0);
  });
});

/** The first two nodes' digests in each other's place. */
function digestsWithSwappedNodes(digests: Digests): Digests {
  const nodes = digests.nodes.slice();
  nodes.set(digests.nodes.subarray(48, 80), 8);
  nodes.set(digests.nodes.subarray(8, 40), 48);
  const blocks = digests.blocks.map((block, i) =>
    i === 0 ? { ...block, root: rootOf(nodes.subarray(0, block.nodes * 40)) } : block,
  );
  return { ...digests, blocks, nodes };
}
