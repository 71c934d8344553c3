import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { capabilitiesOf } from "../../src/stream/configuration.ts";
import type { StreamReaderOptions } from "../../src/stream/events.ts";
import { StreamReader } from "../../src/stream/reader.ts";
import { RecordBudget } from "../../src/stream/record-budget.ts";
import { StreamWriter } from "../../src/stream/writer.ts";
import { build, bytesOf, describe_, errorOf, PAGE, piece, preamble, Recorder, readingError } from "./helpers.ts";

const ram = build(preamble, piece.ramStart());
const inPart = build(ram, (b) => b.u8(2).u32(2));
const mapped = build(
  piece.header,
  piece.configuration("pc", piece.capabilities("mapped-ram")),
  piece.section(1, 2, "ram", 4),
);
const mappedHeader = (version: number, pageSize: number, bitmap: number, pages: number) =>
  build(piece.word(PAGE, 4), piece.name("a"), (b) => b.u64(PAGE).u32(version).u64(pageSize).u64(bitmap).u64(pages));
const list = (total: number, ...blocks: [name: string, length: number][]) =>
  build(
    preamble,
    piece.section(1, 2, "ram", 4),
    piece.word(total, 4),
    ...blocks.map(([name, length]) => build(piece.name(name), (b) => b.u64(length))),
  );
/** 2^53, one more than can be kept. */
const tooLarge = bytesOf(0, 0x20, 0, 0, 0, 0, 0, 0);
const advise = (first: Uint8Array) => piece.command(3, build(first, new Uint8Array(8)));
const duplicate = piece.subsection("configuration/uuid", new Uint8Array(16));

