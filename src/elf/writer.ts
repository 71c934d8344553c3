/**
 * An ELF core of a guest's physical memory, as QEMU's dump-guest-memory writes it without paging:
 *
 *     ELF header | PT_NOTE, PT_LOAD of the kernel's image, one PT_LOAD a physical range | notes | the ranges' bytes, each from a
 *     multiple of 4096 on
 *
 * Zero pages are holes of the file. Source: the ELF-64 object file format; Linux's fs/proc/vmcore.c for what readers expect.
 */

import { LittleEndian } from "../bytes/little-endian.ts";
import { alignUp } from "../bytes/numbers.ts";
import { FixedramError } from "../errors.ts";
import type { KernelImage } from "../machine/kernel-image.ts";
import type { PhysicalRange } from "../machine/memory-map.ts";
import { type ImageFile, PhysicalImage } from "../physical/image.ts";

export const ElfMachine = { x86_64: 62, aarch64: 183 } as const;

const headerBytes = 64;
const segmentBytes = 56;
const alignment = 4096;
/** p_align. crash takes a core whose segments claim an alignment for a netdump, which knows no KASLR. */
const notAligned = 0;
/** PN_XNUM: as many and more would be written another way. */
const mostSegments = 0xffff;
const PT_LOAD = 1;
const PT_NOTE = 4;
const ET_CORE = 4;
const readable = 4;

export interface ElfParts {
  /** e_machine. */
  readonly machine: number;
  /** By address. */
  readonly ranges: readonly PhysicalRange[];
  /** Whole notes, padded. */
  readonly notes: readonly Uint8Array[];
  /** The kernel's code and data by virtual address: a segment of its own over the same bytes, as /proc/vmcore has it. */
  readonly kernel: KernelImage | null;
}

export class ElfWriter {
  /** Takes the pages. */
  readonly image: PhysicalImage;
  /** Bytes. */
  readonly size: number;
  readonly #file: ImageFile;
  readonly #head: Uint8Array;

  /** @throws `file.too-many-ranges` */
  constructor(file: ImageFile, { machine, ranges, notes, kernel }: ElfParts) {
    const home = kernel === null ? null : rangeOf(kernel, ranges);
    const segments = ranges.length + (home === null ? 1 : 2);
    if (segments >= mostSegments) {
      throw new FixedramError("file.too-many-ranges", "the guest's memory has more ranges than an ELF core can list", {
        expected: `at most ${mostSegments - 2}`,
        found: String(ranges.length),
        hint: "Give a map with fewer ranges: --map.",
      });
    }
    const noteBytes = notes.reduce((sum, { length }) => sum + length, 0);
    const notesAt = headerBytes + segments * segmentBytes;
    const head = new LittleEndian(notesAt + noteBytes);
    putHeader(head, machine, segments);
    putSegment(head, PT_NOTE, notesAt, 0, noteBytes, 4);
    let position = alignUp(notesAt + noteBytes, alignment);
    const places = ranges.map((range) => {
      const place = { range, position };
      position = alignUp(position + range.length, alignment);
      return place;
    });
    const inside = places.find(({ range }) => range === home);
    if (kernel !== null && inside !== undefined) {
      const at = inside.position + kernel.start - inside.range.start;
      putSegment(head, PT_LOAD, at, kernel.start, kernel.length, notAligned, kernel.virtual);
    }
    for (const place of places) {
      putSegment(head, PT_LOAD, place.position, place.range.start, place.range.length, notAligned);
    }
    for (const each of notes) head.put(each);
    const last = places.at(-1);
    this.size = last === undefined ? head.bytes.length : last.position + last.range.length;
    this.image = new PhysicalImage(file, places);
    this.#file = file;
    this.#head = head.bytes;
  }

  /** When all pages have been given. Bringing it to disk is the caller's. */
  complete(): void {
    this.#file.write(this.#head, 0);
    this.#file.truncate(this.size);
  }
}

function putHeader(out: LittleEndian, machine: number, segments: number): void {
  // Magic, 64 bits, little-endian, version 1; System V.
  out.put(Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, 1, 1)).skip(9);
  out.u16(ET_CORE).u16(machine).u32(1).u64(0).u64(headerBytes).u64(0).u32(0);
  out.u16(headerBytes).u16(segmentBytes).u16(segments).u16(0).u16(0).u16(0);
}

/** The range that holds all of the kernel's image, where file and addresses agree within a page. */
function rangeOf({ virtual, start, length }: KernelImage, ranges: readonly PhysicalRange[]): PhysicalRange | null {
  const range = ranges.find((each) => start >= each.start && start + length <= each.start + each.length);
  if (range === undefined || (start - range.start) % alignment !== Number(virtual % BigInt(alignment))) return null;
  return range;
}

/** The virtual address is 0: that of physical memory is what page tables say, and readers know so by QEMU's notes. */
function putSegment(
  out: LittleEndian,
  type: number,
  position: number,
  address: number,
  length: number,
  align: number,
  virtual = 0n,
): void {
  const flags = type === PT_LOAD ? readable + 2 + 1 : readable;
  out.u32(type).u32(flags).u64(position).u64(virtual).u64(address).u64(length).u64(length).u64(align);
}
