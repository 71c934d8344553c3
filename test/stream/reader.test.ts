import { expect, test } from "vitest";
import { capabilitiesOf, uuidOf } from "../../src/stream/configuration.ts";
import { StreamReader } from "../../src/stream/reader.ts";
import type { BlockEntry, StreamRecord } from "../../src/stream/records.ts";
import { build, bytesOf, describe_, drive, PAGE, piece, preamble, Recorder, read, rewrite } from "./helpers.ts";

const payload = bytesOf(1, 2, 3);
const tail = build(piece.device(5, "timer", payload), piece.eof, piece.vmdesc(describe_(["timer", 3])));
const block = { index: 0, name: "ram", length: 16 * PAGE, pageSize: PAGE, pages: 16 };

/** Reads whole and byte by byte, checks that both agree and that writing gives the stream again. */
function check(stream: Uint8Array, options = {}): Recorder {
  const whole = read(stream, undefined, options);
  expect(whole.reader.complete).toBe(true);
  expect(whole.reader.position).toBe(stream.length);
  expect(read(stream, [1], options).recorder.events).toEqual(whole.recorder.events);
  expect(rewrite(stream, [7], options)).toEqual(stream);
  return whole.recorder;
}

function first<K extends StreamRecord["kind"]>(recorder: Recorder, kind: K): Extract<StreamRecord, { kind: K }> {
  const record = recorder.records.find((r): r is Extract<StreamRecord, { kind: K }> => r.kind === kind);
  if (record === undefined) throw new Error(`no ${kind}`);
  return record;
}

test("a whole small stream, record by record", () => {
  const stream = build(
    preamble,
    piece.ramStart(),
    piece.part(2, piece.page(3, 7, "ram"), piece.zero(4)),
    piece.command(11),
    piece.end(2, piece.page(3, 8)),
    tail,
  );
  const recorder = check(stream);
  const words = recorder.events.map((e) => ("record" in e ? e.record.kind : "zero" in e ? `z${e.page}` : `p${e.page}`));
  expect(words.join(" ")).toBe(
    "header configuration ram-start ram-eos footer ram-part p3 z4 ram-eos footer command " +
      "ram-end p3 ram-eos footer device footer eof vmdesc",
  );
  expect(first(recorder, "header").version).toBe(3);
  expect(first(recorder, "device")).toEqual({
    kind: "device",
    sectionId: 5,
    name: "timer",
    instance: 0,
    version: 1,
    payload,
    early: false,
  });
  const start = first(recorder, "ram-start");
  expect(start.blocks).toEqual([{ block, hostPageSize: null, guestAddress: null, mapped: null }]);
  expect(start.total).toBe(16 * PAGE);
});

test("configuration subsections", () => {
  const uuid = new Uint8Array(16).map((_, i) => i * 17);
  const stream = build(
    piece.header,
    piece.configuration(
      "pc-i440fx-7.2",
      piece.subsection("configuration/target-page-bits", bytesOf(0, 0, 0, 14)),
      piece.capabilities("x-ignore-shared"),
      piece.subsection("configuration/uuid", uuid),
    ),
    piece.section(1, 2, "ram", 4),
    piece.word(16384, 4),
    piece.name("b"),
    (b) => b.u64(16384).u64(0xfffc0000),
    piece.eos,
    piece.footer(2),
    piece.part(2, piece.word(0, 8), piece.name("b"), new Uint8Array(16384).fill(3)),
    piece.end(2),
    tail,
  );
  const recorder = check(stream);
  const configuration = first(recorder, "configuration");
  expect(configuration.machine).toBe("pc-i440fx-7.2");
  expect(capabilitiesOf(configuration)).toEqual(["x-ignore-shared"]);
  expect(uuidOf(configuration)).toBe("00112233-4455-6677-8899-aabbccddeeff");
  const entry = first(recorder, "ram-start").blocks[0] as BlockEntry;
  expect(entry.block.pageSize).toBe(16384);
  expect(entry.guestAddress).toBe(0xfffc0000);
});

test("every command", () => {
  const data: Record<number, Uint8Array> = {
    2: bytesOf(0, 0, 0, 9),
    3: new Uint8Array(16),
    6: bytesOf(1, 2),
    10: bytesOf(0),
  };
  const commands = [1, 2, 3, 4, 5, 6, 8, 9, 10, 11].map((c) => piece.command(c, data[c]));
  const packaged = build(piece.command(7, bytesOf(0, 0, 0, 3)), bytesOf(0x7e, 0, 6));
  const recorder = check(build(preamble, piece.command(3), ...commands, packaged, piece.eof));
  const records = recorder.records.filter((r) => r.kind === "command");
  expect(records.map((r) => r.command)).toEqual([3, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 7]);
  expect(records.at(-1)?.packaged).toEqual(bytesOf(0x7e, 0, 6));
  expect(records[2]?.data).toEqual(bytesOf(0, 0, 0, 9));
});

