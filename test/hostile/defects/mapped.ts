/** docs/format.md, "Block entry", "Bitmap", "Placement", "What a reader must check". */
import { Marked } from "../marked.ts";
import { type Block, blocks, deviceTail, footer, frame, mapped, PAGE, pageOf, section } from "../sound.ts";
import { fieldSpecs, joined, mappedDigest, type Spec } from "../spec.ts";

const file = mapped();
const pagesEnd = (block: number) => file.at(`block${block}.page0`) + (blocks[block]?.pages ?? 0) * PAGE;
const max = 2n ** 64n;
const two53 = 2n ** 53n;

function entry(i: 0 | 1): Spec[] {
  const f = (name: string) => `block${i}.${name}`;
  const bytes = (blocks[i]?.pages ?? 0) * PAGE;
  const header = f("version");
  return fieldSpecs(file, "mapped", "Block entry", [
    [`name-none-${i}`, "a block without a name", f("name.length"), 0, "stream.block-name", f("name.length")],
    [
      `length-odd-${i}`,
      "a block of half a page more",
      f("length"),
      bytes + PAGE / 2,
      "stream.block-length",
      f("length"),
    ],
    [`length-more-${i}`, "a block longer than all of them", f("length"), 20 * PAGE, "stream.block-total", f("length")],
    [`length-2-53-${i}`, "a length of 2^53", f("length"), two53, "stream.block-length", f("length")],
    [`length-max-${i}`, "a length of 2^64 - 4096", f("length"), max - 4096n, "stream.block-length", f("length")],
    [`version-2-${i}`, "mapped-ram header version 2", f("version"), 2, "stream.mapped-version", header],
    [
      `version-max-${i}`,
      "mapped-ram header version 2^32 - 1",
      f("version"),
      0xffffffff,
      "stream.mapped-version",
      header,
    ],
    [
      `page-size-0-${i}`,
      "page size 0: QEMU 10 divides by it",
      f("pageSize"),
      0,
      "stream.mapped-page-size",
      f("pageSize"),
    ],
    [
      `page-size-8192-${i}`,
      "page size 8192: QEMU 10 loads half of the memory",
      f("pageSize"),
      8192,
      "stream.mapped-page-size",
      f("pageSize"),
    ],
    [`page-size-1-${i}`, "page size 1", f("pageSize"), 1, "stream.mapped-page-size", f("pageSize")],
    [`page-size-max-${i}`, "page size 2^64 - 1", f("pageSize"), max - 1n, "stream.mapped-page-size", f("pageSize")],
    [
      `bitmap-outside-${i}`,
      "a bitmap behind the file's end",
      f("bitmapOffset"),
      file.bytes.length,
      "file.bitmap-outside",
      file.bytes.length,
    ],
    [
      `bitmap-half-outside-${i}`,
      "a bitmap that ends behind the file's end",
      f("bitmapOffset"),
      file.bytes.length - 4,
      "file.bitmap-outside",
      file.bytes.length - 4,
    ],
    [`bitmap-far-${i}`, "a bitmap at 2^53 - 1, which ends past it", f("bitmapOffset"), two53 - 1n, "file.too-large"],
    [`bitmap-2-53-${i}`, "a bitmap at 2^53", f("bitmapOffset"), two53, "stream.number-too-large", f("bitmapOffset")],
    [
      `bitmap-wraps-${i}`,
      "a bitmap whose end wraps to 0",
      f("bitmapOffset"),
      max - 8n,
      "stream.number-too-large",
      f("bitmapOffset"),
    ],
    [`bitmap-on-head-${i}`, "a bitmap over the stream's header", f("bitmapOffset"), 0, "file.overlap", 0],
    [
      `bitmap-on-pages-${i}`,
      "a bitmap over the pages",
      f("bitmapOffset"),
      file.at("block0.page2"),
      "file.overlap",
      file.at("block0.page2"),
    ],
    [
      `bitmap-on-tail-${i}`,
      "a bitmap over the device state",
      f("bitmapOffset"),
      file.at("timer.payload"),
      "file.overlap",
      file.at("timer.payload"),
    ],
    [
      `pages-past-end-${i}`,
      "pages behind the file's end: QEMU with multifd crashes",
      f("pagesOffset"),
      2 ** 20,
      "stream.cut",
      2 ** 20 + bytes,
    ],
    [
      `pages-2-53-${i}`,
      "pages whose end is past 2^53",
      f("pagesOffset"),
      two53 - 4096n,
      "stream.number-too-large",
      f("bitmapOffset"),
    ],
    [
      `pages-wrap-${i}`,
      "pages whose end wraps to a small number",
      f("pagesOffset"),
      max - 4096n,
      "stream.number-too-large",
      f("bitmapOffset"),
    ],
    [
      `pages-on-head-${i}`,
      "pages over the header",
      f("pagesOffset"),
      0,
      i === 0 ? "stream.block-length" : "stream.ram-flags",
      // The next entry is read in page 15, which is filled with 1f; the tail in a page of zeros.
      i === 0 ? bytes + 32 : bytes,
    ],
  ]).concat({
    name: `length-0-${i}`,
    what: "a block of no length: its entry's pages end where they begin",
    clause: "Block entry",
    base: "mapped",
    bytes: file.with(f("length"), 0).bytes,
    // The next entry is read where the pages begin: a name of 17 bytes in a page of 11, none in a page of zeros.
    expect: i === 0 ? "stream.block-length" : "stream.block-name",
    at: file.at(f("page0")) + (i === 0 ? 18 : 0),
  });
}

