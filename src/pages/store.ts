/** Who holds bytes: a local file, later an object store. Positions and lengths are bytes. */
export interface Store {
  /** What a person calls it, for messages: a path or an address. */
  readonly name: string;
  /** Bytes, as of opening. */
  readonly size: number;
  /** Local files can be read without leaving the thread; faults are served this way. */
  readonly readSync?: (target: Uint8Array, position: number) => number;
  /** Reads up to `target.length` bytes at `position`; fewer only at the end. */
  read(target: Uint8Array, position: number, signal?: AbortSignal): Promise<number>;
  close(): Promise<void>;
}
