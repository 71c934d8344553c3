import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FixedramError } from "../../src/errors.ts";
import { postcopyBlocks, SentPages } from "../../src/postcopy/blocks.ts";
import { discards } from "../../src/postcopy/framing.ts";
import { LatencyHistogram } from "../../src/postcopy/latency.ts";
import { Pace } from "../../src/postcopy/pace.ts";
import { Readahead } from "../../src/postcopy/readahead.ts";
import { ReturnPathReader } from "../../src/postcopy/return-path.ts";
import {
  decodeWorkingSet,
  encodeWorkingSet,
  type WorkingSet,
  WorkingSetRecorder,
} from "../../src/postcopy/working-set.ts";

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof FixedramError) return error.code;
    throw error;
  }
  return "";
}

const ram = (name: string, pages: number, index = 0) => ({ index, name, pages, pageSize: 4096, length: pages * 4096 });
const message = (type: number, ...data: readonly number[]) => [0, type, 0, data.length, ...data];
const named = [...Buffer.from("pc.ram", "latin1")];

describe("the return path", () => {
  const bits = Array.from({ length: 8 }, (_, i) => i * 3);
  const all = Uint8Array.from([
    ...message(2, 0, 0, 0, 7),
    ...message(3, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0x10, 0, 6, ...named),
    ...message(4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x10, 0),
    ...message(5, 6, ...named),
    ...[0, 0, 0, 0, 0, 0, 0, 8, ...bits, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef],
    ...message(7),
    ...message(6, 0, 0, 0, 1),
    ...message(1, 0, 0, 0, 0),
  ]);

  function read(pieces: readonly Uint8Array[]): unknown[] {
    const said: unknown[] = [];
    const reader = new ReturnPathReader(
      {
        shut: (value) => said.push(["shut", value]),
        pong: (value) => said.push(["pong", value]),
        request: (...request) => said.push(["request", ...request]),
        bitmap: (block, found) => said.push(["bitmap", block, [...found]]),
        resumeAck: (value) => said.push(["ack", value]),
      },
      () => 8,
    );
    for (const piece of pieces) reader.push(piece);
    return said;
  }

  test("is read whole, byte by byte, and in pieces of any size", () => {
    const expected = [
      ["pong", 7],
      ["request", "pc.ram", 4096, 4096],
      ["request", "pc.ram", 2 ** 32, 4096],
      ["bitmap", "pc.ram", bits],
      ["ack", 1],
      ["shut", 0],
    ];
    expect(read([all])).toEqual(expected);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 })), (sizes) => {
        const pieces: Uint8Array[] = [];
        let at = 0;
        for (const size of [...sizes, ...new Array<number>(all.length).fill(1)]) {
          pieces.push(all.slice(at, at + size));
          at += size;
        }
        expect(read(pieces)).toEqual(expected);
      }),
    );
  });

  test.each([
    ["a type that is not known", message(9)],
    ["a wrong length", message(1, 0)],
    ["a request for no block", message(4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0)],
    ["a request for nothing", message(3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, ...named)],
    ["a name longer than its message", message(3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 9, ...named)],
    ["a bitmap that is too large", [...message(5, 6, ...named), 0, 0, 0, 0, 0, 0, 0, 16]],
    [
      "a bitmap without its end",
      [...message(5, 6, ...named), 0, 0, 0, 0, 0, 0, 0, 8, ...new Array<number>(16).fill(0)],
    ],
  ])("%s is refused", (_what, bytes) => {
    expect(codeOf(() => read([Uint8Array.from(bytes)]))).toBe("qemu.return-path");
  });
});

describe("what was sent", () => {
  test("a page is taken once; another block is not known; a huge page must divide its block", () => {
    const sent = new SentPages(postcopyBlocks([ram("a", 10)], 4096));
    sent.take(0, 3, 2);
    expect(() => sent.take(0, 4, 1)).toThrow(RangeError);
    expect(codeOf(() => sent.named("b"))).toBe("qemu.return-path");
    expect(codeOf(() => postcopyBlocks([ram("a", 10)], 4096, new Map([["a", 16384]])))).toBe("qemu.page-size");
    expect(codeOf(() => postcopyBlocks([ram("a", 2 ** 18)], 4096, new Map([["a", 2 ** 30]])))).toBe("qemu.page-size");
  });

  test("what was not sent ahead is discarded, twelve ranges a command", () => {
    const sent = new SentPages(postcopyBlocks([ram("a", 64), ram("b", 1, 1)], 4096));
    for (let page = 1; page < 64; page += 2) sent.take(0, page, 1);
    const commands = [...discards(sent)];
    expect(commands.map(({ length }) => (length - 5 - 4) / 16)).toEqual([12, 12, 8, 1]);
    sent.take(1, 0, 1);
    for (let page = 0; page < 64; page += 2) sent.take(0, page, 1);
    expect(() => [...discards(sent)]).toThrow(RangeError);
  });
});

