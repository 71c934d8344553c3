/** docs/format.md, "Seal": every field of every table, as an accident leaves it, and sealed anew as somebody who means to mislead would. */
import { encodeSeal } from "../../../src/fixedram/seal.ts";
import { meta } from "../../fixedram/sample.ts";
import type { Sound } from "../marked.ts";
import { checked, listed, resealed, saved, sealed } from "../seals.ts";
import { devices, mapped, PAGE } from "../sound.ts";
import { mappedDigest, type Spec, type Value } from "../spec.ts";

type Again = (bytes: Uint8Array) => Uint8Array;
const asIs: Again = (bytes) => bytes;
const pages = mappedDigest();
const max = 2n ** 64n - 1n;

type Row = readonly [name: string, what: string, field: string, value: Value, again: Again, ...verify: string[]];

const specs = (file: Sound, base: string, clause: string, rows: readonly Row[]): Spec[] =>
  rows.map(([name, what, field, value, again, ...verify]) => {
    const bytes = again(file.with(field, value).bytes);
    // What a newer version made is not opened at all.
    const refused = verify[0]?.startsWith("seal.") === true;
    const at = name === "trailer-version" ? file.at("trailer.version") : file.at("META.magic");
    return { name, what, clause, base, bytes, verify, ...(refused ? { expect: verify[0] ?? "", at } : { pages }) };
  });

/** Another value of the same size. */
const turned = (file: Sound, field: string): Uint8Array => {
  const { offset, size } = file.field(field);
  return file.bytes.slice(offset, offset + size).map((byte) => byte ^ 0xff);
};

function trailer(file: Sound): Spec[] {
  const damaged = ["damaged", "seal.damaged-trailer"];
  const fields = ["version", "length", "uuid", "base", "end", "directory", "directoryLength", "sha", "check"];
  return specs(file, "sealed", "TRAILER", [
    ["trailer-magic", "no trailer's magic", "trailer.magic", "FRAMSEAK", asIs, "half", "seal.half"],
    ...fields.map(
      (field): Row => [
        `trailer-${field}-turned`,
        `another ${field}, which the check finds`,
        `trailer.${field}`,
        turned(file, `trailer.${field}`),
        asIs,
        ...damaged,
      ],
    ),
    ["trailer-version", "a version that is not known", "trailer.version", 2, checked, "seal.unknown-version"],
    ["trailer-length", "a trailer of 64 bytes", "trailer.length", 64, checked, ...damaged],
    [
      "trailer-uuid",
      "the uuid of another snapshot",
      "trailer.uuid",
      new Uint8Array(16),
      checked,
      "damaged",
      "seal.bad-meta",
    ],
    ["trailer-base", "a stream that begins at byte 1", "trailer.base", 1, checked, "damaged", "stream.bad-magic"],
    [
      "trailer-end",
      "a stream that ends a byte earlier",
      "trailer.end",
      file.at("META.magic") - 1,
      checked,
      "stale",
      "seal.stale",
    ],
    [
      "trailer-end-max",
      "a stream that ends at 2^64 - 1",
      "trailer.end",
      max,
      checked,
      "damaged",
      "seal.number-too-large",
    ],
    [
      "trailer-directory",
      "a directory at byte 0",
      "trailer.directory",
      0,
      checked,
      "damaged",
      "seal.damaged-directory",
    ],
    [
      "trailer-directory-end",
      "a directory behind the trailer",
      "trailer.directory",
      file.bytes.length,
      checked,
      "damaged",
      "seal.damaged-directory",
    ],
    [
      "trailer-directory-2-53",
      "a directory at 2^53",
      "trailer.directory",
      2n ** 53n,
      checked,
      "damaged",
      "seal.number-too-large",
    ],
    [
      "trailer-directory-wraps",
      "a directory whose end wraps",
      "trailer.directory",
      max,
      checked,
      "damaged",
      "seal.number-too-large",
    ],
    [
      "trailer-directory-0",
      "a directory of no bytes",
      "trailer.directoryLength",
      0,
      listed,
      "damaged",
      "seal.damaged-section",
    ],
    [
      "trailer-directory-2-mib",
      "a directory of 2 MiB",
      "trailer.directoryLength",
      2 ** 21,
      checked,
      "damaged",
      "seal.damaged-directory",
    ],
    [
      "trailer-sha",
      "another digest of the directory",
      "trailer.sha",
      new Uint8Array(32),
      checked,
      "damaged",
      "seal.damaged-directory",
    ],
  ]);
}

