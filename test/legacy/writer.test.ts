import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openFixedRam } from "../../src/fixedram/reader.ts";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { PageSender } from "../../src/legacy/page-sender.ts";
import { writeStream } from "../../src/legacy/writer.ts";
import { Capture } from "../../src/operations/save/capture.ts";
import type { RamBlock } from "../../src/pages/block.ts";
import { walk } from "../../src/pages/plan.ts";
import type { PageBatch } from "../../src/pages/sink.ts";
import type { Store } from "../../src/pages/store.ts";
import { StreamReader } from "../../src/stream/reader.ts";
import { batch, configuration, MemoryFile, meta, ramStart, tail } from "../fixedram/sample.ts";
import {
  contents,
  device,
  digests,
  encode,
  failure,
  model,
  open,
  type Step,
  type Synthetic,
} from "../operations/synthetic.ts";
import { PAGE, piece, preamble } from "../stream/helpers.ts";

type Blocks = readonly (readonly [name: string, pages: number])[];

/** A file with these pages: `present[block]` maps a page to its fill. */
async function fileWith(blocks: Blocks, present: readonly ReadonlyMap<number, number>[]) {
  const file = new MemoryFile();
  const writer = new FixedRamWriter(file, configuration(), ramStart(...blocks), { isMainRam: () => true });
  present.forEach((pages, i) => {
    const block = writer.blocks[i];
    if (block === undefined) throw new Error("no block");
    for (const [page, fill] of pages) writer.writePages(batch(block, [[page, fill]]));
  });
  writer.tail(tail());
  writer.complete(meta);
  return { file, opened: await openFixedRam(file, { allowEmpty: true }) };
}

/** What a destination takes from the sender's records: digests of its pages, and which were zeroed. */
function receive(blocks: Blocks, sent: Uint8Array) {
  const pages = new Map<string, Uint8Array>();
  const zeroed: string[] = [];
  const reader = new StreamReader({
    record: () => {},
    pages: ({ block, count, pages: which, offsets, chunk }: PageBatch) => {
      for (let k = 0; k < count; k++) {
        const at = offsets[k] ?? 0;
        const key = `${block.index}:${which[k]}`;
        expect(pages.has(key), `${key} twice`).toBe(false);
        pages.set(key, chunk.slice(at, at + PAGE));
      }
    },
    zeroPages: (block: RamBlock, first: number, count: number) => {
      for (let page = first; page < first + count; page++) zeroed.push(`${block.index}:${page}`);
    },
    encoded: () => {
      throw new Error("nothing is encoded");
    },
  });
  reader.push(Buffer.concat([preamble, piece.ramStart(Object.fromEntries(blocks)), Uint8Array.of(2, 0, 0, 0, 2)]));
  reader.push(sent);
  reader.push(Buffer.concat([piece.eos, piece.footer(2)]));
  return { pages: digests(pages), zeroed };
}

async function send(map: Parameters<typeof walk>[0], zeroWanted: (block: RamBlock) => boolean, store?: Store) {
  const parts: Buffer[] = [];
  const progress: number[] = [];
  const out = async (bytes: Uint8Array) => {
    await new Promise((resolve) => setImmediate(resolve));
    parts.push(Buffer.from(bytes));
  };
  const source = store === undefined ? map : { ...map, stores: [store], extents: map.extents.bind(map) };
  const sender = new PageSender(source, out, zeroWanted, (bytes) => progress.push(bytes));
  await walk(source, sender);
  await sender.flush();
  return { sent: Buffer.concat(parts), sender, progress };
}

