/** docs/format.md, "BORD": a file of a big-endian host, sealed, and what can be wrong with what its seal says of that. */
import type { Sound } from "../marked.ts";
import { listed, resealed, sealed } from "../seals.ts";
import { libvirtHead, type MappedOptions, mapped, PAGE } from "../sound.ts";
import { mappedDigest, type Spec } from "../spec.ts";
import { type Again, asIs, turned } from "./seal-rows.ts";

const clause = "BORD";
const ram = "pc.ram";
const rom = "rom";
/** Two words of bits, the second with bits for 6 pages. */
const blocks = [
  { name: ram, pages: 70, present: { 0: 0x11, 1: 0x12, 5: 0x15, 15: 0x1f, 64: 0x40 } },
  { name: rom, pages: 3, present: { 0: 0, 1: 0x21, 2: 0 } },
];
const pages = mappedDigest(blocks);

export async function big(): Promise<{ readonly plain: Sound; readonly image: Sound }> {
  const before = libvirtHead({ format: 6, big: true }).bytes;
  return {
    plain: await sealed(mapped({ blocks, bigEndian: true }), { bigEndian: true }),
    image: await sealed(mapped({ blocks, bigEndian: true, before }), { bigEndian: true, base: before.length }),
  };
}

export function order({ plain, image }: Awaited<ReturnType<typeof big>>): Spec[] {
  const changed = (
    name: string,
    what: string,
    field: string,
    value: number | string | Uint8Array,
    again: Again,
    more: Partial<Spec>,
  ): Spec => ({
    name,
    what,
    clause,
    base: "big-endian",
    bytes: again(plain.with(field, value).bytes),
    ...more,
  });
  const unknown = { expect: "seal.unknown-critical", at: plain.at("BORD.magic"), verify: ["seal.unknown-critical"] };
  // Nothing tells the order then but the pages: bits stand behind the blocks' ends.
  const damaged = (code: string) => ({ expect: "file.byte-order", verify: ["damaged", code, "file.byte-order"] });
  const bits = (first: number) => Uint8Array.of(0, 0, 0, 0, 0, 0, 0x80, first, 0, 0, 0, 0, 0, 0, 0, 1);
  const one = (value: number) => Uint8Array.of(0, 0, 0, value);
  return [
    {
      name: "big-endian",
      what: "a sealed file whose bitmaps stand big-endian",
      clause,
      bytes: plain.bytes,
      pages,
      verify: ["sealed"],
    },
    {
      name: "big-endian-image",
      what: "the same in a libvirt image",
      clause,
      bytes: image.bytes,
      pages,
      verify: ["sealed"],
    },
    {
      name: "big-endian-other-head",
      what: "the same, whose libvirt header was written anew on another host: the seal knows better",
      clause,
      base: "big-endian-image",
      bytes: Uint8Array.from([
        ...libvirtHead({ format: 6 }).bytes,
        ...image.bytes.subarray(libvirtHead().bytes.length),
      ]),
      pages,
      verify: ["sealed"],
    },
    changed("bord-0", "an order of 0", "BORD.payload", one(0), resealed, unknown),
    changed("bord-2", "an order of 2", "BORD.payload", one(2), resealed, unknown),
    changed("bord-little", "1 in the wrong order", "BORD.payload", Uint8Array.of(1, 0, 0, 0), resealed, unknown),
    changed(
      "bord-turned",
      "a turned byte, which its digest finds",
      "BORD.payload",
      turned(plain, "BORD.payload"),
      asIs,
      damaged("seal.damaged-section"),
    ),
    changed("bord-magic", "another magic", "BORD.magic", "fram", resealed, damaged("seal.damaged-section")),
    changed("bord-type", "another type", "BORD.type", "bord", resealed, damaged("seal.damaged-section")),
    changed("bord-length", "another length", "BORD.length", 5, resealed, damaged("seal.damaged-section")),
    changed("dir-bord-short", "an order of 3 bytes", "dir.BORD.length", 19, shorter(plain), unknown),
    changed("dir-bord-empty", "an order of no bytes", "dir.BORD.length", 16, shorter(plain), unknown),
    changed("dir-bord-long", "an order of 5 bytes", "dir.BORD.length", 21, shorter(plain), unknown),
    changed(
      "dir-bord-large",
      "an order of 5000 bytes",
      "dir.BORD.length",
      5016,
      shorter(plain),
      damaged("seal.damaged-section"),
    ),
    changed(
      "dir-bord-sha",
      "another digest",
      "dir.BORD.sha",
      new Uint8Array(32),
      listed,
      damaged("seal.damaged-section"),
    ),
    changed(
      "dir-bord-not-critical",
      "an order that is not said to be critical: it is the order all the same",
      "dir.BORD.flags",
      0,
      listed,
      {
        pages,
        verify: ["sealed"],
      },
    ),
    changed(
      "dir-bord-renamed",
      "a critical section in its place that is not known",
      "dir.BORD.type",
      "BORE",
      listed,
      unknown,
    ),
    changed(
      "dir-bord-gone",
      "none: the bitmaps are read in the usual order, and no digest fits",
      "dir.BORD.type",
      "bord\0\0\0\0",
      listed,
      {
        verify: [
          "damaged",
          `seal.damaged-page ${ram} 55 +2`,
          `seal.damaged-page ${ram} 61`,
          `seal.damaged-node ${rom} 0 +2`,
        ],
      },
    ),
    twice(plain),
    changed("big-bit-cleared", "a bit that was set", "block0.bitmap", bits(0x21), asIs, {
      verify: ["damaged", "seal.damaged-region", `seal.damaged-bitmap ${ram} 1`],
    }),
    changed("big-bit-set", "a bit that was clear", "block0.bitmap", bits(0x27), asIs, {
      verify: ["damaged", "seal.damaged-region", `seal.damaged-bitmap ${ram} 2`],
    }),
    changed(
      "big-bits-swapped",
      "the bits of a block in the usual order",
      "block1.bitmap",
      Uint8Array.of(7, 0, 0, 0, 0, 0, 0, 0),
      asIs,
      {
        verify: ["damaged", "seal.damaged-region", `seal.damaged-node ${rom} 0 +2`],
      },
    ),
  ];
}

