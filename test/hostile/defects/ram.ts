/** docs/format.md, "Streams without fixed places": every RAM flag, the records of pages, dirty bitmaps, early device state. */

import { digestOf, keyOf } from "../contents.ts";
import { Marked } from "../marked.ts";
import { stored, stream, vmdescOf } from "../sound.ts";
import { bytesOf, fieldSpecs, joined, type Spec, streamDigest, streamPages, u64 } from "../spec.ts";
import { everything } from "./frame.ts";

const plain = stream();
const full = everything();
const PAGE = 4096;
const clause = "Streams without fixed places";

/** Bytes put before the EOS of the first PART, where the block of the record before is pc.ram. */
const record = (name: string, what: string, bytes: Uint8Array, expect: string, delta = 0): Spec => ({
  name,
  what,
  clause,
  base: "plain",
  bytes: plain.splice(plain.at("part0.eos"), plain.at("part0.eos"), bytes),
  expect,
  ...(expect === "ok" ? { pages: streamDigest(false, true) } : { at: plain.at("part0.eos") + delta }),
});

const word = (value: number): Uint8Array => u64(BigInt(value));

/** Each bit below the page size by itself, and what a reader must say. */
const flags: readonly [flag: number, what: string, expect: string][] = [
  [0x000, "no flag", "stream.ram-flags"],
  [0x001, "FULL, unused since 2009", "stream.ram-flags"],
  [0x004, "MEM_SIZE: a second block list", "stream.second-block-list"],
  [0x020, "CONTINUE alone", "stream.ram-flags"],
  [0x080, "HOOK", "ok"],
  [0x200, "MULTIFD_FLUSH", "ok"],
  [0x400, "a flag that does not exist", "stream.unknown-ram-flag"],
  [0x800, "another flag that does not exist", "stream.unknown-ram-flag"],
  [0x00a, "ZERO and PAGE", "stream.ram-flags"],
  [0x030, "EOS and CONTINUE", "stream.ram-flags"],
  [0x048, "PAGE and XBZRLE", "stream.ram-flags"],
  [0x108, "PAGE and COMPRESS_PAGE", "stream.ram-flags"],
  [0x0a8, "PAGE, CONTINUE and HOOK", "stream.ram-flags"],
  [0x210, "EOS and MULTIFD_FLUSH", "stream.ram-flags"],
  [0xfff, "every flag", "stream.unknown-ram-flag"],
];

const named = (flag: number, page: number, name: string, body: Uint8Array): Uint8Array =>
  new Marked()
    .u64(null, page * PAGE + flag)
    .name(null, name)
    .bytes(null, body)
    .finish().bytes;

const body = new Uint8Array(PAGE).fill(7);

const records: Spec[] = [
  ...flags.map(([flag, what, expect]) =>
    record(`flag-${flag.toString(16).padStart(3, "0")}`, what, word(flag), expect),
  ),
  record("eos-address", "EOS with an address", word(PAGE + 0x10), "stream.ram-flags"),
  record("hook-address", "HOOK with an address", word(PAGE + 0x80), "stream.ram-flags"),
  record("flush-address", "MULTIFD_FLUSH with an address", word(PAGE + 0x200), "stream.ram-flags"),
  record("page-2-53", "a page at 2^53", joined(u64(2n ** 53n + 0x28n), body), "stream.number-too-large"),
  record(
    "page-wraps",
    "a page at 2^64 - 4096",
    joined(u64(2n ** 64n - 4096n + 0x28n), body),
    "stream.number-too-large",
  ),
  record("page-16", "PAGE behind the block's end", joined(word(16 * PAGE + 0x28), body), "stream.page-out-of-block"),
  record(
    "zero-16",
    "ZERO behind the block's end",
    joined(word(16 * PAGE + 0x22), bytesOf(0)),
    "stream.page-out-of-block",
  ),
  record(
    "xbzrle-16",
    "XBZRLE behind the block's end",
    joined(word(16 * PAGE + 0x60), bytesOf(1, 0, 3, 0, 1, 9)),
    "stream.page-out-of-block",
  ),
  record("page-far", "PAGE at 2^52", joined(u64(2n ** 52n + 0x28n), body), "stream.page-out-of-block"),
  record("unknown-block", "a page of a block that is not listed", named(0x08, 0, "rom", body), "stream.unknown-block"),
  record("unnamed-block", "a page of a block without a name", named(0x08, 0, "", body), "stream.unknown-block"),
  record("zero-fill", "ZERO that fills with 1", joined(word(0x22), bytesOf(1)), "stream.zero-fill"),
  record(
    "zero-fill-named",
    "a named ZERO that fills with 255",
    named(0x02, 0, "pc.ram", bytesOf(255)),
    "stream.zero-fill",
  ),
  record("zero-named", "a named ZERO", named(0x02, 2, "pc.ram", bytesOf(0)), "ok"),
  record("xbzrle-encoding-0", "XBZRLE encoding 0", joined(word(0x60), bytesOf(0, 0, 0)), "stream.xbzrle-encoding"),
  record("xbzrle-encoding-2", "XBZRLE encoding 2", joined(word(0x60), bytesOf(2, 0, 0)), "stream.xbzrle-encoding"),
  record("xbzrle-4097", "XBZRLE of 4097 bytes", joined(word(0x60), bytesOf(1, 0x10, 1)), "stream.encoded-length"),
  record("zlib-8193", "8193 bytes of zlib", joined(word(0x120), bytesOf(0, 0, 0x20, 1)), "stream.encoded-length"),
  record("zlib-4gib", "4 GiB of zlib", joined(word(0x120), bytesOf(255, 255, 255, 255)), "stream.encoded-length"),
].map((spec) => (spec.name === "zero-named" ? { ...spec, options: { canonical: 0 } } : spec));

