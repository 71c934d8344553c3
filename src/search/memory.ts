import { instantiate } from "../bytes/wasm.ts";
import { mostPattern } from "./pattern.ts";
import { scanWasm } from "./scan-wasm.ts";

/** Takes the place and length of every hit; bytes in the window. False ends it. */
export type OnHit = (at: number, length: number) => boolean;

interface Exports {
  find_bytes(
    from: number,
    end: number,
    needle: number,
    mask: number,
    length: number,
    a: number,
    b: number,
    out: number,
    most: number,
  ): number;
  find_runs(from: number, to: number, least: number, wide: number, open: number, carry: bigint, out: number): number;
}

/** Bytes past a window that may be looked at, besides the needle's own. */
const slack = 128;
/** Places that are told in one go. */
const mostPlaces = 4096;

/** Bytes to look for: `needle` where `mask` has its bits set. */
export interface Needle {
  readonly bytes: Uint8Array;
  readonly mask: Uint8Array;
}

/**
 * A window of memory that WebAssembly looks through where it lies, scan.wat: 64 bytes at a time, several GB/s. A needle is set
 * once and then looked for in every window.
 */
export class ScanMemory {
  /** For the owner to read into, up to the size that was asked for. */
  readonly window: Buffer;
  readonly #wasm: Exports;
  readonly #needle: Uint8Array;
  readonly #mask: Uint8Array;
  readonly #out: Uint32Array;
  readonly #padded: Uint8Array;
  #length = 0;
  /** The two places in the needle that are looked at first. */
  #rare: readonly [number, number] = [0, 0];

  /** @param size of the window, bytes. @param runs that {@link ScanMemory.runs} may find in a window at most */
  constructor(size: number, runs = 0) {
    const room = Math.ceil((size + slack + mostPattern) / 16) * 16;
    const places = Math.max(mostPlaces + 64, 2 * runs);
    const { memory, exports } = instantiate(scanWasm, room + 2 * mostPattern + 4 * places);
    this.window = Buffer.from(memory, 0, size);
    this.#padded = new Uint8Array(memory, 0, size + slack);
    this.#needle = new Uint8Array(memory, room, mostPattern);
    this.#mask = new Uint8Array(memory, room + mostPattern, mostPattern);
    this.#out = new Uint32Array(memory, room + 2 * mostPattern, places);
    this.#wasm = exports as Exports;
  }

  /** Sets what {@link ScanMemory.places} looks for: up to {@link mostPattern} bytes. */
  look({ bytes, mask }: Needle): void {
    if (bytes.length === 0 || bytes.length > mostPattern) throw new RangeError(`a needle of ${bytes.length} bytes`);
    this.#needle.set(bytes.map((byte, i) => byte & (mask[i] ?? 0)));
    this.#mask.set(mask);
    this.#length = bytes.length;
    this.#rare = rarest({ bytes, mask });
  }

  /** Tells every place in [from, to) where the needle stands wholly below `end`; false from `hit` ends it. */
  places(from: number, to: number, end: number, hit: (at: number) => boolean): void {
    const last = Math.min(to, end - this.#length + 1);
    const [a, b] = this.#rare;
    const [needle, mask, out] = [this.#needle.byteOffset, this.#mask.byteOffset, this.#out.byteOffset];
    for (let at = from; at < last; ) {
      const count = this.#wasm.find_bytes(at, last, needle, mask, this.#length, a, b, out, mostPlaces);
      for (let i = 0; i < count; i++) if (!hit(this.#out[i] ?? 0)) return;
      if (count < mostPlaces) return;
      at = (this.#out[count - 1] ?? 0) + 1;
    }
  }

  /**
   * Tells every run of printable characters that begins in [from, to), has `least` bytes or more, and does not go on from before
   * `from`; what stands at `end` ends it.
   *
   * @param wide a character is a printable byte and a 0
   */
  runs(from: number, to: number, end: number, least: number, wide: boolean, hit: OnHit): void {
    this.#padded.fill(0xff, end, end + slack);
    const bytes = this.window;
    const isOne = (at: number) => at >= 0 && isPrintable(bytes[at] ?? 0) && (!wide || bytes[at + 1] === 0);
    // A run that has its last byte just before `from` is open.
    const carry = isOne(from - 1);
    const open = carry || (wide && isOne(from - 2)) ? from - 1 : -1;
    const out = this.#out;
    const begin = wide && carry ? 1n : 0n;
    const count = this.#wasm.find_runs(from, Math.min(to, end), least, wide ? 1 : 0, open, begin, out.byteOffset);
    for (let i = 0; i < count; i++) {
      const at = out[2 * i] ?? 0;
      if (!hit(at, (out[2 * i + 1] ?? 0) - at)) return;
    }
  }
}

/** Printable ASCII and tabs, as strings(1) has it. */
function isPrintable(byte: number): boolean {
  return (byte >= 0x20 && byte <= 0x7e) || byte === 9;
}

/** Where the two bytes stand that memory has least of, as far as that can be told without looking. */
function rarest({ bytes, mask }: Needle): readonly [number, number] {
  const order = Array.from(bytes, (byte, i) => ({ i, cost: commonness(byte, mask[i] ?? 0) }));
  order.sort((x, y) => x.cost - y.cost || y.i - x.i);
  const [first, second] = order;
  return [first?.i ?? 0, second?.i ?? first?.i ?? 0];
}

/** How often a byte of memory is like this one, roughly: each bit that is not asked for doubles it. */
function commonness(byte: number, mask: number): number {
  let free = 1;
  for (let bit = 1; bit < 256; bit *= 2) if ((mask & bit) === 0) free *= 2;
  if (byte === 0) return 40 * free;
  if (byte === 0xff || byte === 0x20 || byte < 0x10) return 8 * free;
  const isCode = byte === 0x48 || byte === 0x89 || byte === 0x8b || byte === 0xe8;
  return (isCode || (byte >= 0x61 && byte <= 0x7a) ? 4 : 1) * free;
}
