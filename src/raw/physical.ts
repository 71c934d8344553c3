import type { PhysicalRange } from "../machine/memory-map.ts";
import { type ImageFile, PhysicalImage } from "../physical/image.ts";

/** Physical memory as it is: byte n of the file is guest-physical address n; where there is no memory, holes. */
export class RawPhysicalWriter {
  readonly image: PhysicalImage;
  /** Bytes. */
  readonly size: number;
  readonly #file: ImageFile;

  constructor(file: ImageFile, ranges: readonly PhysicalRange[]) {
    this.size = ranges.reduce((end, { start, length }) => Math.max(end, start + length), 0);
    this.#file = file;
    this.image = new PhysicalImage(
      file,
      ranges.map((range) => ({ range, position: range.start })),
    );
  }

  /** When all pages have been given. Bringing it to disk is the caller's. */
  complete(): void {
    this.#file.truncate(this.size);
  }
}