function directory(file: Sound): Spec[] {
  const outside = ["damaged", "seal.damaged-directory"];
  return specs(file, "sealed", "DIRECTORY", [
    ["dirs-magic", "another magic", "DIRS.magic", "FRAN", listed, "damaged", "seal.damaged-section"],
    ["dirs-type", "another type", "DIRS.type", "META", listed, "damaged", "seal.damaged-section"],
    ["dirs-length", "another length", "DIRS.length", 1, listed, "damaged", "seal.damaged-section"],
    ["dirs-length-2-53", "a length of 2^53", "DIRS.length", 2n ** 53n, listed, "damaged", "seal.number-too-large"],
    ["dirs-count", "one section less", "DIRS.count", 3, listed, ...outside],
    ["dirs-count-max", "2^32 - 1 sections", "DIRS.count", 0xffffffff, listed, ...outside],
    ["dirs-entry", "entries of 32 bytes", "DIRS.entryBytes", 32, listed, ...outside],
    [
      "dirs-turned",
      "a turned byte, which its digest finds",
      "DIRS.count",
      turned(file, "DIRS.count"),
      asIs,
      ...outside,
    ],
    ["dir-type", "no META", "dir.META.type", "MEAT", listed, ...outside],
    [
      "dir-critical",
      "a critical section that is not known",
      "dir.META.type",
      Uint8Array.of(0x58, 0x58, 0x58, 0x58, 0, 0, 0, 1),
      listed,
      "seal.unknown-critical",
    ],
    ["dir-offset", "a section somewhere else", "dir.META.offset", 0, listed, "damaged", "seal.damaged-section"],
    ["dir-offset-end", "a section behind the trailer", "dir.META.offset", file.bytes.length, listed, ...outside],
    ["dir-offset-2-53", "a section at 2^53", "dir.META.offset", 2n ** 53n, listed, "damaged", "seal.number-too-large"],
    ["dir-offset-safe", "a section that ends past 2^53", "dir.META.offset", 2 ** 53 - 1, listed, ...outside],
    ["dir-length-0", "a section without a head", "dir.META.length", 15, listed, ...outside],
    ["dir-length-long", "a section up to the trailer", "dir.META.length", file.bytes.length, listed, ...outside],
    [
      "dir-length-wraps",
      "a section of 2^64 - 1 bytes",
      "dir.META.length",
      max,
      listed,
      "damaged",
      "seal.number-too-large",
    ],
    ["dir-sha", "another digest", "dir.META.sha", new Uint8Array(32), listed, "damaged", "seal.damaged-section"],
    [
      "dir-BLKS-sha",
      "another digest of BLKS",
      "dir.BLKS.sha",
      new Uint8Array(32),
      listed,
      "damaged",
      "seal.damaged-section",
    ],
    [
      "dir-no-digests",
      "no BLKS: nothing tells of pages",
      "dir.BLKS.type",
      "blks",
      listed,
      "damaged",
      "seal.bad-digests",
    ],
  ]);
}

