import type { RamBlock } from "../../pages/block.ts";
import type { PhysicalImage } from "../../physical/image.ts";
import type { CopyMemory } from "../../workers/tasks/copy-pages.ts";
import type { BehindFile } from "../copy/behind-file.ts";
import type { PlacedWriter } from "../copy/placed.ts";

/**
 * A guest's pages on their way to their physical addresses, written by another thread: what is copied is put by its place in a row
 * of all RAM blocks, one behind the other, and goes from there to wherever the guest sees it.
 */
export class ImageMemory implements PlacedWriter, CopyMemory {
  readonly hasher: BehindFile["hasher"];
  readonly #image: PhysicalImage;
  readonly #behind: BehindFile;
  readonly #blocks: readonly RamBlock[];
  /** Where each block begins in the row, bytes. */
  readonly #starts: readonly number[];
  /** The block that was written to last. */
  #current = 0;

  /** @param image over `behind` */
  constructor(image: PhysicalImage, behind: BehindFile, blocks: readonly RamBlock[]) {
    this.hasher = behind.hasher;
    this.#image = image;
    this.#behind = behind;
    this.#blocks = blocks;
    let start = 0;
    this.#starts = blocks.map(({ length }) => {
      const at = start;
      start += length;
      return at;
    });
  }

  placeOf({ index }: RamBlock): ReturnType<PlacedWriter["placeOf"]> {
    const file = this.#behind.shared;
    if (file === null) return null;
    return { file, pagesOffset: this.#starts[index] ?? 0, tableOffset: null, zerosPresent: false };
  }

  adopt(): void {}

  ready(): boolean {
    return this.#behind.ready();
  }

  piece(): Uint8Array {
    return this.#behind.piece();
  }

  write(bytes: Uint8Array, position: number): void {
    while (position < (this.#starts[this.#current] ?? 0)) this.#current--;
    while (position >= (this.#starts[this.#current + 1] ?? Number.POSITIVE_INFINITY)) this.#current++;
    const block = this.#blocks[this.#current];
    if (block === undefined) throw new RangeError(`no block at ${position}`);
    this.#image.writeBytes(block.name, position - (this.#starts[this.#current] ?? 0), bytes);
  }
}
