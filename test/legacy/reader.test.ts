import { deflateSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { FixedramError } from "../../src/errors.ts";
import { countData, dataBytes, dataShares } from "../../src/pages/count.ts";
import { ExtentKind } from "../../src/pages/extents.ts";
import { build, bytesOf, describe_, PAGE, piece, preamble } from "../stream/helpers.ts";
import { contentOf, extentsOf, open, storeOf } from "./sample.ts";

const tail = build(piece.device(9, "cpu", bytesOf(1, 2, 3)), piece.eof, piece.vmdesc(describe_(["cpu", 3])));
const whole = (...parts: Uint8Array[]) => build(preamble, piece.ramStart({ ram: 16, rom: 2 }), ...parts, tail);
const xbzrle = (page: number, ...data: number[]) =>
  build(piece.word(page * PAGE, 0x60), (b) => b.u8(1).u16(data.length), bytesOf(...data));
const packed = (page: number, data: Uint8Array) =>
  build(piece.word(page * PAGE, 0x120), (b) => b.u32(data.length), data);
const compressed = (page: number, fill: number) => packed(page, deflateSync(new Uint8Array(PAGE).fill(fill)));

async function errorOf(work: Promise<unknown>): Promise<FixedramError> {
  return work.then(
    () => {
      throw new Error("nothing was thrown");
    },
    (error: FixedramError) => error,
  );
}

describe("openLegacy", () => {
  it("finds each page's last content: a later PAGE wins, ZERO makes it zero", async () => {
    const bytes = whole(
      piece.part(2, piece.page(3, 0x11, "ram"), piece.page(4, 0x22), piece.zero(5), piece.page(1, 0x33, "rom")),
      piece.part(2, piece.page(3, 0x44, "ram"), piece.zero(4), piece.page(5, 0x55)),
      piece.end(2, piece.zero(5)),
    );
    const { stream, scratches } = await open(bytes);
    const contents = await Promise.all([2, 3, 4, 5].map((page) => contentOf(stream.map, 0, page)));
    expect(contents.map((page) => page?.[4095])).toEqual([0, 0x44, 0, 0]);
    expect((await contentOf(stream.map, 1, 1))?.[0]).toBe(0x33);
    expect(stream.counts).toEqual({ data: 5, zero: 3, xbzrle: 0, zlib: 0, rounds: 3 });
    expect(scratches).toHaveLength(0);
    expect(stream.indexable).toBe(true);
    expect(stream.streamEnd).toBe(bytes.length);
    expect(stream.records.map((record) => record.kind)).toEqual([
      "header",
      "configuration",
      "ram-start",
      "ram-eos",
      "footer",
      "ram-end",
      "ram-eos",
      "footer",
      "device",
      "footer",
      "eof",
      "vmdesc",
    ]);
    expect(stream.devices.map(({ name }) => name)).toEqual(["cpu"]);
  });

  it("gives each page of the stream an extent of its own, and runs of zero pages one", async () => {
    const { stream } = await open(whole(piece.part(2, piece.page(3, 1, "ram"), piece.page(4, 2), piece.page(5, 3))));
    const extents = extentsOf(stream.map, 0);
    expect(extents.map(([kind, first, pages]) => [kind, first, pages])).toEqual([
      [ExtentKind.zero, 0, 3],
      [ExtentKind.data, 3, 1],
      [ExtentKind.data, 4, 1],
      [ExtentKind.data, 5, 1],
      [ExtentKind.zero, 6, 10],
    ]);
    expect(extentsOf(stream.map, 0, 1)).toEqual(extents);
    expect((extents[2]?.[4] ?? 0) - (extents[1]?.[4] ?? 0)).toBe(PAGE + 8);
    expect(() => stream.map.extents(0, 10, 7, { push: () => true } as never)).toThrow(RangeError);
    expect(() => stream.map.extents(2, 0, 1, { push: () => true } as never)).toThrow(RangeError);
  });

  it("puts XBZRLE on what the page held: data, zeros after ZERO, and what was decoded before", async () => {
    const bytes = whole(
      piece.part(2, piece.page(0, 0xaa, "ram"), piece.page(1, 0xbb), piece.zero(1), xbzrle(0, 2, 2, 1, 2)),
      piece.part(2, xbzrle(1, 0, 1, 9), xbzrle(0, 3, 1, 7), xbzrle(7, 1, 1, 5), xbzrle(7, 0, 1, 6)),
    );
    for (const sync of [true, false]) {
      const { stream, scratches } = await open(storeOf(bytes, sync));
      expect(Array.from((await contentOf(stream.map, 0, 0))?.subarray(0, 6) ?? [])).toEqual([
        0xaa, 0xaa, 1, 7, 0xaa, 0xaa,
      ]);
      expect(Array.from((await contentOf(stream.map, 0, 1))?.subarray(0, 3) ?? [])).toEqual([9, 0, 0]);
      expect(Array.from((await contentOf(stream.map, 0, 7))?.subarray(0, 3) ?? [])).toEqual([6, 5, 0]);
      expect(stream.counts.xbzrle).toBe(5);
      expect(stream.indexable).toBe(false);
      expect(scratches).toHaveLength(1);
      // Side by side in the overlay: one extent.
      expect(extentsOf(stream.map, 0)[0]?.slice(0, 4)).toEqual([ExtentKind.data, 0, 2, 1]);
    }
  });

  it("drops what waits to be decoded when PAGE, ZERO or a compressed page of it follows in the same chunk", async () => {
    const { stream } = await open(
      whole(
        piece.part(2, piece.page(0, 1, "ram"), xbzrle(0, 0, 1, 9), piece.page(0, 2)),
        piece.part(2, xbzrle(1, 0, 1, 9), piece.zero(1), xbzrle(2, 0, 1, 9), compressed(2, 8), xbzrle(2, 1, 1, 4)),
      ),
    );
    expect((await contentOf(stream.map, 0, 0))?.[0]).toBe(2);
    expect((await contentOf(stream.map, 0, 1))?.[0]).toBe(0);
    expect(Array.from((await contentOf(stream.map, 0, 2))?.subarray(0, 3) ?? [])).toEqual([8, 4, 8]);
  });

  it("uses the overlay's place again when a page goes back to the stream", async () => {
    // Each round is longer than a chunk, so that every one of them is decoded.
    const filler = Array.from({ length: 257 }, (_, i) => piece.page(8 + (i % 8), i % 256));
    const rounds = Array.from({ length: 4 }, (_, i) =>
      piece.part(2, piece.page(0, i, "ram"), ...filler, xbzrle(i % 2, 0, 1, 7), ...filler),
    );
    const { stream, scratches } = await open(whole(...rounds));
    expect(scratches[0]?.size).toBeLessThanOrEqual(2 * PAGE);
    expect(Array.from((await contentOf(stream.map, 0, 1))?.subarray(0, 2) ?? [])).toEqual([7, 0]);
  });

  it("unpacks compressed pages", async () => {
    const { stream } = await open(whole(piece.part(2, piece.page(0, 1, "ram"), compressed(1, 0x5a))));
    expect(await contentOf(stream.map, 0, 1)).toEqual(new Uint8Array(PAGE).fill(0x5a));
    expect(stream.counts.zlib).toBe(1);
  });

  it("keeps the page size that the configuration names, in the overlay too", async () => {
    const big = 8192;
    const bits = piece.subsection(
      "configuration/target-page-bits",
      build((b) => b.u32(13)),
    );
    const page = (n: number, fill: number) =>
      build(
        piece.word(n * big, n === 0 ? 0x08 : 0x28),
        n === 0 ? piece.name("ram") : bytesOf(),
        new Uint8Array(big).fill(fill),
      );
    const delta = (n: number, value: number) =>
      build(piece.word(n * big, 0x60), (b) => b.u8(1).u16(3), bytesOf(0, 1, value));
    const bytes = build(
      piece.header,
      piece.configuration("virt", bits),
      piece.ramStart({ ram: 16 }),
      piece.part(2, page(0, 1), page(1, 2), delta(0, 8), delta(1, 9)),
      piece.device(9, "cpu", bytesOf(1)),
      piece.eof,
      piece.vmdesc({ ...(describe_(["cpu", 1]) as object), page_size: big }),
    );
    const { stream } = await open(bytes);
    expect(stream.map.blocks[0]).toMatchObject({ pageSize: big, pages: 8 });
    expect((await contentOf(stream.map, 0, 0))?.[0]).toBe(8);
    expect((await contentOf(stream.map, 0, 1))?.subarray(0, 2)).toEqual(bytesOf(9, 2));
    expect((await contentOf(stream.map, 0, 1))?.[big - 1]).toBe(2);
  });

  it("says absent of what x-ignore-shared left out, and nothing else", async () => {
    const entry = (name: string, pages: number) => build(piece.name(name), (b) => b.u64(pages * PAGE).u64(0));
    const bytes = build(
      piece.header,
      piece.configuration("pc", piece.capabilities("x-ignore-shared")),
      piece.section(1, 2, "ram", 4),
      (b) => b.u64(5 * PAGE + 4),
      entry("shared", 2),
      entry("own", 3),
      piece.eos,
      piece.footer(2),
      piece.part(2, piece.zero(0, "own")),
      tail,
    );
    const { stream } = await open(bytes);
    expect(extentsOf(stream.map, 0)).toEqual([[ExtentKind.absent, 0, 2, 0, 0]]);
    expect(extentsOf(stream.map, 1)).toEqual([[ExtentKind.zero, 0, 3, 0, 0]]);
  });

  it("reads a stream behind something else, one without END and vmdesc, and early device state", async () => {
    const early = piece.device(7, "mem-early", bytesOf(4, 4));
    const bytes = build(
      preamble,
      piece.ramStart(),
      early,
      piece.part(2, piece.page(0, 9, "ram")),
      piece.device(9, "cpu", bytesOf(1, 2)),
      piece.eof,
    );
    const { stream } = await open(build(new Uint8Array(1000), bytes, bytesOf(1, 2, 3)), {
      base: 1000,
      limit: 1000 + bytes.length,
    });
    expect([stream.streamBase, stream.streamEnd]).toEqual([1000, 1000 + bytes.length]);
    expect((await contentOf(stream.map, 0, 0))?.[9]).toBe(9);
    expect(stream.devices).toMatchObject([{ name: "mem-early", early: true }]);
    expect(stream.records.map(({ kind }) => kind).slice(-2)).toEqual(["device-state-uncut", "eof"]);
    expect(stream.vmdesc).toBeNull();
  });

  it("finds pages that lie across the pieces it reads", async () => {
    const pages = Array.from({ length: 600 }, (_, i) => piece.page(i % 16, i % 251));
    const { stream } = await open(whole(piece.part(2, piece.page(0, 0, "ram"), ...pages)));
    for (let page = 0; page < 16; page++) {
      const last = page < 8 ? 592 + page : 576 + page;
      const content = (await contentOf(stream.map, 0, page)) ?? new Uint8Array(0);
      expect(Buffer.compare(content, new Uint8Array(PAGE).fill(last % 251))).toBe(0);
    }
  });

  it("counts data, in bytes and in shares", async () => {
    const { stream } = await open(
      whole(piece.part(2, piece.page(0, 1, "ram"), piece.page(1, 1), piece.page(5, 1), piece.page(15, 1))),
    );
    expect(await countData(stream.map, 0, 0, 16)).toBe(4);
    expect(await countData(stream.map, 0, 1, 5)).toBe(2);
    expect(await dataBytes(stream.map)).toBe(4 * PAGE);
    expect(await dataShares(stream.map, 0, 16, 6)).toEqual([0.5, 0, 0.25]);
  });
});

describe("openLegacy refuses", () => {
  const cases: [what: string, bytes: Uint8Array, code: string, options?: object][] = [
    ["a stream that is cut", whole(piece.part(2, piece.page(0, 1, "ram"))).subarray(0, 900), "stream.cut"],
    [
      "a mapped-ram stream",
      build(
        piece.header,
        piece.configuration("pc", piece.capabilities("mapped-ram")),
        piece.section(1, 2, "ram", 4),
        (b) => b.u64(4),
        piece.eos,
        piece.footer(2),
        tail,
      ),
      "file.mapped-ram",
    ],
    ["a stream without memory", build(preamble, tail), "file.no-ram"],
    ["postcopy that has begun", whole(piece.command(4)), "file.postcopy"],
    ["postcopy's package", whole(piece.command(7, bytesOf(0, 0, 0, 1)), bytesOf(0)), "file.postcopy"],
    [
      "another page size in the vmdesc",
      build(
        preamble,
        piece.ramStart(),
        piece.part(2),
        piece.device(9, "a", bytesOf(1)),
        piece.eof,
        piece.vmdesc({ ...(describe_(["a", 1]) as object), page_size: 8192 }),
      ),
      "file.page-size",
    ],
    ["XBZRLE that does not fit", whole(piece.part(2, piece.zero(3, "ram"), xbzrle(3, 1, 0))), "stream.xbzrle-data"],
    [
      "a page that does not unpack",
      whole(piece.part(2, piece.zero(3, "ram"), packed(3, bytesOf(1, 2)))),
      "stream.compressed-page",
    ],
    [
      "a page that unpacks to less",
      whole(piece.part(2, piece.zero(3, "ram"), packed(3, deflateSync(new Uint8Array(9))))),
      "stream.compressed-page",
    ],
    [
      "a page that unpacks to more",
      whole(piece.part(2, piece.zero(3, "ram"), packed(3, deflateSync(new Uint8Array(1e7))))),
      "stream.encoded-length",
    ],
    [
      "a bomb that is short enough",
      whole(piece.part(2, piece.zero(3, "ram"), packed(3, deflateSync(new Uint8Array(4e6))))),
      "stream.compressed-page",
    ],
    [
      "more pages than the limit",
      whole(piece.part(2, piece.page(3, 1, "ram"))),
      "file.too-large",
      { maxIndexBytes: 4095 },
    ],
    [
      "more unpacked pages than the limit",
      whole(piece.part(2, piece.zero(3, "ram"), compressed(3, 1), compressed(4, 1))),
      "file.too-large",
      { maxOverlayBytes: PAGE },
    ],
    [
      "more records than the limit",
      whole(...Array.from({ length: 20 }, () => piece.command(2, bytesOf(0, 0, 0, 0)))),
      "stream.too-many-records",
      { maxRecords: 20 },
    ],
  ];
  it.each(cases)("%s", async (_what, bytes, code, options) => {
    expect((await errorOf(open(bytes, options ?? {}))).code).toBe(code);
  });

  it("names block, page and place of a page that can't be decoded", async () => {
    const bytes = whole(piece.part(2, piece.zero(3, "ram"), xbzrle(3, 1, 0)));
    const { details } = await errorOf(open(bytes));
    expect(details).toMatchObject({ block: "ram", page: 3 });
    // Where its record begins: address and flags.
    expect(Array.from(bytes.subarray(details.offset, (details.offset ?? 0) + 8))).toEqual([
      0, 0, 0, 0, 0, 0, 0x30, 0x60,
    ]);
  });

  it("a file that shrinks while its pages are unpacked", async () => {
    const store = storeOf(whole(piece.part(2, piece.page(3, 1, "ram"), xbzrle(3, 0, 1, 9))));
    const shrunk: { -readonly [key in keyof typeof store]: (typeof store)[key] } = {
      ...store,
      size: store.size,
      read: store.read.bind(store),
      name: "s",
    };
    shrunk.readSync = (target, at) => (target.length === PAGE ? 100 : (store.readSync?.(target, at) ?? 0));
    expect((await errorOf(open(shrunk))).code).toBe("file.truncated");
  });

  it("keeps no scratch file open after a failure", async () => {
    let closed = 0;
    const scratch = () => ({
      name: "",
      size: 0,
      write() {},
      readSync: () => 0,
      read: async () => 0,
      close: async () => void closed++,
    });
    const bytes = whole(piece.part(2, piece.zero(3, "ram"), compressed(3, 1))).subarray(0, -5);
    expect((await errorOf(open(bytes, { scratch }))).code).toBe("stream.cut");
    expect(closed).toBe(1);
  });

  it("to go on when aborted", async () => {
    await expect(open(whole(), { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
  });
});

describe("any stream gives what a plain model gives", () => {
  type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
  const step = fc.oneof(
    fc.record({ kind: fc.constant("page" as const), page: fc.nat(15), fill: fc.integer({ min: 1, max: 255 }) }),
    fc.record({ kind: fc.constant("zero" as const), page: fc.nat(15), fill: fc.constant(0) }),
    fc.record({ kind: fc.constant("xbzrle" as const), page: fc.nat(15), fill: fc.nat(255) }),
    fc.record({ kind: fc.constant("zlib" as const), page: fc.nat(15), fill: fc.nat(255) }),
    fc.record({ kind: fc.constant("round" as const), page: fc.nat(15), fill: fc.nat(255) }),
  );

  it("PAGE, ZERO, XBZRLE and compressed pages over rounds, read in pieces of any size", async () => {
    const work = async (steps: readonly Step[], sync: boolean, pieceBytes: number) => {
      const model = Array.from({ length: 16 }, () => new Uint8Array(PAGE));
      const parts: Uint8Array[][] = [[piece.zero(0, "ram")]];
      for (const { kind, page, fill } of steps) {
        const content = model[page] ?? new Uint8Array(0);
        const records = parts.at(-1) ?? [];
        if (kind === "round") parts.push([]);
        else if (kind === "xbzrle") content.set([fill, fill], page + 1);
        else content.fill(fill);
        if (kind === "page") records.push(piece.page(page, fill));
        if (kind === "zero") records.push(piece.zero(page));
        if (kind === "zlib") records.push(compressed(page, fill));
        if (kind === "xbzrle") records.push(xbzrle(page, page + 1, 2, fill, fill));
      }
      const bytes = whole(...parts.map((records) => piece.part(2, ...records)));
      const { stream } = await open(storeOf(bytes, sync), { pieceBytes });
      const wrong: number[] = [];
      for (const [page, content] of model.entries()) {
        // toEqual takes milliseconds a page.
        if (Buffer.compare((await contentOf(stream.map, 0, page)) ?? content.subarray(1), content) !== 0)
          wrong.push(page);
      }
      expect(wrong).toEqual([]);
      expect(stream.streamEnd).toBe(bytes.length);
    };
    const pieces = fc.oneof(fc.integer({ min: 7, max: 9000 }), fc.constant(2 ** 20));
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 30 }), fc.boolean(), pieces, work), { numRuns: 60 });
  });
});