function metas(file: Sound): Spec[] {
  const { size } = file.field("META.payload");
  const json = (change: (meta: Record<string, unknown>) => void): string => {
    const { offset } = file.field("META.payload");
    const meta = JSON.parse(Buffer.from(file.bytes.subarray(offset, offset + size)).toString());
    change(meta);
    return JSON.stringify(meta);
  };
  // The payload keeps its length: what is missing is spaces behind the JSON.
  const meta = (name: string, what: string, change: (meta: Record<string, unknown>) => void): Row => [
    name,
    what,
    "META.payload",
    json(change).padEnd(size),
    resealed,
    "damaged",
    "seal.bad-meta",
  ];
  return specs(file, "sealed", "META", [
    [
      "meta-turned",
      "a turned byte, which its digest finds",
      "META.payload",
      turned(file, "META.payload"),
      asIs,
      "damaged",
      "seal.damaged-section",
    ],
    ["meta-magic", "another magic", "META.magic", "fram", resealed, "damaged", "seal.damaged-section"],
    ["meta-type", "another type", "META.type", "META".toLowerCase(), resealed, "damaged", "seal.damaged-section"],
    ["meta-length", "another length", "META.length", size - 1, resealed, "damaged", "seal.damaged-section"],
    ["meta-not-json", "what is no JSON", "META.payload", "{".padEnd(size), resealed, "damaged", "seal.bad-meta"],
    [
      "meta-not-utf8",
      "what is no UTF-8",
      "META.payload",
      new Uint8Array(size).fill(0xff),
      resealed,
      "damaged",
      "seal.bad-meta",
    ],
    ["meta-list", "a list", "META.payload", "[]".padEnd(size), resealed, "damaged", "seal.bad-meta"],
    [
      "meta-deep",
      "200 levels of lists",
      "META.payload",
      `${"[".repeat(200)}${"]".repeat(200)}`.padEnd(size),
      resealed,
      "damaged",
      "seal.bad-meta",
    ],
    meta("meta-schema", "schema 2", (m) => (m["schema"] = 2)),
    meta("meta-uuid", "a uuid that is none", (m) => (m["uuid"] = "x")),
    meta(
      "meta-uuid-other",
      "the uuid of another snapshot",
      (m) => (m["uuid"] = "0a1b2c3d-0000-4000-8000-00000000beef"),
    ),
    meta("meta-created", "a time that is none", (m) => (m["created"] = "yesterday")),
    meta("meta-tool", "no tool", (m) => (m["tool"] = null)),
    meta("meta-machine", "a machine that is a number", (m) => (m["machine"] = 1)),
    meta("meta-disks", "disks that are no list", (m) => (m["disks"] = {})),
    meta("meta-disks-numbers", "disks that are numbers", (m) => (m["disks"] = [1])),
    meta(
      "meta-map",
      "a memory map with a negative start",
      (m) => (m["memoryMap"] = [{ start: -1, length: 1, block: "", offset: 0 }]),
    ),
    meta("meta-argv", "a command line that is text", (m) => (m["argv"] = "x")),
  ]);
}