describe("PageSender", () => {
  const pages = fc.uniqueArray(fc.tuple(fc.nat(39), fc.integer({ min: 1, max: 255 })), { selector: ([page]) => page });
  test("any page map arrives as it is, zeros only where they are wanted", () =>
    fc.assert(
      fc.asyncProperty(pages, pages, pages, async (a, b, c) => {
        const blocks: Blocks = [
          ["pc.ram", 40],
          ["vga\xff", 40],
          ["x", 40],
        ];
        const present = [a, b, c].map((each) => new Map(each));
        const { file, opened } = await fileWith(blocks, present);
        const { sent, sender } = await send(opened.map, ({ name }) => name !== "pc.ram");
        const got = receive(blocks, sent);
        expect(got.pages).toEqual(contents(opened.map));
        const zeros = present.flatMap((each, i) =>
          i === 0
            ? []
            : Array.from({ length: 40 }, (_, page) => page)
                .filter((page) => !each.has(page))
                .map((page) => `${i}:${page}`),
        );
        expect(got.zeroed).toEqual(zeros);
        expect([sender.pages, sender.zeroPages]).toEqual([a.length + b.length + c.length, zeros.length]);
        expect(file.size).toBeGreaterThan(0);
      }),
      { numRuns: 60 },
    ));

  test("runs longer than a write, and zero runs longer than one, with names of every length", async () => {
    const blocks: Blocks = [
      ["n".repeat(255), 700],
      ["b", 9000],
    ];
    const run = new Map(Array.from({ length: 600 }, (_, i) => [i + 3, (i % 255) + 1]));
    const { opened } = await fileWith(blocks, [run, new Map([[8999, 7]])]);
    const { sent, progress } = await send(opened.map, () => true);
    const got = receive(blocks, sent);
    expect(got.pages).toEqual(contents(opened.map));
    expect(got.zeroed).toHaveLength(700 - 600 + 8999);
    expect(progress.at(-1)).toBeGreaterThan(0);
  });

  test("a store without synchronous reads serves as well", async () => {
    const { file, opened } = await fileWith([["a", 300]], [new Map(Array.from({ length: 300 }, (_, i) => [i, 9]))]);
    const slow: Store = { name: "far", size: file.size, read: (...args) => file.read(...args), close: async () => {} };
    const { sent } = await send(opened.map, () => false, slow);
    expect(receive([["a", 300]], sent).pages).toEqual(contents(opened.map));
  });

  test.each(["readv", "read"])("a file that ends among its pages is file.truncated (%s)", async (way) => {
    const { file, opened } = await fileWith([["a", 300]], [new Map(Array.from({ length: 300 }, (_, i) => [i, 9]))]);
    const start = opened.blocks[0]?.pagesOffset ?? 0;
    file.size = start + 100 * PAGE + 17;
    const read: Store = { name: "cut", size: 0, read: (...args) => file.read(...args), close: async () => {} };
    const readv: Store = {
      ...read,
      readvSync: (views, position) => {
        let got = 0;
        for (const view of views) got += file.readSync(view, position + got);
        return got;
      },
    };
    const error = await failure(() => send(opened.map, () => false, way === "read" ? read : readv));
    expect(error).toMatchObject({ code: "file.truncated", details: { block: "a", page: 100, offset: file.size } });
  });

  test("what the connection throws comes out, and no rejection is left over", async () => {
    const { opened } = await fileWith([["a", 900]], [new Map(Array.from({ length: 900 }, (_, i) => [i, 9]))]);
    const broken = async () => {
      throw new Error("EPIPE");
    };
    const sender = new PageSender(
      opened.map,
      broken,
      () => false,
      () => {},
    );
    await expect(walk(opened.map, sender).then(() => sender.flush())).rejects.toThrow("EPIPE");
  });
});

describe("writeStream: a stream, captured, sent, and captured again", () => {
  const rounds: Step[][] = [
    [
      { kind: "page", block: 0, page: 3, fill: 1 },
      { kind: "page", block: 1, page: 0, fill: 2 },
    ],
    [{ kind: "zero", block: 1, page: 1, count: 2 }],
  ];
  const plain: Synthetic = {
    blocks: [
      ["pc.ram", 20],
      ["rom", 4],
    ],
    rounds,
  };
  const bitmap = {
    kind: "dirty-bitmap",
    part: "start",
    sectionId: 1,
    instance: 0,
    version: 1,
    payload: Uint8Array.of(0x1c, 3, 0x64, 0x30, 0x30, 2, 0x62, 0x30, 0, 1, 0, 0, 0, 1),
  } as const;

  test.each<[string, Synthetic]>([
    ["plain", plain],
    ["background", { ...plain, background: true }],
    [
      "a dirty bitmap and an early device before the RAM section",
      { ...plain, before: [bitmap, { kind: "footer", sectionId: 1 }] },
    ],
    [
      "switchover command, several devices",
      {
        ...plain,
        between: [{ kind: "command", command: 11, data: new Uint8Array(0), packaged: null }],
        devices: [device("a", new Uint8Array(70_000).fill(3), 8), device("b", Uint8Array.of(0x7e, 0, 0, 0, 8), 9)],
      },
    ],
    ["no vmdesc", { ...plain, background: true, vmdesc: "none" }],
  ])("%s", async (_name, stream) => {
    const first = captured(encode(stream), stream.vmdesc === "none");
    const opened = await open(first);
    const parts: Buffer[] = [];
    await writeStream(opened, async (bytes) => void parts.push(Buffer.from(bytes)), { zeroWanted: () => true });
    const sent = Buffer.concat(parts);
    expect(sent.includes("mapped-ram")).toBe(false);
    const again = captured(sent, stream.vmdesc === "none");
    const reopened = await open(again);
    expect(contents(reopened.map)).toEqual(model(stream));
    expect(reopened.devices).toEqual(opened.devices);
    expect(reopened.vmdesc).toEqual(opened.vmdesc);
    // The tail (dirty bitmaps, commands, device state) is the same byte for byte.
    expect(tailOf(again, reopened).equals(tailOf(first, opened))).toBe(true);
  });

  test("an aborted one stops", async () => {
    const opened = await open(captured(encode(plain), false));
    const abort = new AbortController();
    abort.abort(new Error("enough"));
    await expect(writeStream(opened, async () => {}, { zeroWanted: () => true, signal: abort.signal })).rejects.toThrow(
      "enough",
    );
  });

  function captured(bytes: Uint8Array, ends: boolean): MemoryFile {
    const file = new MemoryFile();
    const capture = new Capture(
      file,
      ({ name }) => name === "pc.ram",
      () => {},
      () => {},
    );
    capture.chunk(bytes);
    if (ends) capture.end();
    capture.complete(meta);
    return file;
  }

  function tailOf(file: MemoryFile, { tail: { offset, length } }: Awaited<ReturnType<typeof open>>): Buffer {
    const bytes = Buffer.alloc(length);
    file.readSync(bytes, offset);
    return bytes;
  }
});
