/**
 * LiME, the format of the Linux Memory Extractor, version 1: for each range, in the order of addresses, a header of 32 bytes
 * (little-endian) and its bytes. https://github.com/504ensicsLabs/LiME, doc/README.md, "Format".
 */
import { LittleEndian } from "../bytes/little-endian.ts";
import type { PhysicalRange } from "../machine/memory-map.ts";
import { type ImageFile, PhysicalImage } from "../physical/image.ts";

const magic = 0x4c69_4d45;
const headerBytes = 32;

export class LimeWriter {
  readonly image: PhysicalImage;
  /** Bytes. */
  readonly size: number;
  readonly #file: ImageFile;
  readonly #heads: readonly { readonly position: number; readonly bytes: Uint8Array }[];

  /** @param ranges by address */
  constructor(file: ImageFile, ranges: readonly PhysicalRange[]) {
    let position = 0;
    const places = ranges.map((range) => {
      const place = { range, position: position + headerBytes };
      position += headerBytes + range.length;
      return place;
    });
    this.#heads = places.map(({ range, position: at }) => ({
      position: at - headerBytes,
      bytes: new LittleEndian(headerBytes)
        .u32(magic)
        .u32(1)
        .u64(range.start)
        .u64(range.start + range.length - 1).bytes,
    }));
    this.#file = file;
    this.size = position;
    this.image = new PhysicalImage(file, places);
  }

  /** When all pages have been given. Bringing it to disk is the caller's. */
  complete(): void {
    for (const { position, bytes } of this.#heads) this.#file.write(bytes, position);
    this.#file.truncate(this.size);
  }
}