/** Defect, the sound bytes before it, the bytes that hold it, code, place of the offset in those bytes. */
const cases: [
  defect: string,
  before: Uint8Array,
  bad: Uint8Array,
  code: string,
  at?: number,
  options?: StreamReaderOptions,
][] = [
  ["bad magic", new Uint8Array(0), bytesOf(0x7f, 0x45, 0x4c, 0x46, 0, 0, 0, 3), "stream.bad-magic"],
  ["version 2 header", new Uint8Array(0), bytesOf(0x51, 0x45, 0x56, 0x4d, 0, 0, 0, 2), "stream.version", 4],
  ["no configuration (machine <= 2.3)", piece.header, piece.ramStart(), "stream.no-configuration"],
  ["machine name of 4 GiB", piece.header, bytesOf(7, 255, 255, 255, 255), "stream.machine-name", 1],
  [
    "unknown subsection",
    build(piece.header, piece.configuration()),
    piece.subsection("configuration/new", bytesOf()),
    "stream.unknown-subsection",
  ],
  [
    "subsection version 2",
    build(piece.header, piece.configuration()),
    piece.subsection("configuration/uuid", bytesOf(), 2),
    "stream.unknown-subsection",
  ],
  [
    "subsection twice",
    build(piece.header, piece.configuration("pc", duplicate)),
    duplicate,
    "stream.duplicate-subsection",
  ],
  [
    "2^32 - 1 capabilities",
    build(piece.header, piece.configuration()),
    piece.subsection("configuration/capabilities", bytesOf(255, 255, 255, 255)),
    "stream.capability-count",
    32,
  ],
  [
    "page size of 2^40",
    build(piece.header, piece.configuration()),
    build(piece.subsection("configuration/target-page-bits", bytesOf(0, 0, 0, 40)), bytesOf(0)),
    "stream.page-bits",
    40,
  ],
  ["unknown section type", preamble, bytesOf(0x42), "stream.unknown-section"],
  ["SUBSECTION outside", ram, bytesOf(0x05), "stream.misplaced-section"],
  ["VMDESC before EOF", ram, bytesOf(0x06), "stream.misplaced-section"],
  ["second CONFIGURATION", ram, bytesOf(0x07), "stream.misplaced-section"],
  ["footer without section", ram, bytesOf(0x7e), "stream.misplaced-section"],
  ["unknown command", preamble, piece.command(12), "stream.unknown-command"],
  ["PING of 3 bytes", preamble, piece.command(2, new Uint8Array(3)), "stream.command-length", 3],
  ["ADVISE of 8 bytes", preamble, piece.command(3, new Uint8Array(8)), "stream.command-length", 3],
  ["packaged 4 GiB", preamble, piece.command(7, bytesOf(255, 255, 255, 255)), "stream.packaged-too-large", 5],
  ["page size summary past 2^53", preamble, advise(tooLarge), "stream.number-too-large", 5],
  ["VFIO state", preamble, piece.section(1, 3, "0000:00:04.0/vfio", 1), "stream.vfio-section"],
  ["sPAPR hash table", preamble, piece.section(1, 3, "spapr/htab", 1), "stream.htab-section"],
  ["s390 storage attributes", preamble, piece.section(1, 3, "s390-stattrib", 1), "stream.stattrib-section"],
  ["old block migration", preamble, piece.section(1, 3, "block", 1), "stream.unsupported-section"],
  ["RAM instance 1", preamble, piece.section(1, 2, "ram", 4, 1), "stream.section-instance"],
  [
    "1025 live sections",
    build(
      preamble,
      ...Array.from({ length: 1024 }, (_, i) =>
        build(piece.section(1, 10 + i, "dirty-bitmap", 1), bytesOf(1), piece.footer(10 + i)),
      ),
    ),
    piece.section(1, 5, "ram", 4),
    "stream.too-many-sections",
  ],
  ["RAM version 3", preamble, piece.section(1, 2, "ram", 3), "stream.section-version"],
  ["dirty-bitmap version 2", preamble, piece.section(1, 2, "dirty-bitmap", 2), "stream.section-version"],
  ["second RAM section", ram, piece.section(1, 3, "ram", 4), "stream.second-ram-section"],
  ["section id taken", ram, piece.section(1, 2, "dirty-bitmap", 1), "stream.duplicate-section-id"],
  ["PART that was never begun", ram, bytesOf(2, 0, 0, 0, 3), "stream.unknown-section-id"],
  ["PART after END", build(ram, piece.end(2)), bytesOf(2, 0, 0, 0, 2), "stream.unknown-section-id"],
  ["footer of another section", build(inPart, piece.eos), piece.footer(3), "stream.bad-footer"],
  ["no footer", build(inPart, piece.eos), bytesOf(2, 0, 0, 0, 2), "stream.bad-footer"],
  ["START without block list", build(preamble, piece.section(1, 2, "ram", 4)), piece.eos, "stream.no-block-list"],
  ["total past 2^53", build(preamble, piece.section(1, 2, "ram", 4)), tooLarge, "stream.number-too-large"],
  ["block without name", list(PAGE), build(piece.name(""), (b) => b.u64(PAGE)), "stream.block-name"],
  ["name twice", list(2 * PAGE, ["a", PAGE]), build(piece.name("a"), (b) => b.u64(PAGE)), "stream.duplicate-block"],
  ["half a page", list(2 * PAGE), build(piece.name("a"), (b) => b.u64(PAGE / 2)), "stream.block-length", 2],
  ["length past 2^53", list(2 * PAGE), build(piece.name("a"), tooLarge), "stream.block-length", 2],
  [
    "more than the total",
    list(2 * PAGE, ["a", PAGE]),
    build(piece.name("b"), (b) => b.u64(2 * PAGE)),
    "stream.block-total",
    2,
  ],
  [
    "more blocks than the limit",
    list(3 * PAGE, ["a", PAGE], ["b", PAGE]),
    build(piece.name("c"), (b) => b.u64(PAGE)),
    "stream.too-many-blocks",
    0,
    { maxBlocks: 2 },
  ],
  ["mapped-ram version 2", mapped, mappedHeader(2, PAGE, 0, 0), "stream.mapped-version", 18],
  ["mapped-ram page size 0", mapped, mappedHeader(1, 0, 0, 0), "stream.mapped-page-size", 22],
  ["mapped-ram page size 8192", mapped, mappedHeader(1, 8192, 0, 0), "stream.mapped-page-size", 22],
  [
    "mapped-ram pages end past 2^53",
    mapped,
    mappedHeader(1, PAGE, 0, Number.MAX_SAFE_INTEGER),
    "stream.number-too-large",
    30,
  ],
  ["unknown RAM flag", inPart, piece.word(0, 0x400), "stream.unknown-ram-flag"],
  ["RAM flag FULL", inPart, piece.word(0, 0x001), "stream.ram-flags"],
  ["ZERO and PAGE at once", inPart, piece.word(0, 0x00a), "stream.ram-flags"],
  ["EOS with CONTINUE", inPart, piece.word(0, 0x030), "stream.ram-flags"],
  ["no flag", inPart, piece.word(PAGE, 0), "stream.ram-flags"],
  ["EOS with an address", inPart, piece.word(PAGE, 0x10), "stream.ram-flags"],
  ["second block list", inPart, piece.word(PAGE, 4), "stream.second-block-list"],
  [
    "page address past 2^53",
    inPart,
    build(bytesOf(0xff, 0xff), new Uint8Array(5), bytesOf(8)),
    "stream.number-too-large",
  ],
  ["unknown block", inPart, piece.page(0, 1, "rom"), "stream.unknown-block"],
  ["CONTINUE first", inPart, piece.page(0, 1), "stream.continue-without-block"],
  ["page after the block's end", inPart, piece.page(16, 1, "ram"), "stream.page-out-of-block"],
  ["the same with CONTINUE", build(inPart, piece.page(15, 1, "ram")), piece.page(16, 1), "stream.page-out-of-block"],
  ["zero page after the block's end", build(inPart, piece.zero(15, "ram")), piece.zero(16), "stream.page-out-of-block"],
  ["ZERO that fills with 1", build(inPart, piece.zero(0, "ram")), piece.zero(1, undefined, 1), "stream.zero-fill"],
  [
    "unknown XBZRLE encoding",
    build(inPart, piece.zero(0, "ram")),
    build(piece.word(0, 0x60), bytesOf(2, 0, 0)),
    "stream.xbzrle-encoding",
  ],
  [
    "XBZRLE longer than a page",
    build(inPart, piece.zero(0, "ram")),
    build(piece.word(0, 0x60), bytesOf(1, 0x10, 1)),
    "stream.encoded-length",
  ],
  [
    "4 GiB of zlib",
    build(inPart, piece.zero(0, "ram")),
    build(piece.word(0, 0x120), bytesOf(255, 255, 255, 255)),
    "stream.encoded-length",
  ],
  [
    "extended dirty-bitmap flags",
    build(preamble, piece.section(1, 3, "dirty-bitmap", 1)),
    bytesOf(0x81),
    "stream.dirty-bitmap-flags",
  ],
  [
    "dirty bitmap of 2^52 bytes",
    build(preamble, piece.section(1, 3, "dirty-bitmap", 1)),
    build(bytesOf(0x40), new Uint8Array(12), (b) => b.u64(2 ** 52)),
    "stream.dirty-bitmap-too-large",
  ],
  [
    "4 GiB of vmdesc",
    build(ram, piece.end(2), piece.eof),
    bytesOf(6, 255, 255, 255, 255),
    "stream.device-state-too-large",
  ],
  [
    "vmdesc of devices that are not there",
    build(ram, piece.end(2), piece.eof),
    piece.vmdesc(describe_(["a", 1])),
    "stream.device-state",
  ],
];

