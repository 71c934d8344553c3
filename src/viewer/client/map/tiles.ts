import { tileSide } from "../../shared/grid.ts";
import { modes } from "../../shared/modes.ts";
import type { Plot } from "../../shared/world.ts";
import { ApiError, getTile } from "../api.ts";
import { insideOf, type Look, paintTile } from "./paint.ts";

const mostTiles = 320;
const mostAtOnce = 6;
/** Milliseconds until a tile that could not be had is asked for once more. */
const retryAfter = 10_000;

interface Tile {
  planes: Uint8Array | null;
  readonly inside: Uint8Array | null;
  canvas: OffscreenCanvas | null;
  /** The look it was painted in. */
  look: Look | null;
  used: number;
}

interface Wish {
  readonly key: string;
  readonly plot: Plot;
  readonly level: number;
  readonly x: number;
  readonly y: number;
  readonly mode: Look["mode"];
  readonly side: Look["side"];
  rank: number;
}

/** Tiles of the map: asked for when they are to be drawn, nearest to the middle first; kept, and painted anew when colours change. */
export class TileStore {
  readonly #tiles = new Map<string, Tile>();
  readonly #wishes = new Map<string, Wish>();
  readonly #underWay = new Map<string, AbortController>();
  readonly #generations = new Map<string, number>();
  #frame = 0;
  readonly #changed: () => void;
  readonly #failed = new Set<string>();
  readonly #onFailed: (error: ApiError) => void;

  constructor(changed: () => void, failed: (error: ApiError) => void) {
    this.#changed = changed;
    this.#onFailed = failed;
  }

  /** Nothing is wished for or on its way. */
  get settled(): boolean {
    return this.#wishes.size === 0 && this.#underWay.size === 0;
  }

  /** A frame begins: what is not asked for in it is wished for no longer. */
  begin(): void {
    this.#frame++;
    this.#wishes.clear();
  }

  /** A tile as it can be drawn now; null when it is not here, and then, given a rank (less is sooner), it is sent for. */
  picture(plot: Plot, level: number, x: number, y: number, look: Look, rank: number | null): OffscreenCanvas | null {
    const key = this.#key(plot, level, x, y, look);
    // Nothing of the snapshot is needed: there is none yet.
    if (modes[look.mode].layers.length === 0 && !this.#tiles.has(key))
      this.#tiles.set(key, { planes: new Uint8Array(0), inside: null, canvas: null, look: null, used: this.#frame });
    const tile = this.#tiles.get(key);
    if (tile === undefined || tile.planes === null) {
      if (rank !== null && !this.#underWay.has(key) && !this.#failed.has(key)) {
        this.#wishes.set(key, { key, plot, level, x, y, mode: look.mode, side: look.side, rank });
      }
      return null;
    }
    tile.used = this.#frame;
    if (tile.look !== look) {
      const place = { plot, level, x, y };
      const canvas = tile.canvas ?? new OffscreenCanvas(tileSide, tileSide);
      const image = new ImageData(paintTile(tile.planes, look, tile.inside, place), tileSide, tileSide);
      canvas.getContext("2d")?.putImageData(image, 0, 0);
      tile.canvas = canvas;
      tile.look = look;
    }
    return tile.canvas;
  }

  /** The numbers of a tile that is here. */
  planes(plot: Plot, level: number, x: number, y: number, look: Look): Uint8Array | null {
    return this.#tiles.get(this.#key(plot, level, x, y, look))?.planes ?? null;
  }

  /** The frame ends: sends for what it missed, and lets go of what was not used for long. */
  end(): void {
    for (const [key, controller] of this.#underWay) {
      if (this.#underWay.size > mostAtOnce && !this.#wishes.has(key)) controller.abort();
    }
    this.#next();
    if (this.#tiles.size <= mostTiles) return;
    const old = [...this.#tiles].sort(([, a], [, b]) => a.used - b.used).slice(0, this.#tiles.size - mostTiles);
    for (const [key, tile] of old) if (tile.used < this.#frame) this.#tiles.delete(key);
  }

  /** What the server says about a mode has changed: shown until the new tiles are here. */
  renew(mode: Look["mode"]): void {
    this.#generations.set(mode, (this.#generations.get(mode) ?? 0) + 1);
    for (const key of this.#tiles.keys()) if (key.startsWith(`${mode} `)) this.#tiles.delete(key);
    this.#changed();
  }

  #key({ block, grid }: Plot, level: number, x: number, y: number, { mode, side }: Look): string {
    return `${mode} ${side} ${this.#generations.get(mode) ?? 0} ${block.index} ${grid.order} ${level} ${x} ${y}`;
  }

  #next(): void {
    if (this.#underWay.size >= mostAtOnce || this.#wishes.size === 0) return;
    const wishes = [...this.#wishes.values()].sort((a, b) => a.rank - b.rank);
    for (const wish of wishes.slice(0, mostAtOnce - this.#underWay.size)) {
      this.#wishes.delete(wish.key);
      void this.#load(wish);
    }
  }

  async #load({ key, plot, level, x, y, mode, side }: Wish): Promise<void> {
    const controller = new AbortController();
    this.#underWay.set(key, controller);
    const { grid, block } = plot;
    try {
      const query = { block: block.index, order: grid.order, level, x, y, layers: modes[mode].layers };
      const planes = await getTile(side, query, controller.signal);
      const inside = insideOf(grid, level, x, y);
      this.#tiles.set(key, { planes, inside, canvas: null, look: null, used: this.#frame });
    } catch (error) {
      if (error instanceof ApiError) {
        // Not asked for again and again: only once more after a while.
        this.#failed.add(key);
        setTimeout(() => this.#failed.delete(key), retryAfter);
        this.#onFailed(error);
      }
    } finally {
      this.#underWay.delete(key);
    }
    this.#changed();
    this.#next();
  }
}
