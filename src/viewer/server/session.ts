import type { Snapshot } from "../../containers/snapshot.ts";
import { FixedramError } from "../../errors.ts";
import { toolVersion } from "../../installation.ts";
import { type OpenSnapshotOptions, openSnapshot } from "../../operations/open.ts";
import type { RamBlock } from "../../pages/block.ts";
import { WorkerPool } from "../../workers/pool.ts";
import type { ViewFile, ViewSnapshot } from "../shared/protocol.ts";
import { compareSides } from "./compare.ts";
import { ContentTiles } from "./content-tiles.ts";
import { describeSide, describeUnfinished } from "./describe.ts";
import { Announcer } from "./events.ts";
import type { Broadcast } from "./live/broadcast.ts";
import { Side } from "./side.ts";

/** What one viewer looks at. */
export class Session implements AsyncDisposable {
  readonly announcer = new Announcer();
  readonly pool: WorkerPool;
  readonly ending = new AbortController();
  /** What goes on with the snapshot; null: nothing. */
  live: Broadcast | null = null;
  #sides: readonly Side[] = [];
  #description: ViewSnapshot | null = null;
  /** What is known of a file that is still being written; null: it is there. */
  #saved: ViewFile | null = null;

  private constructor(pool: WorkerPool) {
    this.pool = pool;
  }

  /** @throws as openSnapshot, for each file */
  static async open(files: readonly string[], options: OpenSnapshotOptions = {}): Promise<Session> {
    const session = new Session(new WorkerPool());
    await session.#open(files, options);
    const [side, other] = session.sides;
    if (side !== undefined && other !== undefined)
      void compareSides(side, other, session.announcer, session.ending.signal);
    return session;
  }

  /** About a file that is about to be written. @param path its name, when it will be there */
  static ofSave(path: string): Session {
    const session = new Session(new WorkerPool());
    session.#saved = describeUnfinished(path, []);
    return session;
  }

  /** The blocks of the file that is being written are known. */
  saving(blocks: readonly RamBlock[]): void {
    this.#saved = describeUnfinished(this.#saved?.path ?? "", blocks);
    this.#changed();
  }

  /** The file that was written is there. @throws as openSnapshot */
  async attach(path: string): Promise<void> {
    await this.#open([path], {});
    this.#saved = null;
    this.#changed();
  }

  /** The page asks for the description once more. */
  #changed(): void {
    this.#description = null;
    this.announcer.tell("snapshot", {});
  }

  async #open(files: readonly string[], options: OpenSnapshotOptions): Promise<void> {
    const snapshots: Snapshot[] = [];
    try {
      for (const file of files) snapshots.push(await openSnapshot(file, options));
    } catch (error) {
      for (const snapshot of snapshots) await snapshot.close();
      throw error;
    }
    this.#sides = snapshots.map((snapshot) => {
      const tiles = new ContentTiles(snapshot, this.pool);
      return new Side(snapshot, (block, grid, query) => tiles.tile(block, grid, query));
    });
  }

  get sides(): readonly Side[] {
    return this.#sides;
  }

  /** What the map shows. @throws `file.being-saved` */
  get side(): Side {
    const [side] = this.sides;
    if (side !== undefined) return side;
    throw new FixedramError("file.being-saved", "the snapshot is still being saved", {
      hint: "It can be looked into as soon as it is on disk.",
    });
  }

  describe(): ViewSnapshot {
    const other = this.sides[1];
    this.#description ??= {
      version: toolVersion,
      file: this.#saved ?? describeSide(this.side),
      pending: this.#saved !== null,
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