describe("defects", () => {
  test.each(cases)("%s", (_defect, before, bad, code, at = 0, options = {}) => {
    const stream = build(before, bad, new Uint8Array(64));
    for (const cuts of [[stream.length], [1], [before.length || 3], [5, 1]]) {
      const error = readingError(stream, cuts, options);
      expect([error.code, error.details.offset]).toEqual([code, before.length + at]);
    }
  });

  test("a page record in a mapped-ram stream", () => {
    const head = build(mapped, mappedHeader(1, PAGE, 0, 8192));
    const file = new Uint8Array(3 * PAGE + 100);
    file.set(head);
    file.set(
      build(piece.eos, piece.footer(2), (b) => b.u8(2).u32(2), piece.page(0, 1, "a").subarray(0, 60)),
      12288,
    );
    const error = readingError(file);
    expect([error.code, error.details.offset]).toEqual(["stream.page-in-mapped-ram", 12288 + 18]);
  });
});

test("what came before the defect is given first, and the error stays", () => {
  const recorder = new Recorder();
  const reader = new StreamReader(recorder);
  const stream = build(inPart, piece.page(0, 1, "ram"), piece.zero(1), piece.page(16, 1));
  const error = errorOf(() => reader.push(stream));
  expect(recorder.events.slice(-2).map((e) => ("page" in e ? e.page : -1))).toEqual([0, 1]);
  expect(error.details).toMatchObject({ block: "ram", page: 16 });
  expect(errorOf(() => reader.push(bytesOf(0)))).toBe(error);
  expect(errorOf(() => reader.end())).toBe(error);
});

