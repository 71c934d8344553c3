/** Who holds bytes: a local file, later an object store. Positions and lengths are bytes. */
export interface Store {
  /** What a person calls it, for messages: a path or an address. */
  readonly name: string;
  /** Bytes, as of opening. */
  readonly size: number;
  /** Local files can be read without leaving the thread; faults are served this way. */
  readonly readSync?: (target: Uint8Array, position: number) => number;
  /** The same into several targets, one after the other: pages go to places of their own without being copied. */
  readonly readvSync?: (targets: readonly Uint8Array[], position: number) => number;
  /** The same without holding the thread. */
  readonly readv?: (targets: readonly Uint8Array[], position: number) => Promise<number>;
  /** Reads up to `target.length` bytes at `position`; fewer only at the end. */
  read(target: Uint8Array, position: number, signal?: AbortSignal): Promise<number>;
  close(): Promise<void>;
}
