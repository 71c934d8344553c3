import { constants } from "node:fs";
import { FixedramError, systemError } from "../errors.ts";
import type { Store } from "../pages/store.ts";
import { kindOfFile, notRegular } from "./file-store.ts";
import { readUpTo } from "./read-up-to.ts";
import { type FileSystemCalls, nodeCalls } from "./system-calls.ts";

/**
 * An existing regular file, open for reading and for writing at its end; nobody else keeps a copy, so callers write only where
 * nothing stands, and bring it to disk step by step.
 *
 * Errors: `file.not-regular`, `system.*`, with the path.
 */
export class InPlaceFile implements Store {
  readonly name: string;
  readonly #fd: number;
  readonly #calls: FileSystemCalls;
  #open: boolean;

  private constructor(name: string, fd: number, calls: FileSystemCalls, open = true) {
    this.name = name;
    this.#fd = fd;
    this.#calls = calls;
    this.#open = open;
  }

  /** A file that somebody else has opened, and will close. @param name for messages */
  static over(fd: number, name: string, calls: FileSystemCalls = nodeCalls): InPlaceFile {
    return new InPlaceFile(name, fd, calls, false);
  }

  static open(path: string, calls: FileSystemCalls = nodeCalls): InPlaceFile {
    try {
      const kind = kindOfFile(calls.statSync(path));
      if (kind !== null) throw notRegular(path, `a ${kind}`);
      return new InPlaceFile(path, calls.openSync(path, constants.O_RDWR | constants.O_NONBLOCK), calls);
    } catch (error) {
      throw systemError(error, path, "opening the file to write to it");
    }
  }

  /** For other threads, which may read and write it while it is open; null where the system's calls are replaced. */
  get shared(): { readonly fd: number; readonly name: string } | null {
    return this.#calls === nodeCalls ? { fd: this.#fd, name: this.name } : null;
  }

  /** Bytes, as it is now. */
  get size(): number {
    return Number(this.#calls.fstatSync(this.#fd, { bigint: true }).size);
  }

  /** ISO 8601, UTC. */
  get modified(): string {
    return new Date(Number(this.#calls.fstatSync(this.#fd, { bigint: true }).mtimeMs)).toISOString();
  }

  readonly readSync = (target: Uint8Array, position: number): number => {
    return readUpTo(this.#calls, this.#fd, this.name, target, position);
  };

  readBack(target: Uint8Array, position: number): number {
    return this.readSync(target, position);
  }

  async read(target: Uint8Array, position: number, signal?: AbortSignal): Promise<number> {
    let done = 0;
    try {
      while (done < target.length) {
        signal?.throwIfAborted();
        const count = await this.#calls.read(this.#fd, target, done, target.length - done, position + done);
        if (count === 0) break;
        done += count;
      }
    } catch (error) {
      if (signal?.aborted) throw error;
      throw systemError(error, this.name, `reading at byte ${position + done}`);
    }
    return done;
  }

  /** Writes all of `bytes` at `position`. */
  write(bytes: Uint8Array, position: number): void {
    let done = 0;
    try {
      while (done < bytes.length) {
        const count = this.#calls.writeSync(this.#fd, bytes, done, bytes.length - done, position + done);
        if (count <= 0) throw new FixedramError("system.io", "the system wrote nothing and named no error", {});
        done += count;
      }
    } catch (error) {
      throw systemError(error, this.name, `writing at byte ${position + done}`);
    }
  }

  /** Sets the file's size, bytes. */
  truncate(size: number): void {
    try {
      this.#calls.ftruncateSync(this.#fd, size);
    } catch (error) {
      throw systemError(error, this.name, "setting the file's size");
    }
  }

  /** Waits until every byte is on disk. A failed one is never tried again: the system forgets what it lost. */
  async sync(): Promise<void> {
    try {
      await this.#calls.fsync(this.#fd);
    } catch (error) {
      throw systemError(error, this.name, "bringing the file to disk");
    }
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    this.#calls.closeSync(this.#fd);
  }
}