test("block names are escaped in messages and kept in details", () => {
  const error = readingError(build(inPart, piece.page(0, 1, "\x1b[2J")));
  expect(error.message).toContain("\\x1b[2J");
  expect(error.details.block).toBe("\x1b[2J");
});

test.each([0, 512, 4097, 131072, Number.NaN])("page size %d", (pageSize) => {
  expect(errorOf(() => new StreamReader(new Recorder(), { pageSize })).code).toBe("usage.page-size");
});

test("a hand-made configuration with a lying capability list", () => {
  const payload = bytesOf(0, 0, 0, 2, 1, 65);
  const configuration = {
    kind: "configuration" as const,
    machine: "pc",
    subsections: [{ name: "configuration/capabilities", version: 1, payload }],
  };
  expect(errorOf(() => capabilitiesOf(configuration)).code).toBe("stream.out-of-bounds");
  payload.set([255, 255, 255, 255]);
  expect(errorOf(() => capabilitiesOf(configuration)).code).toBe("stream.capability-count");
});

test("more records than are kept", () => {
  const budget = new RecordBudget(2, 100);
  const record = { kind: "command" as const, command: 6, data: new Uint8Array(60), packaged: null };
  budget.take(record, 0);
  expect(errorOf(() => budget.take(record, 65))).toMatchObject({
    code: "stream.too-many-records",
    details: { offset: 65 },
  });
  const few = new RecordBudget(1);
  few.take(record, 0);
  expect(errorOf(() => few.take(record)).code).toBe("stream.too-many-records");
});

test("a packaged command can't be renumbered", () => {
  const writer = new StreamWriter(() => {}, { renumber: true });
  const command = { kind: "command" as const, command: 7, data: bytesOf(0, 0, 0, 0), packaged: bytesOf() };
  expect(errorOf(() => writer.record(command)).code).toBe("stream.cannot-renumber");
});

test("every code in the sources is documented and provoked by a test, and no other", () => {
  const root = new URL("../../", import.meta.url);
  const text = (folder: string, files: string[]) =>
    files.map((f) => readFileSync(new URL(folder + f, root), "utf8")).join("\n");
  const found = (source: string, pattern: RegExp) => new Set([...source.matchAll(pattern)].map((m) => m[1] ?? ""));
  const source = text("src/stream/", readdirSync(new URL("src/stream/", root)));
  const used = found(source, /"((?:stream|usage)\.[a-z0-9-]+)"/g);
  // The cursor builds its codes from the area.
  used.add("stream.out-of-bounds").add("stream.number-too-large");
  const documented = found(
    readFileSync(new URL("docs/errors/stream.md", root), "utf8"),
    /^- `([a-z0-9.-]+)`: .+; .+\.$/gm,
  );
  expect([...documented].sort()).toEqual([...used].sort());
  const tests = text(
    "test/stream/",
    readdirSync(new URL("test/stream/", root)).filter((f) => f.endsWith(".test.ts")),
  );
  const provoked = found(tests, /"((?:stream|usage)\.[a-z0-9-]+)"/g);
  expect([...used].filter((code) => !provoked.has(code))).toEqual([]);
});