const continueFirst: Spec = {
  name: "continue-first",
  what: "the first page refers to the block of the one before",
  clause,
  base: "plain",
  bytes: plain.splice(plain.at("page0"), plain.at("page0"), joined(word(0x28), body)),
  expect: "stream.continue-without-block",
  at: plain.at("page0"),
};

/** XBZRLE and zlib whose content is wrong: told when the page is put together. */
const encoded = (name: string, what: string, flag: number, data: Uint8Array, expect = "stream.xbzrle-data"): Spec => {
  const head =
    flag === 0x60
      ? bytesOf(1, data.length >> 8, data.length % 256)
      : bytesOf(0, 0, data.length >> 8, data.length % 256);
  const bytes = plain.splice(plain.at("part0.eos"), plain.at("part0.eos"), joined(word(PAGE + flag), head, data));
  return { name, what, clause, base: "plain", bytes, expect, at: plain.at("part0.eos") };
};

const content: Spec[] = [
  encoded("xbzrle-no-count", "XBZRLE that ends behind a skip", 0x60, bytesOf(1)),
  encoded("xbzrle-cut", "XBZRLE that ends in a run", 0x60, bytesOf(1, 3, 9)),
  encoded("xbzrle-cut-number", "XBZRLE that ends in a number", 0x60, bytesOf(0x80)),
  encoded("xbzrle-long-number", "a number of three bytes", 0x60, bytesOf(0x80, 0x80, 1, 1, 1)),
  encoded("xbzrle-count-0", "a run of no bytes", 0x60, bytesOf(1, 0)),
  encoded("xbzrle-touching", "two runs that touch", 0x60, bytesOf(0, 1, 9, 0, 1, 9)),
  encoded("xbzrle-past", "a run behind the page's end", 0x60, bytesOf(0xff, 0x1f, 2, 9, 9)),
  encoded("xbzrle-skip-past", "a skip behind the page's end", 0x60, bytesOf(0xff, 0x7f, 1, 9)),
  encoded("zlib-garbage", "bytes that are no zlib", 0x120, bytesOf(1, 2, 3, 4), "stream.compressed-page"),
  encoded("zlib-empty", "no zlib at all", 0x120, bytesOf(), "stream.compressed-page"),
  encoded("zlib-short", "zlib of half a page", 0x120, stored(new Uint8Array(2048).fill(3)), "stream.compressed-page"),
  encoded(
    "zlib-long",
    "zlib of more than a page",
    0x120,
    stored(new Uint8Array(4097).fill(3)),
    "stream.compressed-page",
  ),
  encoded(
    "zlib-check",
    "zlib with a wrong checksum",
    0x120,
    stored(new Uint8Array(4096).fill(3)).fill(9, -1),
    "stream.compressed-page",
  ),
];

const lists = fieldSpecs(plain, "plain", "Block entry", [
  ["total-flag", "a block list without MEM_SIZE", "total", 19 * PAGE, "stream.no-block-list", "total"],
  ["total-2-53", "a total of 2^53", "total", 2n ** 53n + 4n, "stream.number-too-large", "total"],
  ["total-wraps", "a total of 2^64 - 4092", "total", 2n ** 64n - 4092n, "stream.number-too-large", "total"],
  ["total-0", "a total of 0", "total", 4, "stream.number-too-large", "block0.name.length"],
  ["total-short", "a total of one page less", "total", 18 * PAGE + 4, "stream.block-total", "block1.length"],
  ["total-long", "a total of one page more", "total", 20 * PAGE + 4, "stream.block-name", "ram.eos"],
  ["block-none", "a block without a name", "block0.name.length", 0, "stream.block-name", "block0.name.length"],
  ["block-odd", "a block of half pages", "block0.length", 2048, "stream.block-length", "block0.length"],
  ["block-2-53", "a block of 2^53", "block0.length", 2n ** 53n, "stream.block-length", "block0.length"],
  ["block-wraps", "a block of 2^64 - 4096", "block0.length", 2n ** 64n - 4096n, "stream.block-length", "block0.length"],
  ["block-larger", "a block larger than the total", "block0.length", 2 ** 40, "stream.block-total", "block0.length"],
]);

