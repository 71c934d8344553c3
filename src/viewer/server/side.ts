import type { PageBitmap } from "../../bytes/bitmap.ts";
import type { Snapshot } from "../../containers/snapshot.ts";
import { FixedramError } from "../../errors.ts";
import { Inside } from "../../operations/inside/open.ts";
import type { RamBlock } from "../../pages/block.ts";
import { ExtentKind, ExtentList } from "../../pages/extents.ts";
import { type Grid, gridOf, type Order, tileCells } from "../shared/grid.ts";
import type { LayerName, TileQuery } from "../shared/protocol.ts";
import { bitmapLayer, countKinds, extentLayer, type Layer } from "./layer.ts";
import { Pyramid, shares, wholeTile } from "./pyramid.ts";

/** Marked pages of each block; a block without any has no bitmap. */
export type Marks = Map<number, PageBitmap>;

type Counted = Exclude<LayerName, "entropy">;

/** One of the snapshots that are looked at: its map's tiles and its pages. */
export class Side {
  readonly snapshot: Snapshot;
  readonly inside: Inside;
  /** Pages to be marked on the map, by layer. */
  readonly marks: Readonly<Record<"changed" | "added" | "gone" | "damaged", Marks>> = {
    changed: new Map(),
    added: new Map(),
    gone: new Map(),
    damaged: new Map(),
  };
  readonly #kinds = new Map<number, { readonly present: number; readonly absent: number }>();
  readonly #grids = new Map<string, Grid>();
  readonly #pyramids = new Map<string, Pyramid>();
  readonly #entropy: (block: RamBlock, grid: Grid, query: TileQuery) => Promise<Uint8Array>;

  constructor(snapshot: Snapshot, entropy: Side["entropyTile"]) {
    this.snapshot = snapshot;
    this.inside = new Inside(snapshot);
    this.#entropy = entropy;
  }

  /** @throws `usage.no-such-block` */
  block(index: number): RamBlock {
    const block = this.snapshot.map.blocks[index];
    if (block !== undefined) return block;
    throw new FixedramError("usage.no-such-block", "the snapshot has no such RAM block", { found: String(index) });
  }

  /** Marks of a layer changed: what was counted of it is forgotten. */
  forget(layer: keyof Side["marks"]): void {
    for (const key of this.#pyramids.keys()) if (key.endsWith(` ${layer}`)) this.#pyramids.delete(key);
  }

  /** The layers of a tile one after the other, 65536 bytes each: shares of pages, and for `entropy` classes. */
  async tile(query: TileQuery): Promise<Uint8Array> {
    const block = this.block(query.block);
    const grid = this.#grid(block, query.order);
    const bytes = new Uint8Array(query.layers.length * tileCells);
    const whole = wholeTile(grid, query.level, query.x, query.y);
    for (const [place, name] of query.layers.entries()) {
      if (name === "entropy") {
        bytes.set(await this.entropyTile(block, grid, query), place * tileCells);
        continue;
      }
      const pyramid = this.#pyramid(block, grid, name);
      if (pyramid === null) continue;
      const counts = await pyramid.tile(query.level, query.x, query.y);
      bytes.set(shares(counts, whole), place * tileCells);
    }
    return bytes;
  }

  entropyTile(block: RamBlock, grid: Grid, query: TileQuery): Promise<Uint8Array> {
    return this.#entropy(block, grid, query);
  }

  /**
   * Pages [first, first + count): first a byte for the kind of each (zero 0, data 1, absent 2), then their bytes.
   *
   * @throws RangeError outside the block; `file.truncated`, `system.*`
   */
  async pages(index: number, first: number, count: number, signal?: AbortSignal): Promise<Uint8Array> {
    const block = this.block(index);
    const { pageSize } = block;
    const answer = new Uint8Array(count * (1 + pageSize));
    const list = new ExtentList(count);
    for (let done = 0; done < count; ) {
      list.clear();
      done += this.snapshot.map.extents(index, first + done, count - done, list);
      for (let i = 0; i < list.length; i++) {
        const at = (list.first[i] ?? 0) - first;
        const pages = list.pages[i] ?? 0;
        const kind = list.kind[i] ?? 0;
        answer.fill(kind, at, at + pages);
        if (kind !== ExtentKind.data) continue;
        const target = answer.subarray(count + at * pageSize, count + (at + pages) * pageSize);
        const store = this.snapshot.map.stores[list.store[i] ?? 0];
        const offset = list.offset[i] ?? 0;
        const read = (await store?.read(target, offset, signal)) ?? 0;
        if (read < target.length) throw truncated(store?.name ?? "", offset + read, block, first + at);
      }
    }
    return answer;
  }

  /** Pages of a block by kind; counted once. */
  kinds(block: RamBlock): { readonly present: number; readonly absent: number } {
    const known = this.#kinds.get(block.index);
    if (known !== undefined) return known;
    const counted = countKinds(this.snapshot.map, block.index, block.pages);
    this.#kinds.set(block.index, counted);
    return counted;
  }

  #grid(block: RamBlock, order: Order): Grid {
    const key = `${block.index} ${order}`;
    const known = this.#grids.get(key);
    if (known !== undefined) return known;
    const grid = gridOf(block.pages, order);
    this.#grids.set(key, grid);
    return grid;
  }

  /** Null: the layer has no pages. */
  #pyramid(block: RamBlock, grid: Grid, name: Counted): Pyramid | null {
    const key = `${block.index} ${grid.order} ${name}`;
    const known = this.#pyramids.get(key);
    if (known !== undefined) return known;
    const layer = this.#layer(block, name);
    if (layer === null) return null;
    const pyramid = new Pyramid(grid, layer);
    this.#pyramids.set(key, pyramid);
    return pyramid;
  }

  #layer(block: RamBlock, name: Counted): Layer | null {
    const { map } = this.snapshot;
    if (name === "data") return extentLayer(map, block.index, ExtentKind.data);
    if (name === "absent")
      return this.kinds(block).absent > 0 ? extentLayer(map, block.index, ExtentKind.absent) : null;
    const bitmap = this.marks[name].get(block.index);
    return bitmap === undefined ? null : bitmapLayer(bitmap);
  }
}

function truncated(path: string, offset: number, block: RamBlock, page: number): FixedramError {
  return new FixedramError("file.truncated", "the file ends among its pages", {
    path,
    offset,
    block: block.name,
    page,
    hint: "The file was cut, or is being changed. Fetch it again.",
  });
}
