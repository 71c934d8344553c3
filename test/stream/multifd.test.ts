import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RamBlock } from "../../src/pages/block.ts";
import {
  encodeGreeting,
  encodePacketHeader,
  GREETING_SIZE,
  type Packet,
  packetHeaderSize,
  packetPages,
  readGreeting,
} from "../../src/stream/multifd-packet.ts";
import { type MultifdEvents, MultifdReader } from "../../src/stream/multifd-reader.ts";
import { pieces } from "../operations/synthetic.ts";

const PAGE = 4096;
const blocks: readonly RamBlock[] = [
  ["pc.ram", 600],
  ["rom", 3],
].map(([name, pages], index) => ({
  index,
  name: String(name),
  length: Number(pages) * PAGE,
  pageSize: PAGE,
  pages: Number(pages),
}));

/** A packet and the byte each of its pages is filled with. */
interface Filled extends Packet {
  readonly fills: readonly number[];
}

function bytesOf(packet: Filled): Uint8Array {
  const header = new Uint8Array(packetHeaderSize(PAGE)).fill(0xaa);
  encodePacketHeader(header, packet, PAGE);
  return Buffer.concat([header, ...packet.fills.map((fill) => new Uint8Array(PAGE).fill(fill))]);
}

const greeting = encodeGreeting({ channel: 1, uuid: new Uint8Array(16).fill(7) });

/** What a reader says of a channel, an entry each: a page is `block:page=fill`, a zero page `block:page=zero`. */
function read(bytes: Uint8Array, sizes: readonly number[] = [bytes.length]): { said: string[]; reader: MultifdReader } {
  const said: string[] = [];
  const events: MultifdEvents = {
    greeting: ({ channel }) => said.push(`channel ${channel}`),
    pages: ({ block, count, pages, offsets, chunk }) => {
      for (let i = 0; i < count; i++) {
        const content = chunk.subarray(offsets[i] ?? 0, (offsets[i] ?? 0) + PAGE);
        const [fill = -1] = content;
        said.push(`${block.name}:${pages[i]}=${content.every((byte) => byte === fill) ? fill : "torn"}`);
      }
    },
    zeroPages: (block, first, count) => {
      for (let page = first; page < first + count; page++) said.push(`${block.name}:${page}=zero`);
    },
    sync: () => said.push("sync"),
  };
  const reader = new MultifdReader(new Uint8Array(MultifdReader.bufferBytes(PAGE)), blocks, events);
  for (const chunk of pieces(bytes, sizes)) reader.push(chunk);
  return { said, reader };
}

function expected(packets: readonly Filled[]): string[] {
  return packets.flatMap(({ block, pages, zeroPages, fills, sync }) => [
    ...Array.from(pages, (page, i) => `${block}:${page}=${fills[i]}`),
    ...Array.from(zeroPages, (page) => `${block}:${page}=zero`),
    ...(sync ? ["sync"] : []),
  ]);
}

const packet: fc.Arbitrary<Filled> = fc
  .record({
    block: fc.nat(1),
    pages: fc.array(fc.nat(2), { maxLength: 6 }),
    far: fc.array(fc.nat(599), { maxLength: 122 }),
    zeroPages: fc.array(fc.nat(2), { maxLength: 6 }),
    sync: fc.boolean(),
    number: fc.nat(),
    fill: fc.nat(255),
  })
  .map(({ block, pages, far, fill, ...rest }) => {
    const all = block === 0 ? [...pages, ...far].slice(0, 120) : pages;
    return { ...rest, block: blocks[block]?.name ?? "", pages: all, fills: all.map((_, i) => (fill + i) % 256) };
  });

describe("any packets", () => {
  test("in any chunks come out as they went in, in order", () =>
    fc.assert(
      fc.property(
        fc.array(packet, { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 700_000 }), { minLength: 1, maxLength: 4 }),
        (packets, sizes) => {
          const bytes = Buffer.concat([greeting, ...packets.map(bytesOf)]);
          const { said, reader } = read(bytes, sizes);
          expect(said).toEqual(["channel 1", ...expected(packets)]);
          expect([reader.received, reader.inside]).toEqual([bytes.length, false]);
          reader.closed();
        },
      ),
      { numRuns: 200 },
    ));

  test("byte by byte", () => {
    const one: Filled = { number: 1, sync: true, block: "rom", pages: [2, 0], zeroPages: [1], fills: [9, 8] };
    const { said } = read(Buffer.concat([greeting, bytesOf(one), bytesOf({ ...one, number: 2 })]), [1]);
    expect(said).toEqual(["channel 1", ...expected([one, one])]);
  });

  test("a full packet's pages lie at a multiple of 4 KiB, where the header's read put them", () => {
    const pages = Array.from({ length: packetPages(PAGE) }, (_, page) => page);
    const full: Filled = {
      number: 1,
      sync: false,
      block: "pc.ram",
      pages,
      zeroPages: [],
      fills: pages.map((p) => p % 256),
    };
    const buffer = new Uint8Array(MultifdReader.bufferBytes(PAGE));
    const seen: number[] = [];
    const nothing = () => {};
    const reader = new MultifdReader(buffer, blocks, {
      greeting: nothing,
      zeroPages: nothing,
      sync: nothing,
      pages: ({ offsets, count }) => seen.push(...offsets.subarray(0, count)),
    });
    const bytes = Buffer.concat([bytesOf(full), bytesOf(full)]);
    expect(reader.room).toBe(GREETING_SIZE);
    reader.push(greeting);
    for (let at = 0; at < bytes.length; ) {
      // As a socket does: as much as there is room for.
      const count = Math.min(reader.room, 200 * 1024, bytes.length - at);
      buffer.set(bytes.subarray(at, at + count), reader.end);
      reader.took(count);
      at += count;
    }
    expect(seen).toHaveLength(256);
    expect(seen.filter((offset, i) => offset !== 4096 * (1 + (i % 128)))).toEqual([]);
  });
});

