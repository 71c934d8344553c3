import { pageDigestSharedWasm, pageDigestWasm } from "./page-digest-wasm.ts";
import { instantiate } from "./wasm.ts";

/** Bytes of a page's digest: canonical xxh64 with seed 0, most significant byte first (docs/format.md, "Page digests"). */
export const digestBytes = 8;

const scratchBytes = 256 * 1024;
/** Digests that one call makes at most. */
const digestCount = 4096;

interface Exports {
  hash_run(at: number, count: number, stride: number, size: number, out: number): void;
  is_zero(at: number, size: number): number;
}

/**
 * Makes the digests of pages with WebAssembly, 4 GB/s and more. Bytes that lie in its own memory, {@link PageHasher.region}, are
 * hashed where they are, so sockets and files are best read into that; others are copied there in pieces.
 *
 * The memory is never grown: views of it stay valid.
 */
export class PageHasher {
  /** For the owner to read into. */
  readonly region: Uint8Array;
  readonly #memory: ArrayBufferLike;
  readonly #scratch: Uint8Array;
  readonly #digests: Uint8Array;
  readonly #wasm: Exports;
  readonly #zeroDigests = new Map<number, Uint8Array>();

  /**
   * @param regionBytes length of `region`, bytes; it may be 0
   * @param shared the region lies in a SharedArrayBuffer, from its beginning
   */
  constructor(regionBytes: number, shared = false) {
    const bytes = regionBytes + scratchBytes + digestCount * digestBytes;
    const { memory, exports } = instantiate(shared ? pageDigestSharedWasm : pageDigestWasm, bytes, shared);
    this.#memory = memory;
    this.region = new Uint8Array(memory, 0, regionBytes);
    this.#scratch = new Uint8Array(memory, regionBytes, scratchBytes);
    this.#digests = new Uint8Array(memory, regionBytes + scratchBytes, digestCount * digestBytes);
    this.#wasm = exports as Exports;
  }

  /**
   * Writes the digests of `count` pages of `bytes`, the first at `offset`, `stride` bytes from one to the next, to `into`, 8 bytes
   * each from `at`.
   *
   * @param pageSize bytes, a multiple of 64 up to 256 KiB
   */
  hash(
    bytes: Uint8Array,
    offset: number,
    count: number,
    stride: number,
    pageSize: number,
    into: Uint8Array,
    at: number,
  ): void {
    checkPageSize(pageSize);
    if (count <= 0) return;
    const end = offset + (count - 1) * stride + pageSize;
    if (offset < 0 || stride < pageSize || end > bytes.length) throw new RangeError(`pages up to byte ${end}`);
    const here = bytes.buffer === this.#memory;
    const fit = stride > scratchBytes ? 1 : Math.floor((scratchBytes - pageSize) / stride) + 1;
    const piece = here ? digestCount : Math.min(digestCount, fit);
    for (let done = 0; done < count; done += piece) {
      const pages = Math.min(piece, count - done);
      const from = offset + done * stride;
      let place = bytes.byteOffset + from;
      if (!here) {
        this.#scratch.set(bytes.subarray(from, from + (pages - 1) * stride + pageSize));
        place = this.#scratch.byteOffset;
      }
      this.#wasm.hash_run(place, pages, stride, pageSize, this.#digests.byteOffset);
      into.set(this.#digests.subarray(0, pages * digestBytes), at + done * digestBytes);
    }
  }

  /** The digest of a page of zeros; not to be changed. */
  zeroDigest(pageSize: number): Uint8Array {
    const known = this.#zeroDigests.get(pageSize);
    if (known !== undefined) return known;
    const digest = new Uint8Array(digestBytes);
    this.hash(new Uint8Array(pageSize), 0, 1, pageSize, pageSize, digest, 0);
    this.#zeroDigests.set(pageSize, digest);
    return digest;
  }

  /** Whether `length` bytes of {@link PageHasher.region} from `offset` are all zero; a multiple of 64, at least one. */
  isZero(offset: number, length: number): boolean {
    if (length <= 0 || length % 64 !== 0 || offset < 0 || offset + length > this.region.length)
      throw new RangeError(`bytes ${offset} to ${offset + length} of the region`);
    return this.#wasm.is_zero(offset, length) === 1;
  }
}

function checkPageSize(size: number): void {
  if (size <= 0 || size % 64 !== 0 || size > scratchBytes) throw new RangeError(`pages of ${size} bytes`);
}