/** Files without a seal: what their pages tell of the order (docs/format.md, "Which order"). */
export function unsealedOrders(): Spec[] {
  const one = "ram";
  const spec = (name: string, what: string, options: MappedOptions, more: Partial<Spec>): Spec => ({
    name,
    what,
    clause: "Which order",
    bytes: mapped(options).bytes,
    ...more,
  });
  const refused = { expect: "file.byte-order", verify: ["none", "file.byte-order"] };
  const at = (...numbers: readonly [page: number, fill: number][]) => [
    { name: one, pages: 64, present: Object.fromEntries(numbers) },
  ];
  // Read in the other order, pages 0, 9 and 18 are 56, 49 and 42; 24 is 32.
  const some = at([0, 1], [9, 2], [18, 3]);
  const past = [{ name: one, pages: 66, present: { 0: 1, 9: 2, 64: 3 } }];
  return [
    spec(
      "order-zeros",
      "pages that are said to be there and are zero, which they would not be in the other order",
      { blocks: some, bigEndian: true },
      refused,
    ),
    spec(
      "order-past-end",
      "bits behind the block's end, where none would be in the other order",
      { blocks: past, bigEndian: true },
      refused,
    ),
    spec("order-usual", "the same in the usual order", { blocks: past }, { pages: mappedDigest(past) }),
    spec(
      "order-zero-present",
      "a page that is there and zero, in the usual order",
      { blocks: at([0, 1], [9, 0]) },
      { pages: mappedDigest(at([0, 1], [9, 0])) },
    ),
    {
      ...spec("order-stale", "stale bytes where pages would be in the other order", {}, { pages: mappedDigest(some) }),
      bytes: [56, 49, 42].reduce(
        (file, page) => file.with(`block0.page${page}`, new Uint8Array(PAGE).fill(page)),
        mapped({ blocks: some }),
      ).bytes,
    },
    spec(
      "order-zero-in-both",
      "as order-zeros, with a page that is there and zero in both orders: nothing stands where none is in the other",
      { blocks: at([0, 1], [24, 0], [32, 0]), bigEndian: true },
      refused,
    ),
    {
      ...spec(
        "order-neither",
        "as order-zero-in-both, with stale bytes where no page is in the other order: neither fits",
        {},
        { pages: mappedDigest(at([56, 56], [49, 0], [24, 0], [32, 0])) },
      ),
      bytes: mapped({ blocks: at([0, 1], [9, 2], [24, 0], [32, 0]), bigEndian: true }).with(
        "block0.page56",
        new Uint8Array(PAGE).fill(56),
      ).bytes,
    },
    spec(
      "order-past-both",
      "as order-zeros, with bits behind the block's end in both orders",
      { blocks: [...some, { name: "rom", pages: 2, present: { 0: 1, 56: 1 } }], bigEndian: true },
      { pages: mappedDigest([...at([56, 0], [49, 0], [42, 0]), { name: "rom", pages: 2, present: { 0: 1 } }]) },
    ),
  ];
}

/** BORD says what its entry does of its length, and all digests are right. */
const shorter =
  (plain: Sound): Again =>
  (bytes) => {
    const { offset } = plain.field("dir.BORD.length");
    const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(offset);
    new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(plain.at("BORD.length"), length - 16n);
    return resealed(bytes);
  };

/** A second order, in the place of NODS' entry, that says something else. */
function twice(plain: Sound): Spec {
  const at = plain.at("NODS.magic");
  const bytes = plain.with("dir.NODS.type", "BORD").with("NODS.type", "BORD").bytes;
  return {
    name: "bord-twice",
    what: "two orders, one of which is none",
    clause,
    base: "big-endian",
    bytes: resealed(bytes),
    expect: "seal.unknown-critical",
    at,
    verify: ["seal.unknown-critical"],
  };
}
