/** Memory maps of any content: taken when they are sound, and an ELF core, LiME file or raw image holds what they say. */
import type { PhysicalRange } from "../../../../src/machine/memory-map.ts";
import type { RamBlock } from "../../../../src/pages/block.ts";
import { SparseFile } from "../../sparse-file.ts";
import type { Target } from "../engine.ts";
import type { FuzzLib } from "../fuzz-lib.ts";
import { Choices, codeOf } from "./shared.ts";

const PAGE = 1024;
const blocks: readonly RamBlock[] = [
  { index: 0, name: "ram", length: 8 * PAGE, pageSize: PAGE, pages: 8 },
  { index: 1, name: "rom", length: 2 * PAGE, pageSize: PAGE, pages: 2 },
];
const contents = blocks.map(({ length, index }) => Uint8Array.from({ length }, (_, i) => (i * 7 + index + 1) % 251));
const extreme = [-1, 0, 1, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, 0.5];

function ranges(choices: Choices): PhysicalRange[] {
  let at = 0;
  return Array.from({ length: choices.below(6) }, () => {
    at += choices.below(4) === 0 ? choices.byte() * 16 : 0;
    const index = choices.below(2);
    const offset = choices.below(8) * 512 + (choices.below(8) === 0 ? choices.byte() : 0);
    const length = (1 + choices.below(8)) * 512 + (choices.below(8) === 0 ? choices.byte() : 0);
    const range = { start: at, length, block: index === 0 ? "ram" : "rom", offset, readOnly: index === 1 };
    at += choices.below(16) === 0 ? length - 1 : length;
    const spoilt = choices.below(24);
    if (spoilt === 0) range.block = "none";
    else if (spoilt < 4) {
      const key = (["start", "length", "offset"] as const)[spoilt - 1] ?? "start";
      range[key] = extreme[choices.byte() % extreme.length] ?? 0;
    }
    return range;
  });
}

function isSound(list: readonly PhysicalRange[]): boolean {
  const fits = ({ start, length, block, offset }: PhysicalRange) =>
    [start, length, offset, start + length].every(Number.isSafeInteger) &&
    start >= 0 &&
    length > 0 &&
    offset >= 0 &&
    offset + length <= (blocks.find(({ name }) => name === block)?.length ?? 0);
  const ordered = [...list].sort((a, b) => a.start - b.start);
  const apart = ordered.every(({ start }, i) => {
    const before = ordered[i - 1];
    return before === undefined || before.start + before.length <= start;
  });
  return list.every(fits) && apart;
}

function put(image: { writePages(batch: never): void }): void {
  for (const [index, block] of blocks.entries()) {
    const chunk = contents[index] ?? new Uint8Array(0);
    const pages = Float64Array.from({ length: block.pages }, (_, i) => i);
    const offsets = Uint32Array.from(pages, (page) => page * PAGE);
    image.writePages({ block, count: block.pages, pages, offsets, chunk } as never);
  }
}

function held(what: string, file: Uint8Array, at: number, { start, length, block, offset }: PhysicalRange): void {
  const content = contents[block === "ram" ? 0 : 1] ?? new Uint8Array(0);
  if (Buffer.compare(file.subarray(at, at + length), content.subarray(offset, offset + length)) !== 0)
    throw new Error(`${what} holds something else for ${start}`);
}

export function imagesTarget(lib: FuzzLib): Target {
  const images = (checked: readonly PhysicalRange[]): void => {
    const joined = lib.joinRanges(checked);
    const last = joined.at(-1);
    if (joined.length === 0 || last === undefined || last.start + last.length > 2 ** 20) return;
    const raw = new SparseFile();
    const rawWriter = new lib.RawPhysicalWriter(raw, joined);
    put(rawWriter.image);
    rawWriter.complete();
    for (const range of checked) held("the raw image", raw.bytes(), range.start, range);
    const lime = new SparseFile();
    const limeWriter = new lib.LimeWriter(lime, joined);
    put(limeWriter.image);
    limeWriter.complete();
    limeHolds(lime.bytes(), joined);
    const elf = new SparseFile();
    const notes = [lib.note("CORE", 1, Uint8Array.of(1, 2, 3))];
    const elfWriter = new lib.ElfWriter(elf, { machine: 62, ranges: joined, notes, kernel: null });
    put(elfWriter.image);
    elfWriter.complete();
    elfHolds(elf.bytes(), joined);
  };
  return {
    name: "images",
    meant: /^(elf\/writer|lime\/writer|raw\/physical|physical\/image|machine\/memory-map)/,
    seeds: [
      Uint8Array.of(3, 1, 0, 0, 1, 3, 1, 9, 1, 1, 0, 1, 1, 1, 1, 9),
      Uint8Array.from({ length: 60 }, (_, i) => (i * 31) % 256),
    ],
    words: [Uint8Array.of(1, 0, 0, 1), Uint8Array.of(9)],
    most: 100,
    run: (input) => {
      const list = ranges(new Choices(input));
      let checked: readonly PhysicalRange[] | null = null;
      try {
        checked = lib.checkRanges(list, blocks);
      } catch (error) {
        if (codeOf(error) !== "file.memory-map") throw error;
      }
      if ((checked !== null) !== isSound(list)) throw new Error(`${JSON.stringify(list)} is taken, or is not`);
      if (checked !== null) images(checked);
    },
  };
}

/** docs of LiME: magic, version, first and last address, and 8 bytes; then the range's bytes. */
function limeHolds(file: Uint8Array, list: readonly PhysicalRange[]): void {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let at = 0;
  for (const range of list) {
    const [start, end] = [Number(view.getBigUint64(at + 8, true)), Number(view.getBigUint64(at + 16, true))];
    if (view.getUint32(at, true) !== 0x4c694d45 || start !== range.start || end !== range.start + range.length - 1)
      throw new Error(`LiME: the range at byte ${at}`);
    held("LiME", file, at + 32, range);
    at += 32 + range.length;
  }
  if (at !== file.length) throw new Error(`LiME: ${file.length} bytes, not ${at}`);
}

/** Program headers of type 1: file offset at 8, physical address at 24, bytes at 32. */
function elfHolds(file: Uint8Array, list: readonly PhysicalRange[]): void {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const count = view.getUint16(56, true);
  const loads: number[] = [];
  for (let i = 0; i < count; i++) if (view.getUint32(64 + 56 * i, true) === 1) loads.push(64 + 56 * i);
  if (loads.length !== list.length) throw new Error(`ELF: ${loads.length} segments for ${list.length} ranges`);
  list.forEach((range, i) => {
    const head = loads[i] ?? 0;
    const [at, start, length] = [8, 24, 32].map((field) => Number(view.getBigUint64(head + field, true)));
    if (start !== range.start || length !== range.length) throw new Error(`ELF: segment ${i}`);
    held("ELF", file, at ?? 0, range);
  });
}
