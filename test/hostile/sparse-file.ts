import type { WritableFile } from "../../src/fixedram/writer.ts";

/** A file in memory that remembers which bytes were written. */
export class SparseFile implements WritableFile {
  size = 0;
  #bytes = new Uint8Array(2 ** 13);
  readonly #written: [start: number, end: number][] = [];

  write(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length;
    if (end > 2 ** 28) throw new Error(`a write at byte ${position}`);
    this.#grow(end);
    this.#bytes.set(bytes, position);
    this.#written.push([position, end]);
    this.size = Math.max(this.size, end);
  }

  writev(views: readonly Uint8Array[], position: number): void {
    let at = position;
    for (const view of views) {
      this.write(view, at);
      at += view.length;
    }
  }

  readBack(target: Uint8Array, position: number): number {
    const part = this.#bytes.subarray(position, Math.min(this.size, position + target.length));
    target.set(part);
    return part.length;
  }

  truncate(size: number): void {
    this.#grow(size);
    this.#bytes.fill(0, size);
    this.size = size;
  }

  async commit(): Promise<void> {}

  async abort(): Promise<void> {}

  bytes(): Uint8Array {
    return this.#bytes.slice(0, this.size);
  }

  /** What was written and differs: position and byte. */
  *changes(from: Uint8Array): Generator<readonly [position: number, byte: number]> {
    for (const [start, end] of this.#written)
      for (let at = start; at < end; at++) if (this.#bytes[at] !== from[at]) yield [at, this.#bytes[at] ?? 0];
  }

  #grow(size: number): void {
    if (size <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(size, this.#bytes.length * 2));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}
