import { expect, test } from "vitest";
import { StreamReader } from "../../src/stream/reader.ts";
import {
  build,
  bytesOf,
  describe_,
  errorOf,
  piece,
  preamble,
  Recorder,
  read,
  readingError,
  rewrite,
} from "./helpers.ts";

const ram = build(preamble, piece.ramStart(), piece.part(2), piece.end(2));
const cutsList: readonly number[][] = [[1 << 20], [1], [2, 3], [17]];

function devicesOf(stream: Uint8Array, options = {}): [string, number, boolean][] {
  const all = cutsList.map((cuts) => read(stream, cuts, options).recorder);
  for (const one of all) expect(one.events).toEqual(all[0]?.events);
  expect(rewrite(stream, [5], options)).toEqual(stream);
  const records = all[0]?.records ?? [];
  return records.flatMap((r) =>
    r.kind === "device" ? [[r.name, r.payload.length, r.early] as [string, number, boolean]] : [],
  );
}

test("payloads that hold footers, section headers and ends of their own", () => {
  const nasty = build(
    piece.footer(5),
    piece.device(6, "timer", bytesOf(1)),
    piece.eof,
    piece.vmdesc(describe_(["x", 1])),
  );
  const huge = build(piece.footer(5), bytesOf(0, 6, 0, 0xff, 0xff, 0xff, 0x7b, 0x22));
  const stream = build(
    ram,
    piece.device(5, "a", nasty),
    piece.device(6, "b", huge),
    piece.device(7, "c", new Uint8Array(0)),
    piece.eof,
    piece.vmdesc(describe_(["a", nasty.length], ["b", huge.length], ["c", 0])),
  );
  expect(devicesOf(stream)).toEqual([
    ["a", nasty.length, false],
    ["b", huge.length, false],
    ["c", 0, false],
  ]);
});

test("the end is recognised with its last byte, without end()", () => {
  const stream = build(ram, piece.device(5, "a", bytesOf(1)), piece.eof, piece.vmdesc(describe_(["a", 1])));
  const reader = new StreamReader(new Recorder());
  reader.push(stream.subarray(0, -1));
  expect(reader.complete).toBe(false);
  reader.push(stream.subarray(-1));
  expect(reader.complete).toBe(true);
});

test("a background snapshot has no END: the FULL after the last PART begins the device state", () => {
  const stream = build(
    preamble,
    piece.ramStart(),
    piece.part(2, piece.page(0, 1, "ram")),
    piece.part(2, piece.page(1, 1)),
    piece.device(
      5,
      "a",
      build(piece.footer(5), (b) => b.u8(2).u32(2)),
    ),
    piece.eof,
    piece.vmdesc(describe_(["a", 10])),
  );
  expect(devicesOf(stream)).toEqual([["a", 10, false]]);
});

test("early sections are cut before the vmdesc is known, and checked against it", () => {
  const early = build(piece.footer(8), bytesOf(2, 0, 0, 0, 9), piece.footer(7), bytesOf(1, 2, 3));
  const stream = build(
    preamble,
    piece.ramStart(),
    piece.device(8, "v/virtio-mem-device-early", early),
    piece.device(9, "w/virtio-mem-device-early", bytesOf(0x7e, 0, 0, 0)),
    piece.command(11),
    piece.end(2),
    piece.device(5, "a", bytesOf(1)),
    piece.eof,
    piece.vmdesc(describe_(["v/virtio-mem-device-early", early.length], ["w/virtio-mem-device-early", 4], ["a", 1])),
  );
  expect(devicesOf(stream)).toEqual([
    ["v/virtio-mem-device-early", early.length, true],
    ["w/virtio-mem-device-early", 4, true],
    ["a", 1, false],
  ]);
});

test("a stream ends where its EOF does, however far a step had to look behind it", () => {
  // Behind the footer in the payload stands what may be a section's header: 200 more bytes tell that it is none.
  const early = build(piece.footer(8), (b) => b.u8(4).u32(9).u8(200), bytesOf(0x61, 0x62));
  const stream = build(preamble, piece.ramStart(), piece.device(8, "e", early), piece.command(11), piece.eof);
  const bytes = build(stream, new Uint8Array(300).fill(0x41));
  for (const size of [bytes.length, 1, 7, 250]) {
    const reader = new StreamReader(new Recorder());
    for (let at = 0; at < bytes.length && !reader.complete; at += size) reader.push(bytes.subarray(at, at + size));
    expect([size, reader.complete, reader.position]).toEqual([size, true, stream.length]);
  }
});

test("an early section in a background snapshot, before a PART and before another START", () => {
  const tail = build(piece.device(5, "a", bytesOf(1)), piece.eof, piece.vmdesc(describe_(["e", 2], ["a", 1])));
  const early = piece.device(8, "e", bytesOf(1, 2));
  expect(devicesOf(build(preamble, piece.ramStart(), early, piece.part(2), tail))).toEqual([
    ["e", 2, true],
    ["a", 1, false],
  ]);
  const bitmap = build(piece.section(1, 3, "dirty-bitmap", 1), bytesOf(1), piece.footer(3));
  expect(devicesOf(build(preamble, piece.ramStart(), early, bitmap, piece.end(2), tail))).toHaveLength(2);
});

