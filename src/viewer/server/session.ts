import type { Snapshot } from "../../containers/snapshot.ts";
import { toolVersion } from "../../installation.ts";
import { type OpenSnapshotOptions, openSnapshot } from "../../operations/open.ts";
import { WorkerPool } from "../../workers/pool.ts";
import type { ViewSnapshot } from "../shared/protocol.ts";
import { compareSides } from "./compare.ts";
import { ContentTiles } from "./content-tiles.ts";
import { describeSide } from "./describe.ts";
import { Announcer } from "./events.ts";
import type { Broadcast } from "./live/broadcast.ts";
import { Side } from "./side.ts";

/** What one viewer looks at. */
export class Session implements AsyncDisposable {
  readonly sides: readonly Side[];
  readonly announcer = new Announcer();
  readonly pool: WorkerPool;
  readonly ending = new AbortController();
  /** What goes on with the snapshot; null: nothing. */
  live: Broadcast | null = null;
  #description: ViewSnapshot | null = null;

  private constructor(sides: readonly Side[], pool: WorkerPool) {
    this.sides = sides;
    this.pool = pool;
  }

  /** @throws as openSnapshot, for each file */
  static async open(files: readonly string[], options: OpenSnapshotOptions = {}): Promise<Session> {
    const pool = new WorkerPool();
    const snapshots: Snapshot[] = [];
    try {
      for (const file of files) snapshots.push(await openSnapshot(file, options));
    } catch (error) {
      for (const snapshot of snapshots) await snapshot.close();
      throw error;
    }
    const sides = snapshots.map((snapshot) => {
      const tiles = new ContentTiles(snapshot, pool);
      return new Side(snapshot, (block, grid, query) => tiles.tile(block, grid, query));
    });
    const session = new Session(sides, pool);
    const [side, other] = sides;
    if (side !== undefined && other !== undefined)
      void compareSides(side, other, session.announcer, session.ending.signal);
    return session;
  }

  /** What the map shows. */
  get side(): Side {
    const [side] = this.sides;
    if (side === undefined) throw new Error("nothing is open");
    return side;
  }

  describe(): ViewSnapshot {
    const other = this.sides[1];
    this.#description ??= {
      version: toolVersion,
      file: describeSide(this.side),
      other: other === undefined ? null : describeSide(other),
      live: this.live?.what ?? null,
    };
    return this.#description;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.ending.abort(new Error("the viewer ends"));
    this.announcer.close();
    this.live?.close();
    await this.pool.close();
    for (const { snapshot } of this.sides) await snapshot.close();
  }
}
