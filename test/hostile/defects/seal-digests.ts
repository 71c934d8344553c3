/** docs/format.md, "BLKS, RGNS, NODS": every field, and lists that are longer, in another order, or not there. */
import { encodeSeal } from "../../../src/fixedram/seal.ts";
import { meta } from "../../fixedram/sample.ts";
import type { Sound } from "../marked.ts";
import { resealed } from "../seals.ts";
import { mapped } from "../sound.ts";
import type { Spec } from "../spec.ts";
import { type Again, asIs, hash, max, pages, specs, turned } from "./seal-rows.ts";

export function digests(file: Sound): Spec[] {
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
    ["rgns-offset", "a region a byte further on, into the next one", "RGNS0.offset", 1, resealed, ...bad],
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
export function rooted(file: Sound): Spec[] {
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

export function more(file: Sound, two: Sound): Spec[] {
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
  // It is to fit in the place of the old one.
  Object.assign(deep, { argv: null, cpu: null, machine: null, tool: { name: "", version: "" }, x: null });
  const text = JSON.stringify(deep).replace('"x":null', `"x":${"[".repeat(64)}${"]".repeat(64)}`);
  if (text.length > size) throw new Error(`META of ${text.length} bytes, ${size} are there`);
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
      what: "an unknown field of 64 levels, 65 in all",
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
