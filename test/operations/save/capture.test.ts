import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Capture } from "../../../src/operations/save/capture.ts";
import type { CommandRecord, StreamRecord } from "../../../src/stream/records.ts";
import { MemoryFile, meta } from "../../fixedram/sample.ts";
import {
  contents,
  device,
  digest,
  encode,
  failure,
  model,
  open,
  pieces,
  RAM_ID,
  type Step,
  type Synthetic,
} from "../synthetic.ts";

const blocks = [
  ["pc.ram", 24],
  ["rom", 8],
] as const;

interface Captured {
  readonly capture: Capture;
  readonly file: MemoryFile;
  readonly phases: string[];
}

function capture(bytes: Uint8Array, sizes: readonly number[] = [bytes.length]): Captured {
  const file = new MemoryFile();
  const phases: string[] = [];
  const taken = new Capture(
    file,
    ({ name }) => name === "pc.ram",
    (phase) => phases.push(phase),
    () => {},
  );
  for (const chunk of pieces(bytes, sizes)) {
    taken.chunk(chunk);
    chunk.fill(0xee);
  }
  return { capture: taken, file, phases };
}

/** Capture, complete, open again. */
async function roundTrip(stream: Synthetic, sizes?: readonly number[]) {
  const result = capture(encode(stream), sizes);
  expect(result.capture.isWhole).toBe(true);
  result.capture.complete(meta);
  return { ...result, opened: await open(result.file) };
}

const page = (page: number, fill: number, block = 0): Step => ({ kind: "page", block, page, fill });
const zero = (page: number, count = 1, block = 0): Step => ({ kind: "zero", block, page, count });
const command = (number: number, data: readonly number[] = []): CommandRecord => ({
  kind: "command",
  command: number,
  data: Uint8Array.from(data),
  packaged: null,
});

describe("pages", () => {
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ kind: fc.constant("page" as const), block: fc.constant(0), page: fc.nat(23), fill: fc.nat(255) }),
    fc.record({ kind: fc.constant("page" as const), block: fc.constant(1), page: fc.nat(7), fill: fc.nat(255) }),
    fc.record({
      kind: fc.constant("zero" as const),
      block: fc.nat(1),
      page: fc.nat(4),
      count: fc.integer({ min: 1, max: 3 }),
    }),
    fc.record({
      kind: fc.constant("xbzrle" as const),
      block: fc.constant(0),
      page: fc.nat(23),
      at: fc.nat(4000),
      fill: fc.nat(255),
    }),
  );
  const rounds = fc.array(fc.array(step, { maxLength: 12 }), { minLength: 1, maxLength: 4 });

  test("any steps over any rounds, in any chunks, give what a plain model gives", () =>
    fc.assert(
      fc.asyncProperty(
        rounds,
        fc.array(fc.integer({ min: 1, max: 9000 }), { minLength: 1, maxLength: 5 }),
        fc.boolean(),
        async (steps, sizes, background) => {
          const stream = { blocks, rounds: steps, background };
          const { opened } = await roundTrip(stream, sizes);
          expect(contents(opened.map)).toEqual(model(stream));
          expect(opened.devices.map(({ name, payload }) => [name, [...payload]])).toEqual([["timer", [1, 2, 3, 4]]]);
        },
      ),
      { numRuns: 150 },
    ));

  test("byte by byte gives the same file as in one piece", async () => {
    const stream = {
      blocks,
      rounds: [
        [page(0, 1), zero(1, 3), page(2, 7, 1)],
        [page(0, 2), zero(2, 1, 1)],
      ],
    };
    const whole = (await roundTrip(stream)).file.bytes();
    expect(Buffer.compare((await roundTrip(stream, [1])).file.bytes(), whole)).toBe(0);
  });

  test("counts tell data, zero and rewritten pages", async () => {
    const { capture: taken } = await roundTrip({
      blocks,
      rounds: [
        [page(0, 1), page(1, 1)],
        [page(0, 2), zero(1)],
      ],
    });
    expect(taken.counts).toEqual({ total: 32, data: 1, zero: 31, rewritten: 1 });
    expect(taken.ramBytes).toBe(32 * 4096);
    expect(taken.pageBytes).toBe(4 * 4096);
    expect(taken.machine).toBe("pc-i440fx-7.2");
  });

  test("an XBZRLE page after ZERO applies to zeros, not to what lies in the file", async () => {
    const rounds: Step[][] = [[page(3, 9)], [zero(3)], [{ kind: "xbzrle", block: 0, page: 3, at: 200, fill: 5 }]];
    const { opened } = await roundTrip({ blocks, rounds });
    const wanted = new Uint8Array(4096).fill(5, 200, 205);
    expect(contents(opened.map)).toEqual({ "0:3": digest(wanted) });
  });

  test("a compressed page is refused: a save switches that off", async () => {
    const bytes = encode({ blocks, rounds: [[]] });
    const { capture: taken } = capture(bytes.subarray(0, bytes.length - 300).subarray(0, 80));
    const block = { index: 0, name: "pc.ram", length: 4096, pageSize: 4096, pages: 1 };
    const error = await failure(() => taken.encoded(block, 0, "zlib", new Uint8Array(3)));
    expect(error).toMatchObject({ code: "stream.compressed-page", details: { block: "pc.ram", page: 0 } });
  });
});