test("page sizes after POSTCOPY_ADVISE stand only at blocks that have them", () => {
  const huge = 2 * 2 ** 20;
  const advise = build((b) => b.u64(huge + PAGE).u64(PAGE));
  const stream = build(
    preamble,
    piece.command(3, advise),
    piece.section(1, 2, "ram", 4),
    piece.word(2 * huge + PAGE, 4),
    piece.name("mem0"),
    (b) => b.u64(huge).u64(huge),
    piece.name("rom"),
    (b) => b.u64(PAGE),
    piece.name("mem1"),
    (b) => b.u64(huge).u64(huge),
    piece.eos,
    piece.footer(2),
    piece.end(2),
    tail,
  );
  const start = first(check(stream), "ram-start");
  expect(start.blocks.map((entry) => entry.hostPageSize)).toEqual([huge, null, huge]);
});

test("a last block without page size after POSTCOPY_ADVISE", () => {
  const advise = build((b) => b.u64(2 ** 21 + PAGE).u64(PAGE));
  const stream = build(preamble, piece.command(3, advise), piece.ramStart({ a: 1, b: 2 }), piece.end(2), tail);
  expect(first(check(stream), "ram-start").blocks.map((entry) => entry.hostPageSize)).toEqual([null, null]);
});

test("CONTINUE carries across sections", () => {
  const stream = build(
    preamble,
    piece.ramStart({ a: 4, b: 4 }),
    piece.part(2, piece.zero(0, "a"), piece.page(1, 1, "b")),
    piece.part(2, piece.page(2, 2), piece.zero(3)),
    piece.part(2, piece.page(2, 3, "a")),
    piece.end(2, piece.zero(1)),
    tail,
  );
  const pages = check(stream).events.flatMap((e) => ("page" in e ? [`${e.block}${e.page}`] : []));
  expect(pages).toEqual(["a0", "b1", "b2", "b3", "a2", "a1"]);
});

test("flush, hook, xbzrle and zlib records", () => {
  const stream = build(
    preamble,
    piece.section(1, 2, "ram", 4),
    piece.blocks({ ram: 16 }),
    piece.word(0, 0x80),
    piece.word(0, 0x200),
    piece.eos,
    piece.footer(2),
    piece.part(2, piece.word(PAGE, 0x40), piece.name("ram"), bytesOf(1, 0, 3, 0, 1, 9), piece.word(0, 0x200)),
    piece.part(2, piece.word(2 * PAGE, 0x120), bytesOf(0, 0, 0, 2, 5, 6)),
    piece.end(2),
    tail,
  );
  const recorder = check(stream);
  expect(recorder.kinds().slice(2, 6)).toEqual(["ram-start", "ram-hook", "ram-flush", "ram-eos"]);
  expect(recorder.events.filter((e) => "kind" in e)).toEqual([
    { block: "ram", page: 1, kind: "xbzrle", data: "000109" },
    { block: "ram", page: 2, kind: "zlib", data: "0506" },
  ]);
});

test("dirty bitmaps are delimited and kept", () => {
  const start = build(bytesOf(0x1c), piece.name("n"), piece.name("bm"), (b) => b.u32(65536).u8(0), bytesOf(1));
  const bits = build(bytesOf(0x40), (b) => b.u64(0).u32(128).u64(5), bytesOf(1, 0x7e, 3, 4, 5), bytesOf(1));
  const zeroes = build(bytesOf(0x42), (b) => b.u64(128).u32(128), bytesOf(0x20), bytesOf(1));
  const stream = build(
    preamble,
    piece.section(1, 9, "dirty-bitmap", 1),
    start,
    piece.footer(9),
    (b) => b.u8(2).u32(9),
    bits,
    piece.footer(9),
    (b) => b.u8(3).u32(9),
    zeroes,
    piece.footer(9),
    tail,
  );
  const records = check(stream).records.filter((r) => r.kind === "dirty-bitmap");
  expect(records.map((r) => [r.part, r.sectionId, r.instance, r.payload])).toEqual([
    ["start", 9, 0, start],
    ["part", 9, 0, bits],
    ["end", 9, 0, zeroes],
  ]);
});

test("pages in one chunk come as one batch without copies, zeros as one run", () => {
  const pages = Array.from({ length: 10 }, (_, i) => piece.page(i, i + 1, i === 0 ? "ram" : undefined));
  const zeros = Array.from({ length: 5 }, (_, i) => piece.zero(10 + i));
  const stream = build(preamble, piece.ramStart(), piece.part(2, ...pages, ...zeros, piece.page(0, 1)), piece.eof);
  const recorder = new Recorder();
  let same = 0;
  const reader = new StreamReader({
    record: (r) => recorder.record(r),
    zeroPages: (...args) => recorder.zeroPages(...args),
    encoded: (...args) => recorder.encoded(...args),
    pages: (batch) => {
      recorder.pages(batch);
      if (batch.chunk === stream) same++;
    },
  });
  expect(reader.push(stream)).toBe(stream.length);
  expect(recorder.runs.slice(6, 9)).toEqual(["pages 10", "zero 5", "pages 1"]);
  expect(same).toBe(2);
});

