/** docs/format.md, "multifd channels": a greeting and packets, each with one defect. */
import { digestOf, keyOf } from "../contents.ts";
import { Marked, type Sound } from "../marked.ts";
import { PAGE } from "../sound.ts";
import { fieldSpecs, type Spec } from "../spec.ts";

const clause = "multifd channels";
const magic = 0x11223344;
const headerBytes = 320 + 8 * 128;

interface Packet {
  readonly flags?: number;
  /** Defaults to what the pages take. */
  readonly length?: number;
  readonly block: string;
  /** Page and the byte it is filled with. */
  readonly pages: readonly (readonly [page: number, fill: number])[];
  readonly zero: readonly number[];
}

const first: Packet = {
  block: "ram",
  pages: [
    [5, 1],
    [199, 2],
  ],
  zero: [7, 8, 3],
};
const second: Packet = { block: "r", pages: [[2, 9]], zero: [0] };

function channel(...packets: readonly Packet[]): Sound {
  const out = new Marked().u32("magic", magic).u32("version", 1).bytes("uuid", new Uint8Array(16)).u8("channel", 1);
  out.upTo(64);
  packets.forEach((packet, n) => {
    const at = out.length;
    const { block, pages, zero, flags = 0, length = pages.length * PAGE } = packet;
    const mark = (name: string) => `${n}.${name}`;
    out.u32(mark("magic"), magic).u32(mark("version"), 1).u32(mark("flags"), flags).u32(mark("most"), 128);
    out
      .u32(mark("pages"), pages.length)
      .u32(mark("length"), length)
      .u64(mark("number"), n + 1);
    out
      .u32(mark("zero"), zero.length)
      .upTo(at + 64)
      .text(mark("block"), block)
      .upTo(at + 320);
    [...pages.map(([page]) => page), ...zero].forEach((page, i) => {
      out.u64(mark(`place${i}`), page * PAGE);
    });
    out.upTo(at + headerBytes);
    for (const [, fill] of pages) out.bytes(null, new Uint8Array(PAGE).fill(fill));
  });
  return out.finish();
}

const pages = digestOf(
  new Map([
    [keyOf("ram", 5), new Uint8Array(PAGE).fill(1)],
    [keyOf("ram", 199), new Uint8Array(PAGE).fill(2)],
    [keyOf("r", 2), new Uint8Array(PAGE).fill(9)],
  ]),
);

const sound = channel(first, second);
const at = 64;

export const multifdDefects: Spec[] = [
  { name: "channel", what: "two packets", clause, bytes: sound.bytes, pages },
  {
    name: "sync",
    what: "a packet that ends a round, with the length of an older one, as QEMU 7.2 leaves it",
    clause,
    bytes: channel(first, second, { flags: 1, length: 8192, block: "", pages: [], zero: [] }).bytes,
    pages,
  },
  { name: "empty", what: "a channel that says nothing", clause, bytes: new Uint8Array(0), pages: digestOf(new Map()) },
  ...fieldSpecs(sound, "channel", clause, [
    ["greeting-magic", "another magic in the greeting", "magic", 0x11223345, "stream.multifd-greeting", 0],
    ["greeting-version", "greeting of version 2", "version", 2, "stream.multifd-greeting", 0],
    ["packet-magic", "another magic", "0.magic", 0x11223345, "stream.multifd-packet", at],
    ["packet-version", "version 2", "0.version", 2, "stream.multifd-packet", at],
    ["compressed", "packed pages", "0.flags", 2, "stream.multifd-flags", at],
    ["device-state", "device state", "0.flags", 0x40, "stream.multifd-flags", at],
    ["flags-max", "all flags", "0.flags", 0xffffffff, "stream.multifd-flags", at],
    ["pages-129", "more pages than fit", "0.pages", 129, "stream.multifd-packet", at],
    ["zero-127", "more zero pages than fit", "0.zero", 127, "stream.multifd-packet", at],
    ["pages-max", "2^32 - 1 pages", "0.pages", 0xffffffff, "stream.multifd-packet", at],
    ["length", "a length that is not that of the pages", "0.length", PAGE, "stream.multifd-packet", at],
    ["length-0", "no length", "0.length", 0, "stream.multifd-packet", at],
    ["block", "a block that is not there", "0.block", "raM", "stream.unknown-block", at],
    ["place-end", "a page behind its block", "0.place1", 200 * PAGE, "stream.page-out-of-block", at],
    ["place-middle", "a page that begins in another", "0.place1", PAGE + 1, "stream.page-out-of-block", at],
    ["place-2-53", "a page at 2^53", "0.place1", 2n ** 53n, "stream.page-out-of-block", at],
    ["zero-place", "a zero page behind its block", "0.place4", 200 * PAGE, "stream.page-out-of-block", at],
  ]),
  ...(
    [
      ["cut-greeting", "a channel that ends in its greeting", 40],
      ["cut-header", "a channel that ends in a packet's header", 64 + 500],
      ["cut-pages", "a channel that ends in a page", 64 + headerBytes + PAGE + 1],
    ] as const
  ).map(
    ([name, what, length]): Spec => ({
      name,
      what,
      clause,
      base: "channel",
      bytes: sound.cut(length),
      expect: "stream.multifd-cut",
      at: length,
    }),
  ),
];