describe("records around the RAM section", () => {
  const bitmap: StreamRecord = {
    kind: "dirty-bitmap",
    part: "start",
    sectionId: 1,
    instance: 0,
    version: 1,
    payload: Uint8Array.of(0x1c, 3, 0x64, 0x30, 0x30, 2, 0x62, 0x30, 0, 1, 0, 0, 0, 1),
  };
  const early = { ...device("early", Uint8Array.of(9, 8, 7), 5), early: true };

  test("a dirty bitmap's START before the RAM section stands behind it in the file, byte for byte", async () => {
    const before = [bitmap, { kind: "footer", sectionId: 1 } as const];
    const { opened } = await roundTrip({ blocks, rounds: [[page(0, 1)]], before });
    expect(opened.records.map(({ kind }) => kind)).toEqual([
      ...["header", "configuration", "ram-start", "ram-eos", "footer", "dirty-bitmap", "footer"],
      ...["ram-end", "ram-eos", "footer", "device", "footer", "eof", "vmdesc"],
    ]);
    expect(opened.records.find(({ kind }) => kind === "dirty-bitmap")).toEqual(bitmap);
  });

  test("several of them keep their order, and those behind the RAM section too", async () => {
    const other = { ...bitmap, sectionId: 7 };
    const before = [
      bitmap,
      { kind: "footer", sectionId: 1 } as const,
      other,
      { kind: "footer", sectionId: 7 } as const,
    ];
    const end: StreamRecord = { ...bitmap, part: "end", payload: Uint8Array.of(1) };
    const between = [end, { kind: "footer", sectionId: 1 } as const];
    const { opened } = await roundTrip({ blocks, rounds: [[page(1, 1)], [page(0, 1)]], before, between }, [7]);
    const kept = opened.records.filter((record) => record.kind === "dirty-bitmap");
    expect(kept.map(({ sectionId, part }) => [sectionId, part])).toEqual([
      [1, "start"],
      [7, "start"],
      [1, "end"],
    ]);
    expect(Object.keys(contents(opened.map))).toEqual(["0:0", "0:1"]);
  });

  test("an early device before the RAM section is kept", async () => {
    const before = [
      bitmap,
      { kind: "footer", sectionId: 1 } as const,
      early,
      { kind: "footer", sectionId: 5 } as const,
    ];
    const { opened } = await roundTrip({ blocks, rounds: [[page(0, 1)]], before });
    expect(opened.devices.map(({ name, early: first }) => [name, first])).toEqual([
      ["early", true],
      ["timer", false],
    ]);
  });

  test("commands 1 to 3 go, command 11 stays, PING is reported", async () => {
    const before = [command(1), command(2, [0, 0, 1, 2]), command(3, Array(16).fill(0))];
    const bytes = encode({ blocks, rounds: [[page(0, 1)], []], before, between: [command(11)] });
    const file = new MemoryFile();
    const taken = new Capture(
      file,
      () => true,
      () => {},
      () => {},
    );
    const pings: number[] = [];
    taken.onPing = (value) => pings.push(value);
    taken.chunk(bytes);
    taken.complete(meta);
    const commands = (await open(file)).records.filter((record) => record.kind === "command");
    expect(commands.map((record) => record.command)).toEqual([11]);
    expect(pings).toEqual([258]);
  });

  test("a background stream, which has no END, gets one", async () => {
    const { opened } = await roundTrip({ blocks, rounds: [[page(0, 1)], [page(1, 2)]], background: true });
    expect(opened.records.filter(({ kind }) => kind === "ram-end")).toEqual([{ kind: "ram-end", sectionId: RAM_ID }]);
    expect(opened.records.filter(({ kind }) => kind === "ram-part")).toEqual([]);
  });
});