test("only the page that straddles chunks is assembled", () => {
  const pages = Array.from({ length: 12 }, (_, i) => piece.page(i, i + 1, i === 0 ? "ram" : undefined));
  const head = build(preamble, piece.ramStart(), (b) => b.u8(2).u32(2));
  const stream = build(head, ...pages, piece.eos, piece.footer(2), piece.eof);
  const { recorder } = read(stream, [head.length + 5 * (PAGE + 8)]);
  expect(recorder.runs.filter((run) => run.startsWith("pages"))).toEqual([
    "pages 4",
    "pages 1",
    "pages 5",
    "pages 1",
    "pages 1",
  ]);
});

test("bytes after the vmdesc are not consumed", () => {
  const stream = build(preamble, piece.ramStart(), piece.end(2), tail);
  const more = build(stream, bytesOf(1, 2, 3, 4));
  const reader = new StreamReader(new Recorder());
  expect(reader.push(more)).toBe(stream.length);
  expect(reader.complete).toBe(true);
  expect(reader.push(bytesOf(1))).toBe(0);
  expect(reader.position).toBe(stream.length);
});

test("a mapped-ram stream hops over the pages, at an offset too", () => {
  const base = 100;
  const pagesOf = (at: number, b: { u32(v: number): { u64(v: number): unknown } }, bitmap: number) => {
    const rest = b.u32(1) as unknown as { u64(v: number): { u64(v: number): { u64(v: number): unknown } } };
    rest.u64(PAGE).u64(bitmap).u64(at);
  };
  const file = new Uint8Array(20 * PAGE).fill(0xaa);
  const head = build(
    piece.header,
    piece.configuration("pc", piece.capabilities("mapped-ram")),
    piece.section(1, 2, "ram", 4),
    piece.word(5 * PAGE, 4),
    piece.name("a"),
    (b) => b.u64(2 * PAGE),
    (b) => pagesOf(10 * PAGE, b, 4000),
  );
  // The second block's pages lie before the first's: going back is allowed.
  const second = build(
    piece.name("b"),
    (b) => b.u64(3 * PAGE),
    (b) => pagesOf(2 * PAGE, b, 5000),
  );
  const rest = build(piece.eos, piece.footer(2), piece.part(2), piece.command(11), piece.end(2), tail);
  file.set(head, 0);
  file.set(second, 12 * PAGE - base);
  file.set(rest, 5 * PAGE - base);
  for (const cuts of [[file.length], [1], [4096], [13]]) {
    const { recorder, reader } = read(file, cuts, { base });
    const start = first(recorder, "ram-start");
    expect(start.blocks.map((entry) => entry.mapped)).toEqual([
      { version: 1, pageSize: PAGE, bitmapOffset: 4000, pagesOffset: 10 * PAGE },
      { version: 1, pageSize: PAGE, bitmapOffset: 5000, pagesOffset: 2 * PAGE },
    ]);
    expect(recorder.kinds().at(-1)).toBe("vmdesc");
    expect(reader.position).toBe(5 * PAGE + rest.length);
    const written = rewrite(file, cuts, { base });
    expect(written.subarray(0, head.length)).toEqual(head);
    expect(written.subarray(12 * PAGE - base, 12 * PAGE - base + second.length)).toEqual(second);
    expect(written.subarray(5 * PAGE - base, 5 * PAGE - base + rest.length)).toEqual(rest);
  }
});

test("sections can be given other ids", () => {
  const stream = build(preamble, piece.ramStart({ ram: 1 }, 77), piece.part(77), piece.end(77), tail);
  const renumbered = build(
    preamble,
    piece.ramStart({ ram: 1 }, 1),
    piece.part(1),
    piece.end(1),
    build(piece.device(2, "timer", payload), piece.eof, piece.vmdesc(describe_(["timer", 3]))),
  );
  expect(rewrite(stream, [100], { renumber: true })).toEqual(renumbered);
});

test("the reader tells where it wants to read on", () => {
  const stream = build(preamble, piece.ramStart(), piece.end(2), tail);
  const reader = new StreamReader(new Recorder(), { base: 1000 });
  expect(reader.position).toBe(1000);
  reader.push(stream.subarray(0, 5));
  expect(reader.position).toBe(1005);
  expect(reader.complete).toBe(false);
  drive(reader, stream, [9], 1000);
  expect(reader.position).toBe(1000 + stream.length);
  expect(reader.blocks).toEqual([block]);
});