/** Blocks at places of their own; everything is written over what is there, so that anything can overlap. */
interface Placed extends Block {
  readonly at: number;
  readonly bitmapAt?: number;
}

export function placed(list: readonly Placed[], size = 0): Uint8Array {
  const head = section(frame(new Marked(), { capabilities: ["mapped-ram"] }), "ram", 1, 2, "ram", 4);
  head.u64(null, list.reduce((sum, { pages }) => sum + pages * PAGE, 0) + 4);
  const pieces: [position: number, bytes: Uint8Array][] = [];
  let position = 0;
  let out = head;
  for (const { name, pages, present, at, bitmapAt } of list) {
    const bitmap = new Uint8Array(Math.ceil(pages / 64) * 8);
    for (const page of Object.keys(present).map(Number))
      bitmap[page >> 3] = (bitmap[page >> 3] ?? 0) | (1 << (page % 8));
    out.name(null, name).u64(null, pages * PAGE);
    const behind = position + out.length + 28;
    out
      .u32(null, 1)
      .u64(null, PAGE)
      .u64(null, bitmapAt ?? behind)
      .u64(null, at);
    pieces.push([position, out.finish().bytes], [bitmapAt ?? behind, bitmap]);
    for (const [page, fill] of Object.entries(present))
      pieces.push([at + Number(page) * PAGE, pageOf(Number(page), fill)]);
    position = at + pages * PAGE;
    out = new Marked();
  }
  footer(out.u64(null, 0x10), "ram", 2);
  footer(out.u8(null, 3).u32(null, 2).u64(null, 0x10), "end", 2);
  pieces.push([position, deviceTail(out, {}).finish().bytes]);
  const bytes = new Uint8Array(pieces.reduce((end, [at, { length }]) => Math.max(end, at + length), size));
  for (const [at, piece] of pieces) bytes.set(piece, at);
  return bytes;
}

const a: Block = { name: "a", pages: 4, present: { 0: 1, 3: 2 } };
const b: Block = { name: "b", pages: 4, present: { 3: 3 } };
const three = [
  { ...a, at: 40960 },
  { ...b, at: 20480 },
  { name: "c", pages: 1, present: { 0: 9 }, at: 4096 },
];

const placements: Spec[] = [
  {
    name: "descending",
    what: "pages of later blocks before those of earlier ones",
    clause: "Placement",
    bytes: placed(three),
    pages: mappedDigest(three),
  },
  {
    name: "bitmap-behind",
    what: "a bitmap behind the stream's end, unaligned",
    clause: "Placement",
    bytes: placed(
      [
        { ...a, at: 4096, bitmapAt: 45001 },
        { ...b, at: 24576 },
      ],
      50000,
    ),
    pages: mappedDigest([a, b]),
  },
  {
    name: "entry-in-pages",
    what: "a block's entry among the pages of the next one",
    clause: "Placement",
    bytes: placed([
      { ...a, at: 4096 },
      { ...b, at: 4096 + 3 * PAGE },
    ]),
    expect: "file.overlap",
    at: 4096 + 3 * PAGE,
  },
  {
    name: "same-pages",
    what: "two blocks whose pages are the same bytes",
    clause: "Placement",
    bytes: placed([
      { ...a, at: 8192 },
      { ...b, pages: 5, at: 8192 },
    ]),
    expect: "file.overlap",
    at: 8192,
  },
  {
    name: "same-bitmap",
    what: "two blocks with one bitmap",
    clause: "Placement",
    bytes: placed([
      { ...a, at: 4096, bitmapAt: 300 },
      { ...b, at: 24576, bitmapAt: 300 },
    ]),
    expect: "file.overlap",
    at: 300,
  },
  {
    name: "tail-in-pages",
    what: "the device state among the pages of the first block",
    clause: "Placement",
    bytes: placed([
      { ...a, pages: 9, at: 8192 },
      { ...b, pages: 1, present: {}, at: 12288 },
    ]),
    expect: "file.overlap",
    at: 12288,
  },
];