test("an early section that was cut at a false footer is refused at the end", () => {
  const early = build(bytesOf(1), piece.footer(8), (b) => b.u8(2).u32(2), bytesOf(9, 9, 9));
  // What follows the false footer parses as an empty PART.
  const payload = build(bytesOf(1), piece.footer(8), (b) => b.u8(2).u32(2), piece.eos, piece.footer(2));
  expect(early.length).toBeLessThan(payload.length);
  const stream = build(
    preamble,
    piece.ramStart(),
    piece.section(4, 8, "e", 1),
    payload,
    piece.end(2),
    piece.device(5, "a", bytesOf(1)),
    piece.eof,
    piece.vmdesc(describe_(["e", payload.length], ["a", 1])),
  );
  for (const cuts of cutsList) expect(readingError(stream, cuts).code).toBe("stream.early-section-length");
});

test("an early section of over 1 MiB is refused", () => {
  const stream = build(preamble, piece.ramStart(), piece.section(4, 8, "e", 1), new Uint8Array(2 ** 20 + 100));
  expect(readingError(stream).code).toBe("stream.early-section-too-long");
  expect(readingError(stream, [65536]).code).toBe("stream.early-section-too-long");
});

test("without a vmdesc the device state stays uncut", () => {
  const state = build(piece.device(5, "a", bytesOf(1, 2)), piece.device(6, "b", bytesOf(3)));
  const stream = build(ram, state, piece.eof);
  for (const cuts of cutsList) {
    const { recorder, reader } = read(stream, cuts);
    expect(reader.complete).toBe(true);
    expect(recorder.records.slice(-2)).toEqual([{ kind: "device-state-uncut", bytes: state }, { kind: "eof" }]);
  }
  expect(rewrite(stream, [3])).toEqual(stream);
  expect(errorOf(() => rewrite(stream, [3], { renumber: true })).code).toBe("stream.cannot-renumber");
});

test("no device state at all, with and without a vmdesc", () => {
  expect(read(build(ram, piece.eof)).recorder.kinds().at(-1)).toBe("eof");
  const empty = piece.vmdesc({ devices: [] });
  expect(
    read(build(ram, piece.eof, empty), [1])
      .recorder.kinds()
      .at(-1),
  ).toBe("vmdesc");
  const reader = new StreamReader(new Recorder());
  const stream = build(ram, piece.eof);
  expect(reader.push(build(stream, bytesOf(0xaa)))).toBe(stream.length);
  expect(reader.complete).toBe(true);
});

test("every cut is an error, except just after EOF", () => {
  const stream = build(ram, piece.device(5, "a", bytesOf(1, 2)), piece.eof, piece.vmdesc(describe_(["a", 2])));
  const afterEof = stream.length - piece.vmdesc(describe_(["a", 2])).length;
  for (let length = 0; length < stream.length; length++) {
    if (length === afterEof) {
      expect(read(stream.subarray(0, length), [64]).reader.complete).toBe(true);
      continue;
    }
    const error = readingError(stream.subarray(0, length), [64]);
    expect([length, error.code]).toEqual([length, "stream.cut"]);
    expect(error.details.offset).toBe(length);
  }
});

test("a vmdesc that does not describe the device state is named at the end", () => {
  const device = piece.device(5, "a", bytesOf(1, 2));
  const error = (json: unknown) => readingError(build(ram, device, piece.eof, piece.vmdesc(json)), [9]);
  expect(error(describe_(["a", 3])).code).toBe("stream.device-state");
  expect(error(describe_(["b", 2])).details.said).toContain('does not list "a"');
  expect(error(describe_(["a", 200])).code).toBe("stream.out-of-bounds");
  expect(error({ devices: 3 }).code).toBe("stream.vmdesc-invalid");
  expect(error('{"devices": [}').code).toBe("stream.vmdesc-invalid");
});

test("device state beyond the limit is refused without being held", () => {
  const stream = build(
    ram,
    piece.device(5, "a", new Uint8Array(5000)),
    piece.eof,
    piece.vmdesc(describe_(["a", 5000])),
  );
  const error = readingError(stream, [100], { maxDeviceState: 4000 });
  expect(error.code).toBe("stream.device-state-too-large");
  expect(readingError(stream, undefined, { maxDeviceState: 4000 }).details).toEqual(error.details);
});

test("a flood of false ends is refused in little time", () => {
  const fake = build(piece.footer(5), bytesOf(0, 6, 0, 0, 0, 3, 0x7b, 0x22, 0x7d));
  const payload = build(...Array.from({ length: 5000 }, () => fake));
  const stream = build(ram, piece.device(5, "a", payload), piece.eof, piece.vmdesc(describe_(["a", payload.length])));
  const before = performance.now();
  expect(readingError(stream, [1]).code).toBe("stream.false-ends");
  expect(performance.now() - before).toBeLessThan(5000);
});