describe("windows", () => {
  test("a lone fault brings its aligned window, faults in a row ever more, 1 nothing", () => {
    const readahead = new Readahead(32);
    const windows = (pages: readonly number[]) =>
      pages.map((page) => {
        readahead.window(0, page, 10_000);
        return [readahead.first, readahead.end];
      });
    expect(windows([100, 5000, 128, 192, 9990])).toEqual([
      [96, 128],
      [4992, 5024],
      [128, 192],
      [192, 320],
      [9984, 10_000],
    ]);
    const alone = new Readahead(1);
    alone.window(0, 7, 10);
    expect([alone.first, alone.end]).toEqual([7, 8]);
  });
});

describe("the pace", () => {
  const options = { quiet: 10, hold: 250, share: 0.5, rate: null };

  test("waits for quiet, then goes; a guest that never quietens gets half the time", () => {
    const pace = new Pace(options, 0);
    expect(pace.wait(0)).toBe(10);
    expect(pace.wait(10)).toBe(0);
    expect(pace.settled(10)).toBe(0);
    const busy = new Pace(options, 0);
    for (let now = 0; now < 250; now++) {
      busy.fault(now);
      expect(busy.wait(now)).toBeGreaterThan(0);
    }
    expect(busy.settled(250)).toBeNull();
    busy.fault(260);
    expect(busy.wait(260)).toBe(0);
    busy.pushed(4096, 260, 264);
    busy.fault(264);
    expect(busy.wait(264)).toBe(4);
  });

  test("keeps a rate", () => {
    const pace = new Pace({ ...options, rate: 1000 }, 0);
    pace.pushed(500, 100, 100);
    expect(pace.wait(100)).toBeCloseTo(480);
    expect(pace.wait(590)).toBe(0);
  });
});

describe("latencies", () => {
  test("percentiles are within a step, and histograms of two servers add up", () => {
    const one = new LatencyHistogram();
    const two = new LatencyHistogram();
    for (let i = 1; i <= 1000; i++) (i % 2 === 0 ? one : two).add(i);
    one.merge(two.summary());
    const { count, p50, p99, max, sum } = one.summary();
    expect({ count, max, sum }).toEqual({ count: 1000, max: 1000, sum: 500_500 });
    expect(p50).toBeGreaterThan(480);
    expect(p50).toBeLessThan(560);
    expect(p99).toBeGreaterThan(980);
    expect(p99).toBeLessThanOrEqual(1000);
    expect(new LatencyHistogram().summary()).toMatchObject({ count: 0, p50: 0 });
  });
});

describe("a working set", () => {
  const blocks = [ram("pc.ram", 100), ram("vga", 4, 1)];
  const id = "a1".repeat(32);
  const set: WorkingSet = {
    snapshot: id,
    resumes: 2,
    blocks: blocks.map(({ name, pages }) => ({ name, pages })),
    runs: [
      [0, 5, 3],
      [1, 0, 1],
    ],
  };

  test("goes to text and back, and takes in what another resume touched, each page once and in order", () => {
    expect(decodeWorkingSet(encodeWorkingSet(set), id, blocks)).toMatchObject(set);
    const recorder = new WorkingSetRecorder(postcopyBlocks(blocks, 4096), 100);
    recorder.touch(0, 7, 2);
    recorder.touch(0, 5, 1);
    recorder.touch(1, 1, 1);
    expect(recorder.merged(set, id)).toMatchObject({
      resumes: 3,
      runs: [
        [0, 5, 3],
        [1, 0, 1],
        [0, 8, 1],
        [1, 1, 1],
      ],
    });
    const little = new WorkingSetRecorder(postcopyBlocks(blocks, 4096), 2);
    little.touch(0, 0, 50);
    expect(little.pages).toBe(2);
  });

  test.each([
    ["no JSON", "{", "file.working-set"],
    ["something else", "{}", "file.working-set"],
    ["pages that are not there", encodeWorkingSet({ ...set, runs: [[0, 99, 2]] }), "file.working-set"],
    [
      "pages without end",
      encodeWorkingSet({ ...set, runs: Array.from({ length: 9 }, () => [0, 0, 100] as const) }),
      "file.working-set",
    ],
    ["a list without end", `{"runs":[${"[],".repeat(2.2e6)}[]]}`, "file.working-set"],
    ["another snapshot", encodeWorkingSet({ ...set, snapshot: "b2".repeat(32) }), "file.other-working-set"],
    ["other blocks", encodeWorkingSet({ ...set, blocks: [{ name: "pc.ram", pages: 99 }] }), "file.other-working-set"],
  ])("%s is refused", (_what, text, code) => {
    expect(codeOf(() => decodeWorkingSet(text, id, blocks))).toBe(code);
  });
});
