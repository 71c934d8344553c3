import { constants, type Stats } from "node:fs";
import { FixedramError, systemError } from "../errors.ts";
import type { Store } from "../pages/store.ts";
import { readUpTo } from "./read-up-to.ts";
import { type FileSystemCalls, nodeCalls } from "./system-calls.ts";

/** Most targets the system takes in one readv. */
const maxViews = 1024;

/** Tells one file, in one state, from another: two opens that give the same identity read the same bytes. */
export interface FileIdentity {
  readonly dev: string;
  readonly ino: string;
  /** Bytes. */
  readonly size: number;
  /** Nanoseconds since 1970, in decimal. */
  readonly mtimeNs: string;
}

/** A local regular file, open for reading. */
export class FileStore implements Store {
  readonly name: string;
  readonly size: number;
  readonly identity: FileIdentity;
  /** Bytes the filesystem holds for the file as of opening; holes take none. */
  readonly allocated: number;
  readonly fd: number;
  readonly #calls: FileSystemCalls;
  #open = true;

  private constructor(name: string, fd: number, calls: FileSystemCalls) {
    const stat = calls.fstatSync(fd, { bigint: true });
    this.name = name;
    this.fd = fd;
    this.#calls = calls;
    this.size = Number(stat.size);
    this.allocated = Number(stat.blocks * 512n);
    this.identity = { dev: String(stat.dev), ino: String(stat.ino), size: this.size, mtimeNs: String(stat.mtimeNs) };
  }

  /**
   * @param name what messages call it, when the path is none to show (`/proc/self/fd/4`)
   * @throws `file.not-regular` for a folder, pipe, socket or device; `system.not-found`, `system.permission`, `system.io`
   */
  static open(path: string, calls: FileSystemCalls = nodeCalls, name = path): FileStore {
    try {
      // Looked at before it is opened: opening a pipe or a device can wait, or do something.
      requireRegular(name, calls.statSync(path));
      const fd = calls.openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
      try {
        const stat = calls.fstatSync(fd, { bigint: true });
        if (!stat.isFile()) throw notRegular(name, "something else by the time it was opened");
        return new FileStore(name, fd, calls);
      } catch (error) {
        calls.closeSync(fd);
        throw error;
      }
    } catch (error) {
      throw systemError(error, name, "opening the file", hintOf(error));
    }
  }

  /** Reads up to target.length bytes at `position` without leaving the thread; fewer only at the end of the file. */
  readonly readSync = (target: Uint8Array, position: number): number => {
    return readUpTo(this.#calls, this.fd, this.name, target, position);
  };

  /** The file is as it was when it was opened: as long, and not written to. One system call, about 10 us. */
  get unchanged(): boolean {
    const { size, mtimeNs } = this.#calls.fstatSync(this.fd, { bigint: true });
    return Number(size) === this.size && String(mtimeNs) === this.identity.mtimeNs;
  }

  /** The same into `targets`, one after the other; any number of them. Returns the bytes read. */
  readonly readvSync = (targets: readonly Uint8Array[], position: number): number => {
    let done = 0;
    for (let first = 0; first < targets.length; first += maxViews) {
      const group = targets.length <= maxViews ? targets : targets.slice(first, first + maxViews);
      const length = group.reduce((sum, { length }) => sum + length, 0);
      const count = this.#readGroup(group, length, position + done);
      done += count;
      if (count < length) break;
    }
    return done;
  };

  #readGroup(group: readonly Uint8Array[], length: number, position: number): number {
    let done = 0;
    try {
      if (length > 0) done = this.#calls.readvSync(this.fd, group, position);
    } catch (error) {
      throw systemError(error, this.name, `reading at byte ${position}`);
    }
    // After a short read, rare but for the end of the file, the rest is read target by target.
    let start = 0;
    for (const target of group) {
      if (done >= length) break;
      const end = start + target.length;
      if (end > done) {
        const missing = target.subarray(Math.max(0, done - start));
        const count = this.readSync(missing, position + done);
        done += count;
        if (count < missing.length) break;
      }
      start = end;
    }
    return done;
  }

  /** As {@link FileStore.readvSync}, without holding the thread. */
  readonly readv = async (targets: readonly Uint8Array[], position: number): Promise<number> => {
    let done = 0;
    for (let first = 0; first < targets.length; first += maxViews) {
      const group = targets.slice(first, first + maxViews);
      const length = group.reduce((sum, each) => sum + each.length, 0);
      let count = 0;
      try {
        count = await this.#calls.readv(this.fd, group, position + done);
      } catch (error) {
        throw systemError(error, this.name, `reading at byte ${position + done}`);
      }
      // Its rest, after a short read, is found in the cache or not at all.
      if (count < length) return done + this.#readGroup(group, length, position + done);
      done += count;
    }
    return done;
  };

  async read(target: Uint8Array, position: number, signal?: AbortSignal): Promise<number> {
    let done = 0;
    try {
      while (done < target.length) {
        signal?.throwIfAborted();
        const count = await this.#calls.read(this.fd, target, done, target.length - done, position + done);
        if (count === 0) break;
        done += count;
      }
    } catch (error) {
      if (signal?.aborted) throw error;
      throw systemError(error, this.name, `reading at byte ${position + done}`);
    }
    return done;
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    this.#calls.closeSync(this.fd);
  }
}

function hintOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code === "EACCES"
    ? "Snapshots are for their owner alone: run this as that user, or as root."
    : undefined;
}

/** What a path leads to, in the words used to a person; null for a regular file. */
export function kindOfFile(stat: Stats): string | null {
  if (stat.isFile()) return null;
  if (stat.isDirectory()) return "folder";
  if (stat.isFIFO()) return "pipe";
  if (stat.isSocket()) return "socket";
  if (stat.isCharacterDevice()) return "character device";
  if (stat.isBlockDevice()) return "block device";
  return "special file";
}

function requireRegular(path: string, stat: Stats): void {
  const kind = kindOfFile(stat);
  if (kind !== null) throw notRegular(path, `a ${kind}`);
}

/** @param found with its article */
export function notRegular(path: string, found: string): FixedramError {
  return new FixedramError("file.not-regular", `the path leads to ${found}, not to a regular file`, {
    path,
    expected: "a regular file",
    found,
    hint:
      found === "a folder"
        ? "Name the file in it."
        : "A snapshot is read at any place, so it must be a file on disk: copy it to one first. Only convert takes a pipe, as its input: convert - OUT < PIPE",
  });
}
