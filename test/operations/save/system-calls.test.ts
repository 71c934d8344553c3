/**
 * How often the data path calls the system: what makes a save fast and does not depend on the machine. docs/performance.md has the
 * times.
 */
import { describe, expect, test } from "vitest";
import { PageSender } from "../../../src/legacy/page-sender.ts";
import { Capture } from "../../../src/operations/save/capture.ts";
import { walk } from "../../../src/pages/plan.ts";
import { MemoryFile, meta } from "../../fixedram/sample.ts";
import { encode, open, pieces, type Step } from "../synthetic.ts";

const MIB = 2 ** 20;
const PAGES = 16 * 256;

/** A stream of one block whose pages come in this order, in chunks of `size` bytes; the calls made for the pages alone. */
function captured(order: readonly number[], size: number, blockPages = PAGES) {
  const steps = order.map((page): Step => ({ kind: "page", block: 0, page, fill: 1 + (page % 255) }));
  const file = new MemoryFile();
  const capture = new Capture(
    file,
    () => true,
    () => {},
    () => {},
  );
  const bytes = encode({ blocks: [["pc.ram", blockPages]], rounds: [steps] });
  let chunks = 0;
  for (const chunk of pieces(bytes, [size])) {
    chunks++;
    capture.chunk(chunk);
  }
  const calls = file.writes;
  capture.complete(meta);
  return { file, chunks, calls };
}

const inOrder = Array.from({ length: PAGES }, (_, page) => page);

describe("writes of a save", () => {
  test.each([
    // A chunk makes one write for each 512 KiB in it, and one for the page that lies across its border.
    [1024, 3],
    [512, 2],
    [208, 2],
    [128, 2],
  ])("adjacent pages, chunks of %i KiB: at most %i writes a chunk", (kib, most) => {
    const { calls, chunks } = captured(inOrder, kib * 1024);
    expect(chunks).toBe(Math.ceil(((PAGES * 4104) / (kib * 1024)) * 1.0001));
    expect(calls).toBeLessThanOrEqual(chunks * most + 1);
    expect(calls).toBeGreaterThanOrEqual(chunks);
  });

  test("1 GiB in chunks of 1 MiB takes no more than 3080 writes", () => {
    const { calls } = captured(inOrder, MIB);
    expect(calls * 64).toBeLessThanOrEqual(3080 + 64);
  });

  test("scattered pages take one write each, whatever the chunks", () => {
    const scattered = Array.from({ length: 1024 }, (_, i) => i * 3);
    const { calls } = captured(scattered, 208 * 1024);
    expect(calls).toBe(1024);
  });

  test("what follows the pages is few writes, however many pages there are", () => {
    const { calls, file } = captured(inOrder, MIB);
    expect(file.writes - calls).toBeLessThanOrEqual(32);
  });
});

describe("reads and sends of a resume through a stream", () => {
  test("one read and one send for 256 adjacent pages", async () => {
    const { file } = captured(inOrder, MIB);
    const opened = await open(file);
    let reads = 0;
    const source = opened.map.stores[0];
    if (source === undefined) throw new Error("no store");
    const counting = {
      name: source.name,
      size: source.size,
      read: source.read.bind(source),
      close: () => source.close(),
      readvSync: (targets: readonly Uint8Array[], position: number) => {
        reads++;
        let at = position;
        for (const target of targets) at += source.readSync?.(target, at) ?? 0;
        return at - position;
      },
    };
    const map = {
      blocks: opened.map.blocks,
      stores: [counting],
      extents: opened.map.extents.bind(opened.map),
    };
    const sends: number[] = [];
    const sender = new PageSender(
      map,
      async (bytes) => {
        sends.push(bytes.length);
      },
      () => false,
      () => {},
    );
    await walk(map, sender);
    await sender.flush();
    // The first page of a block goes alone, with the block's name.
    expect(sends.length).toBe(1 + Math.ceil((PAGES - 1) / 256));
    expect(reads).toBe(sends.length);
    expect(Math.max(...sends)).toBe(256 * 4104);
  });
});