function unaligned(): Uint8Array {
  const at = file.at("block1.page0");
  const moved = file.with("block1.pagesOffset", at + 512);
  return moved.splice(at, at, new Uint8Array(512));
}

const tails = fieldSpecs(file, "mapped", "Tail", [
  ["page-record", "a PAGE record in the RAM section's START", "ram.eos", 0x08, "stream.page-in-mapped-ram", "ram.eos"],
  ["zero-record", "a ZERO record in a PART", "part.eos", 0x22, "stream.page-in-mapped-ram", "part.eos"],
  ["eos-address", "an EOS with an address", "ram.eos", 0x1010, "stream.ram-flags", "ram.eos"],
  ["second-list", "a block list in a PART", "part.eos", 0x1004, "stream.second-block-list", "part.eos"],
  ["no-flag", "a record without a flag", "end.eos", 0, "stream.ram-flags", "end.eos"],
  ["tail-footer", "the START's footer has another id", "ram.footer.id", 0, "stream.bad-footer", "ram.footer"],
  ["end-as-part", "a second PART instead of the END", "end", 2, "ok"],
]).map((spec): Spec => (spec.expect === "ok" ? { ...spec, pages: mappedDigest() } : spec));

const cleared = file.with("block0.bitmap", new Uint8Array(8)).with("block1.bitmap", new Uint8Array(8));
const many = (count: number): Block[] =>
  Array.from({ length: count }, (_, i) => ({ name: `b${i}`, pages: 1, present: i === 0 ? { 0: 1 } : {} }));

const files: Spec[] = [
  {
    name: "mapped",
    what: "a mapped-ram file as QEMU writes it",
    clause: "The head",
    bytes: file.bytes,
    pages: mappedDigest(),
    verify: ["none"],
  },
  {
    name: "version-0",
    what: "mapped-ram headers of version 0",
    clause: "Block entry",
    base: "mapped",
    bytes: file.with("block0.version", 0).with("block1.version", 0).bytes,
    pages: mappedDigest(),
  },
  { name: "no-part", what: "no PART", clause: "Tail", bytes: mapped({ part: false }).bytes, pages: mappedDigest() },
  {
    name: "no-end",
    what: "a PART and no END",
    clause: "Tail",
    bytes: mapped({ end: false, switchover: false }).bytes,
    pages: mappedDigest(),
  },
  {
    name: "no-part-no-end",
    what: "neither PART nor END: the FULLs are early ones, and nothing ends them",
    clause: "Tail",
    bytes: mapped({ end: false, part: false, switchover: false }).bytes,
    expect: "stream.cut",
    at: mapped({ end: false, part: false, switchover: false }).bytes.length,
  },
  {
    name: "name-255",
    what: "a block name of 255 bytes, all that a byte can be",
    clause: "Block entry",
    bytes: mapped({
      blocks: [
        {
          name: Array.from({ length: 255 }, (_, i) => String.fromCharCode(i + 1)).join(""),
          pages: 2,
          present: { 1: 5 },
        },
      ],
    }).bytes,
    pages: mappedDigest([
      { name: Array.from({ length: 255 }, (_, i) => String.fromCharCode(i + 1)).join(""), pages: 2, present: { 1: 5 } },
    ]),
  },
  {
    name: "name-twice",
    what: "two blocks of one name",
    clause: "Block entry",
    bytes: mapped({ blocks: [a, { ...b, name: "a" }] }).bytes,
    expect: "stream.duplicate-block",
    at: mapped({ blocks: [a, { ...b, name: "a" }] }).at("block1.name.length"),
  },
  {
    name: "padding-bits",
    what: "bits set behind the block's end",
    clause: "Bitmap",
    base: "mapped",
    bytes: file
      .with("block1.bitmap", 0x07ff_ffffn * 2n ** 32n + 0xffffffffn)
      .with("block1.bitmap", Uint8Array.of(0xff, 255, 255, 255, 255, 255, 255, 255)).bytes,
    pages: mappedDigest(),
  },
  {
    name: "all-clear",
    what: "no bit is set: background-snapshot with mapped-ram",
    clause: "What a reader must check",
    base: "mapped",
    bytes: cleared.bytes,
    expect: "file.empty-bitmaps",
  },
  {
    name: "stale",
    what: "bytes under clear bits, which are stale",
    clause: "Bitmap",
    base: "mapped",
    bytes: file.with("block0.page3", new Uint8Array(PAGE).fill(0x55)).bytes,
    pages: mappedDigest(),
  },
  {
    name: "unaligned",
    what: "pages that are not at a multiple of the page size",
    clause: "Placement",
    bytes: unaligned(),
    expect: "file.pages-unaligned",
    at: file.at("block1.page0") + 512,
  },
  {
    name: "shared",
    what: "x-ignore-shared: a guest address in each entry, shared blocks absent",
    clause: "Block entry",
    bytes: mapped({ capabilities: ["x-ignore-shared", "mapped-ram"], guestAddress: true }).bytes,
    pages: mappedDigest(),
  },
  {
    name: "shared-address",
    what: "a guest address of 2^53",
    clause: "Block entry",
    bytes: mapped({ capabilities: ["x-ignore-shared", "mapped-ram"], guestAddress: true }).with("block1.address", two53)
      .bytes,
    expect: "stream.number-too-large",
    at: mapped({ capabilities: ["x-ignore-shared", "mapped-ram"], guestAddress: true }).at("block1.address"),
  },
  {
    name: "shared-empty",
    what: "x-ignore-shared with empty bitmaps: all of it is elsewhere",
    clause: "Block entry",
    bytes: mapped({
      capabilities: ["x-ignore-shared", "mapped-ram"],
      guestAddress: true,
      blocks: [{ ...a, present: {} }],
    }).bytes,
    pages: mappedDigest([]),
  },
  {
    name: "no-vmdesc",
    what: "no vmdesc",
    clause: "Tail",
    bytes: mapped({ vmdesc: null }).bytes,
    pages: mappedDigest(),
  },
  {
    name: "trailing",
    what: "bytes behind the stream's end",
    clause: "Placement",
    bytes: joined(file.bytes, new Uint8Array(5000).fill(0x7e)),
    pages: mappedDigest(),
  },
  {
    name: "bits-14",
    what: "pages of 16 KiB",
    clause: "Configuration",
    bytes: mapped({ pageBits: 14, pageSize: 16384, blocks: [a] }).bytes,
    pages: mappedDigest([a], 16384),
  },
  {
    name: "early",
    what: "an early FULL",
    clause: "Tail",
    bytes: mapped().splice(file.at("part"), file.at("part"), new Uint8Array(0)),
    pages: mappedDigest(),
  },
  {
    name: "blocks-300",
    what: "300 blocks",
    clause: "Block entry",
    bytes: mapped({ blocks: many(300) }).bytes,
    pages: mappedDigest(many(300)),
  },
];