function digests(file: Sound): Spec[] {
  const bad = ["damaged", "seal.bad-digests"];
  const large = ["damaged", "seal.number-too-large"];
  const end = file.bytes.length;
  return specs(file, "sealed", "BLKS, RGNS, NODS", [
    ["blks-count", "a block less", "BLKS.count", 1, resealed, ...bad],
    ["blks-count-max", "2^32 - 1 blocks", "BLKS.count", 0xffffffff, resealed, ...bad],
    ["blks-entry", "entries of 95 bytes", "BLKS.entryBytes", 95, resealed, ...bad],
    ["blks-pages", "a page less", "BLKS0.pages", 15, resealed, "damaged", "seal.damaged-padding", "seal.bad-digests"],
    ["blks-pages-max", "2^64 - 1 pages", "BLKS0.pages", max, resealed, ...large],
    ["blks-pages-far", "2^52 pages", "BLKS0.pages", 2 ** 52, resealed, ...bad],
    ["blks-page-size-0", "pages of 0 bytes", "BLKS0.pageSize", 0, resealed, ...bad],
    ["blks-page-size-32", "pages of 32 bytes", "BLKS0.pageSize", 32, resealed, ...bad],
    ["blks-page-size-100", "pages of 100 bytes", "BLKS0.pageSize", 100, resealed, ...bad],
    ["blks-page-size-131072", "pages of 128 KiB", "BLKS1.pageSize", 131072, resealed, ...bad],
    ["blks-bitmap", "a bitmap somewhere else", "BLKS0.bitmap", 0, resealed, ...bad],
    ["blks-bitmap-end", "a bitmap behind the file", "BLKS0.bitmap", end, resealed, ...bad],
    ["blks-bitmap-2-53", "a bitmap at 2^53", "BLKS0.bitmap", 2n ** 53n, resealed, ...large],
    ["blks-places", "pages somewhere else", "BLKS1.pagesOffset", 0, resealed, ...bad],
    ["blks-places-end", "pages behind the file", "BLKS0.pagesOffset", end, resealed, ...bad],
    ["blks-places-safe", "pages that end past 2^53", "BLKS0.pagesOffset", 2 ** 53 - 1, resealed, ...bad],
    [
      "blks-table",
      "a table in the pages",
      "BLKS0.table",
      file.at("block0.page2"),
      resealed,
      "damaged",
      "seal.damaged-padding",
      "seal.bad-digests",
    ],
    ["blks-table-end", "a table behind the file", "BLKS0.table", end, resealed, ...bad],
    [
      "blks-table-other",
      "two blocks with one table",
      "BLKS0.table",
      file.bytes.slice(file.at("BLKS1.table"), file.at("BLKS1.table") + 8),
      resealed,
      "damaged",
      "seal.damaged-padding",
      "seal.bad-digests",
    ],
    ["blks-present", "more pages present than there are", "BLKS0.present", 17, resealed, ...bad],
    ["blks-nodes", "a node more", "BLKS0.nodes", 2, resealed, ...bad],
    ["blks-nodes-0", "a node less", "BLKS0.nodes", 0, resealed, ...bad],
    ["blks-root", "another root", "BLKS0.root", new Uint8Array(32), resealed, "damaged", "seal.bad-digests pc.ram"],
    ["rgns-count", "a region less", "RGNS.count", 4, resealed, ...bad],
    ["rgns-entry", "entries of 63 bytes", "RGNS.entryBytes", 63, resealed, ...bad],
    ["rgns-kind", "a kind that does not exist", "RGNS0.kind", "HEAT", resealed, ...bad],
    ["rgns-block", "a region of a block that does not exist", "RGNS0.block", 2, resealed, ...bad],
    [
      "rgns-offset",
      "a region a byte further on",
      "RGNS0.offset",
      1,
      resealed,
      "damaged",
      "seal.damaged-region",
      "seal.bad-digests",
    ],
    ["rgns-offset-end", "a region behind the file", "RGNS0.offset", end, resealed, ...bad],
    ["rgns-offset-2-53", "a region at 2^53", "RGNS0.offset", 2n ** 53n, resealed, ...large],
    [
      "rgns-length",
      "a region that is a byte shorter",
      "RGNS0.length",
      file.at("block0.bitmap") - 1,
      resealed,
      "damaged",
      "seal.damaged-region",
      "seal.bad-digests",
    ],
    ["rgns-length-max", "a region of 2^53 - 1 bytes", "RGNS1.length", 2 ** 53 - 1, resealed, ...bad],
    ["rgns-sha", "another digest", "RGNS0.sha", new Uint8Array(32), resealed, "damaged", "seal.damaged-region"],
    [
      "rgns-twice",
      "a region listed twice",
      "RGNS1.offset",
      file.bytes.slice(file.at("RGNS0.offset"), file.at("RGNS0.zero")),
      resealed,
      "damaged",
      "seal.damaged-region",
      "seal.bad-digests",
    ],
    [
      "nods-index",
      "a node that the block does not have",
      "NODS0.index",
      1,
      resealed,
      "damaged",
      "seal.bad-digests pc.ram",
    ],
    ["nods-index-far", "node 2^52", "NODS0.index", 2 ** 52, resealed, "damaged", "seal.bad-digests pc.ram"],
    ["nods-sha", "another digest", "NODS0.sha", new Uint8Array(32), resealed, "damaged", "seal.bad-digests pc.ram"],
    [
      "nods-turned",
      "a turned byte, which its digest finds",
      "NODS1.sha",
      turned(file, "NODS1.sha"),
      asIs,
      "damaged",
      "seal.damaged-section",
    ],
  ]);
}

