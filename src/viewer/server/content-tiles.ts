import { ContentClass, classify } from "../../bytes/content.ts";
import type { Snapshot } from "../../containers/snapshot.ts";
import type { RamBlock } from "../../pages/block.ts";
import { ExtentKind, ExtentList } from "../../pages/extents.ts";
import type { Store } from "../../pages/store.ts";
import { FileStore } from "../../storage/file-store.ts";
import type { WorkerPool } from "../../workers/pool.ts";
import { type Grid, tileCells } from "../shared/grid.ts";
import { contentClasses, type TileQuery } from "../shared/protocol.ts";
import { extentLayer } from "./layer.ts";
import { visitTile, wholeTile } from "./pyramid.ts";

/** Pages a worker looks at in one go: 32 MiB of 4 KiB pages. */
const pagesAtOnce = 8192;
/** Tiles kept, 64 KiB each. */
const mostTiles = 256;

const absent = contentClasses.indexOf("absent");

/**
 * What pages look like, made when a tile is asked for: at level 0 every page is looked at, above it one page of each cell, the
 * first that holds data. Workers read and look; tiles are kept.
 */
export class ContentTiles {
  readonly #snapshot: Snapshot;
  readonly #pool: WorkerPool;
  readonly #tiles = new Map<string, Promise<Uint8Array>>();

  constructor(snapshot: Snapshot, pool: WorkerPool) {
    this.#snapshot = snapshot;
    this.#pool = pool;
  }

  tile(block: RamBlock, grid: Grid, { level, x, y }: TileQuery): Promise<Uint8Array> {
    const key = [block.index, grid.order, level, x, y].join(" ");
    const known = this.#tiles.get(key);
    if (known !== undefined) return known;
    const made = this.#make(block, grid, level, x, y);
    this.#tiles.set(key, made);
    made.catch(() => this.#tiles.delete(key));
    const [oldest] = this.#tiles.keys();
    if (this.#tiles.size > mostTiles && oldest !== undefined) this.#tiles.delete(oldest);
    return made;
  }

  async #make(block: RamBlock, grid: Grid, level: number, x: number, y: number): Promise<Uint8Array> {
    const { map } = this.#snapshot;
    const classes = new Uint8Array(tileCells);
    const whole = wholeTile(grid, level, x, y);
    for (let cell = 0; cell < tileCells; cell++) if ((whole[cell] ?? 0) > 0) classes[cell] = ContentClass.zero;
    visitTile(grid, extentLayer(map, block.index, ExtentKind.absent), level, x, y, (cell) => {
      classes[cell] = absent;
    });
    const pages = new Float64Array(tileCells).fill(-1);
    visitTile(grid, extentLayer(map, block.index, ExtentKind.data), level, x, y, (cell, page) => {
      if (pages[cell] === -1) pages[cell] = page;
    });
    const cells = [...pages.keys()].filter((cell) => pages[cell] !== -1);
    cells.sort((a, b) => (pages[a] ?? 0) - (pages[b] ?? 0));
    const jobs: Promise<void>[] = [];
    for (let at = 0; at < cells.length; at += pagesAtOnce)
      jobs.push(this.#look(block, cells.slice(at, at + pagesAtOnce), pages, classes));
    await Promise.all(jobs);
    return classes;
  }

  async #look(block: RamBlock, cells: readonly number[], pages: Float64Array, classes: Uint8Array): Promise<void> {
    const file = new Uint16Array(cells.length);
    const offset = new Float64Array(cells.length);
    const list = new ExtentList(1);
    for (const [i, cell] of cells.entries()) {
      list.clear();
      this.#snapshot.map.extents(block.index, pages[cell] ?? 0, 1, list);
      file[i] = list.store[0] ?? 0;
      offset[i] = list.offset[0] ?? 0;
    }
    const { stores } = this.#snapshot.map;
    const files = stores.flatMap((store) => (store instanceof FileStore ? [{ fd: store.fd, name: store.name }] : []));
    const { pageSize } = block;
    const found =
      files.length === stores.length
        ? await this.#pool.run("classify", { files, file, offset, pageSize })
        : await lookHere(stores, file, offset, pageSize);
    for (const [i, cell] of cells.entries()) classes[cell] = found[i] ?? 0;
  }
}

/** For stores that a worker cannot read. */
async function lookHere(
  stores: readonly Store[],
  file: Uint16Array,
  offset: Float64Array,
  pageSize: number,
): Promise<Uint8Array> {
  const classes = new Uint8Array(offset.length);
  const page = new Uint8Array(pageSize);
  for (let i = 0; i < offset.length; i++) {
    const count = await stores[file[i] ?? 0]?.read(page, offset[i] ?? 0);
    if (count === pageSize) classes[i] = classify(page, 0, pageSize);
  }
  return classes;
}
