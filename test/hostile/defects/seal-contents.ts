/** docs/format.md, "Page digests" and "States": pages, bits, tables and ends that are not as they were sealed. */
import type { Sound } from "../marked.ts";
import { devices, mapped, PAGE } from "../sound.ts";
import type { Spec } from "../spec.ts";
import { asIs, pages, type Row, specs } from "./seal-rows.ts";

export function contents(file: Sound): Spec[] {
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
export function overwritten(file: Sound): Spec {
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