/** The root of NODS made anew too: what nodes tell is all that is wrong. */
function rooted(file: Sound): Spec[] {
  const root: Again = (bytes) => {
    const { offset } = file.field("NODS0.index");
    bytes.set(hash(bytes.subarray(offset, offset + 40)), file.at("BLKS0.root"));
    return resealed(bytes);
  };
  return specs(file, "sealed", "BLKS, RGNS, NODS", [
    ["root-index", "node 1 of a block that has one", "NODS0.index", 1, root, "damaged", "seal.bad-digests pc.ram"],
    [
      "root-index-far",
      "node 2^40 of a block that has one",
      "NODS0.index",
      2 ** 40,
      root,
      "damaged",
      "seal.bad-digests pc.ram",
    ],
    ["root-index-max", "node 2^64 - 1", "NODS0.index", max, root, "damaged", "seal.bad-digests pc.ram"],
    [
      "root-sha",
      "another digest of a node",
      "NODS0.sha",
      new Uint8Array(32),
      root,
      "damaged",
      "seal.damaged-node pc.ram 0 +15",
    ],
  ]);
}

import { createHash } from "node:crypto";

const hash = (bytes: Uint8Array): Uint8Array => createHash("sha256").update(bytes).digest();

function contents(file: Sound): Spec[] {
  const ram = "pc.ram";
  const rom = "/rom@etc/acpi/tables";
  const page = (index: number): Uint8Array =>
    file.bytes.slice(file.at(`block0.page${index}`), file.at(`block0.page${index}`) + PAGE);
  const changed = (row: Row): Spec => {
    const [spec] = specs(file, "sealed", "Page digests", [row]);
    if (spec === undefined) throw new Error("no spec");
    const { pages: _, ...rest } = spec;
    return rest;
  };
  const swapped = file.with("block0.page0", page(5)).with("block0.page5", page(0)).bytes;
  const table = (block: number): number =>
    Number(new DataView(file.bytes.buffer, file.at(`BLKS${block}.table`)).getBigUint64(0));
  const patched = (name: string, what: string, at: number, value: number, ...verify: string[]): Spec => {
    const bytes = file.bytes.slice();
    bytes[at] = value;
    return { name, what, clause: "Page digests", base: "sealed", bytes, verify };
  };
  return [
    changed([
      "page-bit",
      "one bit of a page",
      "block0.page5",
      page(5).fill(0x14, 100, 101),
      asIs,
      "damaged",
      `seal.damaged-page ${ram} 5`,
    ]),
    changed([
      "page-zeros",
      "a page of which only zeros are left",
      "block0.page5",
      new Uint8Array(PAGE),
      asIs,
      "damaged",
      `seal.damaged-page ${ram} 5`,
    ]),
    changed([
      "page-of-zeros",
      "a page of zeros that is none any more",
      "block1.page2",
      new Uint8Array(PAGE).fill(1),
      asIs,
      "damaged",
      `seal.damaged-page ${rom} 2`,
    ]),
    {
      name: "page-swapped",
      what: "two pages in each other's place",
      clause: "Page digests",
      base: "sealed",
      bytes: swapped,
      verify: ["damaged", `seal.damaged-page ${ram} 0`, `seal.damaged-page ${ram} 5`],
    },
    changed([
      "bit-cleared",
      "a bit that was set",
      "block0.bitmap",
      Uint8Array.of(0x21, 0x80, 0, 0, 0, 0, 0, 0),
      asIs,
      "damaged",
      "seal.damaged-region",
      `seal.damaged-bitmap ${ram} 1`,
    ]),
    changed([
      "bit-set",
      "a bit that was clear",
      "block0.bitmap",
      Uint8Array.of(0x27, 0x80, 0, 0, 0, 0, 0, 0),
      asIs,
      "damaged",
      "seal.damaged-region",
      `seal.damaged-bitmap ${ram} 2`,
    ]),
    changed([
      "bits-all",
      "all bits of a block cleared",
      "block1.bitmap",
      new Uint8Array(8),
      asIs,
      "damaged",
      "seal.damaged-region",
      `seal.damaged-node ${rom} 0 +2`,
    ]),
    changed(["head-changed", "the machine's name", "machine", "pc-q35-10.1", asIs, "damaged", "seal.damaged-region"]),
    changed([
      "entry-changed",
      "a mapped-ram header's version",
      "block1.version",
      0,
      asIs,
      "damaged",
      "seal.damaged-region",
    ]),
    changed([
      "tail-changed",
      "a device's state",
      "timer.payload",
      Uint8Array.of(1, 2, 3, 4),
      asIs,
      "damaged",
      "seal.damaged-region",
    ]),
    changed([
      "stale-place",
      "bytes where a zero page would be",
      "block0.page3",
      new Uint8Array(PAGE).fill(3),
      asIs,
      "sealed",
    ]),
    patched(
      "table-slot",
      "the digest of a page that is present",
      table(0) + 5 * 8,
      0,
      "damaged",
      `seal.damaged-table ${ram} 5`,
    ),
    patched("table-unused", "the digest of a page that is not there", table(0) + 6 * 8, 1, "sealed"),
    patched("padding", "a byte between two sections", file.at("BLKS.magic") - 1, 1, "damaged", "seal.damaged-padding"),
    {
      name: "cut-trailer",
      what: "the trailer is cut off",
      clause: "States",
      base: "sealed",
      bytes: file.cut(file.bytes.length - 128),
      pages,
      verify: ["half", "seal.half"],
    },
    {
      name: "cut-page",
      what: "the last 4 KiB are cut off",
      clause: "States",
      base: "sealed",
      bytes: file.cut(file.bytes.length - 4096),
      pages,
      verify: ["half", "seal.half"],
    },
    {
      name: "cut-seal",
      what: "all of the seal is cut off",
      clause: "States",
      base: "sealed",
      bytes: file.cut(file.at("META.magic")),
      pages,
      verify: ["none"],
    },
    {
      name: "appended",
      what: "bytes behind the trailer",
      clause: "States",
      base: "sealed",
      bytes: Uint8Array.from([...file.bytes, 1]),
      pages,
      verify: ["half", "seal.half"],
    },
    {
      name: "appended-page",
      what: "4 KiB of zeros behind the trailer",
      clause: "States",
      base: "sealed",
      bytes: Uint8Array.from([...file.bytes, ...new Uint8Array(4096)]),
      pages,
      verify: ["half", "seal.half"],
    },
  ];
}

