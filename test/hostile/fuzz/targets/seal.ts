/** A deep check of sealed files that were changed: what the seal covers is not changed unnoticed. */
import { storeOf } from "../../run.ts";
import { resealed } from "../../seals.ts";
import type { Target } from "../engine.ts";
import type { FuzzLib } from "../fuzz-lib.ts";
import { type SealedFile, sealedFiles } from "./sealed-file.ts";
import { Choices, codeOf } from "./shared.ts";

const seeds: readonly Uint8Array[] = [
  Uint8Array.of(0, 0, 0, 0, 1),
  Uint8Array.of(1, 0, 0, 4, 255, 1, 0, 3, 4),
  Uint8Array.of(3, 1, 0, 9, 9, 2, 0, 2, 8),
  Uint8Array.of(0x32, 3, 1, 2, 3, 1, 0, 7, 1),
  Uint8Array.of(4, 0, 200, 1, 0, 9, 1),
  Uint8Array.of(8, 0, 200, 1, 0, 9, 1),
  Uint8Array.of(0x40, 0, 0, 0, 1),
  Uint8Array.of(0x41, 3, 1, 2, 3, 1, 0, 7, 1),
];

const values = [0, 1, 2, 4095, 4096, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 4096, 2 ** 53 - 1, 2 ** 53, 2 ** 63];

/**
 * The input: a byte that says whether the seal's digests are made right again (1), whether it is cut (4) or goes on (8), and
 * which file it is (64: of a big-endian host; rarely the one that a save leaves, whose megabytes take time), then changes of four bytes: what, place (2 bytes), value.
 */
export async function sealTarget(lib: FuzzLib): Promise<Target> {
  const files = await sealedFiles();
  const hasher = new lib.PageHasher(lib.piecesRegion);
  const check = async (input: Uint8Array, deep: boolean): Promise<void> => {
    const made = changed(files, input);
    if (made === null) return;
    const bad = await verdict(lib, made.bytes, deep, hasher);
    const { pages, seal } = made;
    if (deep && bad === null && (pages >= 0 || seal >= 0))
      throw new Error(`byte ${Math.max(pages, seal)} was changed, and a deep check finds nothing`);
  };
  return {
    name: "seal",
    meant:
      /^fixedram\/(seal|trailer|meta|verify|verify-node|verify-pages|coverage|digest-sections|byte-order|problems|regions)\.ts/,
    seeds,
    words: [Uint8Array.of(1, 0, 1, 0), Uint8Array.of(3, 0, 1, 1)],
    most: 40,
    run: (input) => check(input, true),
    thorough: (input) => check(input, false),
  };
}

interface Changed {
  readonly bytes: Uint8Array;
  /** Place of a byte that was changed: of what the seal covers, and of the seal itself; -1: none. */
  readonly pages: number;
  readonly seal: number;
}

function changed(files: Awaited<ReturnType<typeof sealedFiles>>, input: Uint8Array): Changed | null {
  const choices = new Choices(input);
  const mode = choices.byte();
  const file = (mode & 0x32) === 0x32 ? files.saved : (mode & 0x40) !== 0 ? files.big : files.inPlace;
  let bytes = file.bytes.slice();
  let [pages, seal] = [-1, -1];
  const length = mode & 12 ? choices.word() : 0;
  const touched: number[] = [];
  while (choices.left) change(file, bytes, choices, touched);
  for (const at of touched) {
    if (bytes[at] === file.bytes[at]) continue;
    if (file.covered[at] === 2) pages = at;
    else if (file.covered[at] === 1) seal = at;
  }
  if (mode & 1) {
    // Somebody makes the seal's own digests right again, if that can be done.
    try {
      resealed(bytes);
    } catch {
      return null;
    }
    seal = -1;
  }
  if (mode & 4) bytes = bytes.subarray(0, bytes.length - Math.min(bytes.length, length));
  else if (mode & 8) bytes = Buffer.concat([bytes, new Uint8Array(length).fill(length)]);
  return { bytes, pages, seal };
}

function change({ fields }: SealedFile, bytes: Uint8Array, choices: Choices, touched: number[]): void {
  const what = choices.byte() % 4;
  const place = choices.word();
  const value = choices.byte();
  const put = (at: number, byte: number) => {
    bytes[at] = byte;
    touched.push(at);
  };
  const { offset, size } = fields[place % fields.length] ?? { offset: 0, size: 1 };
  if (what === 0) put(place % bytes.length, value);
  else if (what === 1) {
    let rest = values[value % values.length] ?? 0;
    for (let i = size - 1; i >= 0; i--, rest = Math.floor(rest / 256)) put(offset + i, rest % 256);
  } else if (what === 2) {
    const other = fields[value % fields.length] ?? { offset: 0, size: 1 };
    for (let i = 0; i < Math.min(size, other.size); i++) put(offset + i, bytes[other.offset + i] ?? 0);
  } else put(offset + (value % size), (bytes[offset + (value % size)] ?? 0) + (value % 2 === 0 ? 1 : 255));
}

/** What a check finds wrong; null: nothing. */
async function verdict(
  lib: FuzzLib,
  bytes: Uint8Array,
  deep: boolean,
  hasher: InstanceType<FuzzLib["PageHasher"]>,
): Promise<string | null> {
  const store = storeOf(bytes);
  try {
    const seal = await lib.readSealAlone(store);
    if (seal === null) return "no seal";
    const { problems, state } = await lib.checkSealed(store, seal, { deep, hasher });
    return state === "sealed" && problems.count === 0 ? null : `${state} ${problems.list[0]?.code}`;
  } catch (error) {
    return codeOf(error);
  }
}