describe("what is no multifd channel", () => {
  const good: Filled = { number: 1, sync: false, block: "rom", pages: [0], zeroPages: [1], fills: [5] };

  /** A packet with one u32 of its header replaced. */
  function broken(at: number, value: number, from: Filled = good): () => unknown {
    const bytes = Buffer.from(bytesOf(from));
    bytes.writeUInt32BE(value, at);
    return () => read(Buffer.concat([greeting, bytes]));
  }

  test.each([
    ["another magic", broken(0, 0x11223345), "stream.multifd-packet"],
    ["another version", broken(4, 2), "stream.multifd-packet"],
    ["zlib", broken(8, 2), "stream.multifd-flags"],
    ["zstd", broken(8, 4), "stream.multifd-flags"],
    ["qatzip and SYNC", broken(8, 33), "stream.multifd-flags"],
    ["device state", broken(8, 64), "stream.multifd-flags"],
    ["a flag nobody knows", broken(8, 2 ** 31), "stream.multifd-flags"],
    ["more pages than a packet holds", broken(16, 129), "stream.multifd-packet"],
    ["2^32 - 1 pages", broken(16, 2 ** 32 - 1), "stream.multifd-packet"],
    ["more zero pages than are left", broken(32, 128), "stream.multifd-packet"],
    ["a length that is not the pages'", broken(20, 4095), "stream.multifd-packet"],
    ["a page past the block's end", broken(324, 3 * PAGE), "stream.page-out-of-block"],
    ["a zero page past the block's end", broken(332, 3 * PAGE), "stream.page-out-of-block"],
    ["a page past 2^53", broken(320, 2 ** 31), "stream.page-out-of-block"],
    ["half a page's offset", broken(324, 100), "stream.page-out-of-block"],
    ["a block nobody named", broken(64, 0x78797a00), "stream.unknown-block"],
  ])("%s", (_name, run, code) => expect(run).toThrowError(expect.objectContaining({ code })));

  test("packets without pages that come in one read are read where they lie: their bytes move once at most", () => {
    const empty: Filled = { number: 1, sync: false, block: "pc.ram", pages: [], zeroPages: [0, 1, 2, 9], fills: [] };
    const one = bytesOf(empty);
    const last = bytesOf({ ...empty, pages: [5], zeroPages: [6], fills: [1] });
    const bytes = Buffer.concat([...Array<Uint8Array>(200).fill(one), last]);
    const buffer = new Uint8Array(MultifdReader.bufferBytes(PAGE));
    let moved = 0;
    buffer.copyWithin = (target, start, end = buffer.length) => {
      moved += end - start;
      buffer.set(buffer.slice(start, end), target);
      return buffer;
    };
    let zeros = 0;
    const pages: number[] = [];
    const reader = new MultifdReader(buffer, blocks, {
      greeting: () => {},
      pages: (batch) => void pages.push(...batch.pages.subarray(0, batch.count)),
      zeroPages: (_block, _first, count) => {
        zeros += count;
      },
      sync: () => {},
    });
    reader.push(greeting);
    expect(reader.room).toBeGreaterThan(bytes.length);
    reader.push(bytes);
    expect([zeros, pages, moved]).toEqual([801, [5], last.length]);
  });

  test("errors tell where in the channel the packet begins", () => {
    const offset = GREETING_SIZE + bytesOf(good).length;
    const bytes = Buffer.concat([greeting, bytesOf(good), new Uint8Array(packetHeaderSize(PAGE))]);
    expect(() => read(bytes, [3000])).toThrowError(
      expect.objectContaining({ details: expect.objectContaining({ offset }) }),
    );
  });

  test("QEMU 7.2 leaves a stale length in a SYNC, and in a packet without pages", () => {
    expect(broken(20, 524288, { ...good, sync: true })).not.toThrow();
    expect(broken(20, 8192, { ...good, pages: [], fills: [] })).not.toThrow();
  });

  test("another greeting", () => {
    expect(() => read(new Uint8Array(GREETING_SIZE))).toThrowError(
      expect.objectContaining({ code: "stream.multifd-greeting" }),
    );
    expect(readGreeting(greeting)).toEqual({ channel: 1, uuid: new Uint8Array(16).fill(7) });
  });

  test("a channel that ends inside a packet, or its greeting", () => {
    const whole = Buffer.concat([greeting, bytesOf(good)]);
    for (const length of [1, GREETING_SIZE + 1, whole.length - 1]) {
      const { reader } = read(whole.subarray(0, length));
      expect(() => reader.closed()).toThrowError(expect.objectContaining({ code: "stream.multifd-cut" }));
    }
  });

  test("no byte that is changed makes it read past what it has", () =>
    fc.assert(
      fc.property(fc.nat(packetHeaderSize(PAGE) - 1), fc.nat(255), (at, value) => {
        const bytes = Buffer.from(bytesOf(good));
        bytes[at] = value;
        try {
          read(Buffer.concat([greeting, bytes]));
        } catch (error) {
          expect((error as { code?: string }).code).toMatch(/^stream\./);
        }
      }),
      { numRuns: 500 },
    ));
});