/** A stream that is written over the beginning of a sealed file, as QEMU would if it did not truncate it. */
function overwritten(file: Sound): Spec {
  const other = mapped({ machine: "pc-q35-9.0", devices: devices.slice(0, 1) });
  const bytes = file.bytes.slice();
  bytes.set(other.bytes);
  return {
    name: "overwritten",
    what: "another stream was written over the sealed one",
    clause: "States",
    base: "sealed",
    bytes,
    pages,
    verify: ["stale", "seal.damaged-region", "seal.damaged-region", "seal.damaged-region", "seal.stale"],
  };
}

/** A section one entry longer: there is room behind it. */
function grown(file: Sound, type: string, entry: Uint8Array): Uint8Array {
  const { offset, size } = file.field(`${type}.payload`);
  const count = file.field(`${type}.count`);
  const number = new DataView(file.bytes.buffer, file.bytes.byteOffset).getUint32(count.offset);
  const longer = file
    .with(`${type}.count`, number + 1)
    .with(`${type}.length`, size + entry.length)
    .with(`dir.${type}.length`, size + entry.length + 16);
  longer.bytes.set(entry, offset + size);
  return resealed(longer.bytes);
}

function more(file: Sound, two: Sound): Spec[] {
  const region = file.bytes.slice(file.at("RGNS0.kind"), file.at("RGNS0.kind") + 64);
  const gap = file.at("META.payload") + file.field("META.payload").size;
  const bit = (name: string, what: string, at: number): Spec => {
    const bytes = file.bytes.slice();
    bytes[at] = 1;
    return { name, what, clause: "RGNS", base: "sealed", bytes, verify: ["damaged", "seal.damaged-padding"] };
  };
  const { offset, size } = file.field("META.payload");
  const deep = JSON.parse(Buffer.from(file.bytes.subarray(offset, offset + size)).toString()) as Record<
    string,
    unknown
  >;
  Object.assign(deep, { argv: null, cpu: null, x: null });
  const text = JSON.stringify(deep).replace('"x":null', `"x":${"[".repeat(70)}${"]".repeat(70)}`);
  const order: Again = (bytes) => {
    const first = two.at("NODS0.index");
    bytes.set(hash(bytes.subarray(first, first + 80)), two.at("BLKS0.root"));
    return resealed(bytes);
  };
  const swapped = two.bytes.slice();
  const nodes = two.at("NODS0.index");
  swapped.set(two.bytes.subarray(nodes + 40, nodes + 80), nodes);
  swapped.set(two.bytes.subarray(nodes, nodes + 40), nodes + 40);
  const doubled = two.bytes.slice();
  doubled.copyWithin(nodes + 40, nodes, nodes + 40);
  const stream = mapped();
  const bare = encodeSeal(0, stream.bytes.length, { ...meta, memoryMap: [], disks: [] });
  const without = new Uint8Array(bare.trailerOffset + 128);
  without.set(stream.bytes);
  for (const { position, bytes } of bare.pieces) without.set(bytes, position);
  without.set(bare.trailer, bare.trailerOffset);
  const nodsClause = "BLKS, RGNS, NODS";
  return [
    {
      name: "rgns-again",
      what: "a region listed twice, beside all others",
      clause: nodsClause,
      base: "sealed",
      bytes: grown(file, "RGNS", region),
      pages,
      verify: ["damaged", "seal.bad-digests"],
    },
    bit("padding-first", "the first byte behind a section", gap),
    bit("padding-word", "a byte in the middle, far from everything", Math.ceil(gap / 64) * 64 + 1024 + 5),
    bit("padding-near", "a byte in the last words before a section", file.at("BLKS.magic") - 6),
    {
      name: "meta-deep-field",
      what: "an unknown field of 70 levels",
      clause: "META",
      base: "sealed",
      bytes: resealed(file.with("META.payload", text.padEnd(size)).bytes),
      pages,
      verify: ["damaged", "seal.bad-meta"],
    },
    {
      name: "no-digests",
      what: "a seal without digests",
      clause: "BLKS, RGNS, NODS",
      bytes: without,
      pages,
      verify: ["sealed"],
    },
    {
      name: "two-nodes",
      what: "a block with pages in two nodes",
      clause: nodsClause,
      bytes: two.bytes,
      verify: ["sealed"],
    },
    {
      name: "nods-order",
      what: "nodes in falling order",
      clause: nodsClause,
      base: "two-nodes",
      bytes: order(swapped),
      verify: ["damaged", "seal.bad-digests ram"],
    },
    {
      name: "nods-twice",
      what: "a node twice",
      clause: nodsClause,
      base: "two-nodes",
      bytes: order(doubled),
      verify: ["damaged", "seal.bad-digests ram"],
    },
  ];
}

export async function sealDefects(): Promise<Spec[]> {
  const file = await sealed(mapped());
  const save = await saved();
  const two = await sealed(
    mapped({ pageBits: 10, pageSize: 1024, blocks: [{ name: "ram", pages: 600, present: { 0: 1, 599: 2 } }] }),
  );
  return [
    ...more(file, two),
    {
      name: "sealed",
      what: "a mapped-ram file that was sealed in place",
      clause: "Seal",
      bytes: file.bytes,
      pages,
      verify: ["sealed"],
    },
    { name: "saved", what: "a file as a save writes it", clause: "Seal", bytes: save.bytes, verify: ["sealed"] },
    ...trailer(file),
    ...directory(file),
    ...metas(file),
    ...digests(file),
    ...rooted(file),
    ...contents(file),
    overwritten(file),
  ];
}
