import { FixedramError } from "../errors.ts";
import type { RamBlock } from "../pages/block.ts";
import type { PageMap } from "../pages/map.ts";
import type { ExtentVisitor } from "../pages/plan.ts";
import type { PageBatch, Sink } from "../pages/sink.ts";

const pieceBytes = 512 * 1024;

/** Gives every page of a page map to a sink; for walk() of pages/plan.ts. Memory: one buffer. */
export class PageCopier implements ExtentVisitor {
  readonly #map: PageMap;
  readonly #sink: Sink;
  readonly #signal: AbortSignal | undefined;
  readonly #chunk = new Uint8Array(pieceBytes);
  readonly #pages = new Float64Array(pieceBytes / 1024);
  readonly #offsets = new Uint32Array(pieceBytes / 1024);

  constructor(map: PageMap, sink: Sink, signal?: AbortSignal) {
    this.#map = map;
    this.#sink = sink;
    this.#signal = signal;
  }

  async data(index: number, first: number, pages: number, storeIndex: number, offset: number): Promise<void> {
    const block = this.#block(index);
    const store = this.#map.stores[storeIndex];
    if (store === undefined) throw new RangeError(`no store ${storeIndex}`);
    const { pageSize } = block;
    const most = Math.floor(pieceBytes / pageSize);
    for (let done = 0; done < pages; done += most) {
      const count = Math.min(most, pages - done);
      const chunk = this.#chunk.subarray(0, count * pageSize);
      const at = offset + done * pageSize;
      const read = await store.read(chunk, at, this.#signal);
      if (read < chunk.length) throw cut(store.name, at + read, block, first + done);
      for (let i = 0; i < count; i++) {
        this.#pages[i] = first + done + i;
        this.#offsets[i] = i * pageSize;
      }
      const batch: PageBatch = { block, count, pages: this.#pages, offsets: this.#offsets, chunk };
      await this.#sink.writePages(batch);
    }
  }

  async zero(index: number, first: number, pages: number): Promise<void> {
    await this.#sink.zeroPages(this.#block(index), first, pages);
  }

  absent(index: number, first: number): void {
    const { name } = this.#block(index);
    throw new FixedramError("file.ignore-shared", "A page of the guest is not in the snapshot", {
      block: name,
      page: first,
      hint: "The guest's shared memory was left out (x-ignore-shared): save it again with that capability off.",
    });
  }

  #block(index: number): RamBlock {
    const block = this.#map.blocks[index];
    if (block === undefined) throw new RangeError(`no block ${index}`);
    return block;
  }
}

function cut(path: string, offset: number, block: RamBlock, page: number): FixedramError {
  return new FixedramError("file.truncated", "The file became shorter while it was read", {
    path,
    offset,
    block: block.name,
    page,
  });
}