const cuts: Spec[] = [
  ["header", 6, "stream.cut"],
  ["configuration", file.at("machine") + 3, "stream.cut"],
  ["total", file.at("total") + 3, "stream.cut"],
  ["entry", file.at("block0.pagesOffset") + 1, "stream.cut"],
  ["bitmap", file.at("block0.bitmap") + 4, "stream.cut"],
  ["pages", file.at("block0.page9"), "stream.cut"],
  ["pages-end", pagesEnd(1), "stream.cut"],
  ["part", file.at("part.eos"), "stream.cut"],
  ["device", file.at("timer.payload") + 2, "stream.cut"],
  ["eof", file.at("eof"), "stream.cut"],
  ["vmdesc-length", file.at("vmdesc.length") + 2, "stream.cut"],
  ["vmdesc", file.at("vmdesc.json") + 40, "stream.cut"],
].map(([name, length, expect]): Spec => {
  const cut = Number(length);
  const next = ["bitmap", "pages"].includes(String(name)) ? pagesEnd(0) : cut;
  return {
    name: `cut-${name}`,
    what: `the file is cut in its ${name}`,
    clause: "What a reader must check",
    base: "mapped",
    bytes: file.cut(cut),
    expect: String(expect),
    at: next,
  };
});

const noRam = joined(file.cut(file.at("ram")), Uint8Array.of(0));

export const mappedDefects: Spec[] = [
  ...files,
  {
    name: "no-ram",
    what: "no RAM section, although the capability says that pages have places",
    clause: "The head",
    bytes: noRam,
    expect: "file.not-mapped-ram",
  },
  ...entry(0),
  ...entry(1),
  ...placements,
  ...tails,
  ...cuts,
  {
    name: "cut-after-eof",
    what: "the file is cut right behind EOF: its device state cannot be told apart, QEMU loads it",
    clause: "Tail",
    base: "mapped",
    bytes: file.cut(file.at("vmdesc")),
    pages: mappedDigest(),
  },
];