describe("the end", () => {
  const stream = { blocks, rounds: [[page(0, 1)]] };

  test("phases are told once: RAM, then device state before its end is in", () => {
    const bytes = encode(stream);
    const whole = capture(bytes, [100]);
    expect(whole.phases).toEqual(["ram", "device-state"]);
    expect(capture(bytes.subarray(0, bytes.length - 10), [100]).phases).toEqual(["ram", "device-state"]);
  });

  test("bytes behind the end are refused, in the same chunk or another, and the file is not completed", async () => {
    const bytes = Buffer.concat([encode(stream), Uint8Array.of(0)]);
    for (const sizes of [[bytes.length], [bytes.length - 1], [1000]]) {
      const file = new MemoryFile();
      const taken = new Capture(
        file,
        () => true,
        () => {},
        () => {},
      );
      const error = await failure(() => {
        for (const chunk of pieces(bytes, sizes)) taken.chunk(chunk);
      });
      expect(error).toMatchObject({ code: "stream.trailing-bytes", details: { offset: bytes.length - 1 } });
      expect((await failure(() => taken.complete(meta))).code).toBe("stream.trailing-bytes");
    }
  });

  test("a stream without a RAM section cannot be completed", async () => {
    const header = encode(stream).subarray(0, 8 + 5 + 13);
    const { capture: taken } = capture(
      Buffer.concat([header, Uint8Array.of(0, 6, 0, 0, 0, 14), new TextEncoder().encode('{"devices":[]}')]),
    );
    expect(taken.isWhole).toBe(true);
    expect(taken.counts).toEqual({ total: 0, data: 0, zero: 0, rewritten: 0 });
    expect((await failure(() => taken.complete(meta))).code).toBe("stream.no-ram");
  });

  test("without a vmdesc only a closed connection ends it; the device state is kept uncut", async () => {
    const { capture: taken, file } = capture(encode({ ...stream, vmdesc: "none" }), [3]);
    expect(taken.isWhole).toBe(false);
    expect(taken.whyNotWhole()).toBe(null);
    const again = capture(encode({ ...stream, vmdesc: "none" }));
    again.capture.end();
    expect(again.capture.isWhole).toBe(true);
    again.capture.complete(meta);
    const opened = await open(again.file);
    expect(opened.vmdesc).toBe(null);
    expect(opened.records.find((record) => record.kind === "device-state-uncut")).toBeDefined();
    expect(contents(opened.map)).toEqual(model(stream));
    expect(file.size).toBeGreaterThan(0);
  });

  test("cut among the device sections, end() is an error", async () => {
    const bytes = encode({ ...stream, vmdesc: "none" });
    const { capture: taken } = capture(bytes.subarray(0, bytes.length - 3));
    expect((await failure(() => taken.end())).code).toBe("stream.cut");
  });

  test("a vmdesc that disagrees is the reason why it is not whole", () => {
    const { capture: taken } = capture(encode({ ...stream, vmdesc: "wrong" }));
    expect(taken.isWhole).toBe(false);
    expect(taken.whyNotWhole()).toMatchObject({ code: "stream.device-state" });
  });
});
