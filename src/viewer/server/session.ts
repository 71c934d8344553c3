import type { Snapshot } from "../../containers/snapshot.ts";
import { toolVersion } from "../../installation.ts";
import { openSnapshot } from "../../operations/open.ts";
import { WorkerPool } from "../../workers/pool.ts";
import type { ViewSnapshot } from "../shared/protocol.ts";
import { ContentTiles } from "./content-tiles.ts";
import { describeSide } from "./describe.ts";
import { Announcer } from "./events.ts";
import { Side } from "./side.ts";

/** What one viewer looks at. */
export class Session implements AsyncDisposable {
  readonly sides: readonly Side[];
  readonly announcer = new Announcer();
  readonly pool: WorkerPool;
  readonly ending = new AbortController();
  #description: ViewSnapshot | null = null;

  private constructor(sides: readonly Side[], pool: WorkerPool) {
    this.sides = sides;
    this.pool = pool;
  }

  /** @throws as openSnapshot, for each file */
  static async open(files: readonly string[], signal?: AbortSignal): Promise<Session> {
    const pool = new WorkerPool();
    const snapshots: Snapshot[] = [];
    try {
      for (const file of files) snapshots.push(await openSnapshot(file, signal === undefined ? {} : { signal }));
    } catch (error) {
      for (const snapshot of snapshots) await snapshot.close();
      throw error;
    }
    const sides = snapshots.map((snapshot) => {
      const tiles = new ContentTiles(snapshot, pool);
      return new Side(snapshot, (block, grid, query) => tiles.tile(block, grid, query));
    });
    return new Session(sides, pool);
  }

  describe(): ViewSnapshot {
    const [file, other] = this.sides;
    if (file === undefined) throw new Error("nothing is open");
    this.#description ??= {
      version: toolVersion,
      file: describeSide(file),
      other: other === undefined ? null : describeSide(other),
      live: null,
    };
    return this.#description;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.ending.abort(new Error("the viewer ends"));
    this.announcer.close();
    await this.pool.close();
    for (const { snapshot } of this.sides) await snapshot.close();
  }
}