/** More memory than any machine has, in a file of nearly none: nothing may be allocated by it. */
const huge: Spec[] = (
  [
    ["huge", 2n ** 53n - 4096n],
    ["terabytes-32", 2n ** 45n],
  ] as const
).map(([name, length]) => ({
  name,
  what: `RAM of ${length} bytes`,
  clause: "Terms",
  base: "plain",
  bytes: plain.with("block0.length", length - 3n * 4096n).with("total", length + 4n).bytes,
  expect: "file.too-large",
  at: plain.at("block1.name.length"),
}));

const dirty = fieldSpecs(full, "everything", "The stream's framing", [
  [
    "dirty-extended",
    "dirty-bitmap flags of a newer QEMU",
    "dirty.flags",
    0x9c,
    "stream.dirty-bitmap-flags",
    "dirty.flags",
  ],
  [
    "dirty-2-52",
    "a dirty bitmap of 2^52 bytes",
    "dirty1.size",
    2n ** 52n,
    "stream.dirty-bitmap-too-large",
    "dirty1.flags",
  ],
  [
    "dirty-2-64",
    "a dirty bitmap of 2^64 - 1 bytes",
    "dirty1.size",
    2n ** 64n - 1n,
    "stream.dirty-bitmap-too-large",
    "dirty1.flags",
  ],
  ["dirty-instance", "dirty-bitmap instance 1", "dirty.instance", 1, "stream.section-instance", "dirty"],
  ["dirty-footer", "a dirty bitmap without footer", "dirty.footer", 0, "stream.bad-footer", "dirty.footer"],
  ["early-id", "an early FULL with the id of the RAM section", "early.id", 2, "stream.duplicate-section-id", "early"],
]);

const earlyLength: Spec = {
  name: "early-length",
  what: "an early FULL with a byte more than the vmdesc gives it",
  clause: "Tail",
  base: "everything",
  bytes: full.splice(full.at("early.footer"), full.at("early.footer"), bytesOf(4)),
  expect: "stream.early-section-length",
  at: full.at("timer") + 1,
};

const earlyEndless: Spec = {
  name: "early-endless",
  what: "an early FULL that no footer ends within 1 MiB",
  clause: "Tail",
  bytes: joined(full.cut(full.at("early.payload")), new Uint8Array(2 ** 20 + 100)),
  expect: "stream.early-section-too-long",
  at: full.at("early"),
};

const zeroRecords: Spec = {
  name: "dirty-tiny-records",
  what: "200000 dirty-bitmap records of one byte",
  clause: "The stream's framing",
  base: "everything",
  bytes: full.splice(full.at("dirty.eos"), full.at("dirty.eos"), new Uint8Array(200_000)),
  pages: streamDigest(true, true),
};

/** Pages that are zero but for one byte, at every place of a word: nothing takes them for zero. */
const almostZero = [0, 1, 2, 3, 4, PAGE - 4, PAGE - 3, PAGE - 2, PAGE - 1].map((at): Spec => {
  const page = new Uint8Array(PAGE);
  page[at] = 1;
  const holds = new Map(streamPages(false, true)).set(keyOf("pc.ram", 1), page);
  return {
    name: `almost-zero-${at}`,
    what: `a page whose only byte that is not zero is byte ${at}`,
    clause,
    base: "plain",
    bytes: plain.with("page1.bytes", page).bytes,
    pages: digestOf(holds),
  };
});

const earlies = (ids: readonly number[], vmdesc?: string): Uint8Array =>
  stream({
    devices: [],
    early: ids.map((id, i) => ({ name: `early${i}`, id, payload: bytesOf(i, id) })),
    ...(vmdesc === undefined ? {} : { vmdesc }),
  }).bytes;

const earlyOnes: Spec[] = [
  {
    name: "early-same-id",
    what: "an early device with the id of one before the last",
    clause: "Tail",
    bytes: earlies([20, 21, 20]),
    expect: "stream.duplicate-section-id",
    at: Buffer.from(earlies([20, 21, 20])).indexOf("early2") - 6,
  },
  {
    name: "early-alone-lies",
    what: "no device but early ones, and a vmdesc that tells another length of one",
    clause: "Tail",
    bytes: earlies([20, 21], JSON.stringify(vmdescOf([{ name: "early0", id: 20, payload: bytesOf(1, 2, 3) }]))),
    expect: "stream.early-section-length",
    at: Buffer.from(earlies([20, 21])).indexOf('{"configuration"') - 5,
  },
];

export const ramDefects: Spec[] = [
  ...almostZero,
  ...earlyOnes,
  ...records,
  continueFirst,
  ...content,
  ...lists,
  ...huge,
  ...dirty,
  earlyLength,
  earlyEndless,
  zeroRecords,
];
