import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FixedramError, systemError } from "../errors.ts";
import { readUpTo } from "./read-up-to.ts";
import type { TargetIdentity } from "./shared-target.ts";
import { type FileSystemCalls, nodeCalls } from "./system-calls.ts";
import { inspectTarget, partialPath, type TargetPlace } from "./target-path.ts";
import { type WriteTarget, writeFully, writevFully } from "./write-fully.ts";

/**
 * Bytes after which the disk is set to work. Left to itself the system keeps gigabytes in memory, and the disk stands idle
 * until the fsync at the end, for which a stopped guest waits.
 */
const pushBytes = 128 * 1024 * 1024;

/**
 * A file being written beside its final name: `.NAME.fixedram-PID-RANDOM.partial`, made new with mode 0600, written at any
 * place, and given its name only by {@link TargetFile.commit}, when every byte is on disk. Until then an older file of that
 * name stays as it is.
 *
 * Errors: `system.disk-full`, `system.permission`, `system.io`, with the partial file's path.
 */
export class TargetFile {
  readonly place: TargetPlace;
  /** Where the bytes are until commit. */
  readonly partial: string;
  readonly fd: number;
  readonly #calls: FileSystemCalls;
  readonly #target: WriteTarget;
  #state: "open" | "renamed" | "closed" = "open";
  #unpushed = 0;
  #push: Promise<void> | null = null;
  #pushFailure: unknown = null;
  /** The file that had the name before. */
  #older: number | null = null;

  private constructor(place: TargetPlace, partial: string, fd: number, calls: FileSystemCalls) {
    this.place = place;
    this.partial = partial;
    this.fd = fd;
    this.#calls = calls;
    this.#target = { calls, fd, path: partial };
  }

  /** For {@link SharedTarget.open} in another thread. */
  get identity(): TargetIdentity {
    const { dev, ino } = this.#calls.fstatSync(this.fd, { bigint: true });
    return { path: this.partial, dev: String(dev), ino: String(ino) };
  }

  /** Makes the partial file, whose path `announce` hears before. @throws what {@link inspectTarget} throws; `system.*` */
  static create(
    target: string | TargetPlace,
    calls: FileSystemCalls = nodeCalls,
    announce: (partial: string) => void = () => {},
  ): TargetFile {
    const place = typeof target === "string" ? inspectTarget(target, calls) : target;
    const flags = constants.O_CREAT | constants.O_EXCL | constants.O_RDWR | constants.O_NOFOLLOW;
    const partial = partialPath(place.path, process.pid, randomBytes(6).toString("hex"));
    announce(partial);
    try {
      return new TargetFile(place, partial, calls.openSync(partial, flags, 0o600), calls);
    } catch (error) {
      throw systemError(error, partial, "making the temporary file beside the target");
    }
  }

  /** The file for writers in other threads, who tell {@link TargetFile.wrote}; null where the system's calls are replaced. */
  get shared(): { readonly fd: number; readonly name: string } | null {
    return this.#calls === nodeCalls ? { fd: this.fd, name: this.partial } : null;
  }

  /** Writes all of `bytes` at `position`. */
  write(bytes: Uint8Array, position: number): void {
    writeFully(this.#target, bytes, position);
    this.wrote(bytes.length);
  }

  /** Writes all of `views`, one after the other, from `position`; any number of them. */
  writev(views: readonly Uint8Array[], position: number): void {
    this.wrote(writevFully(this.#target, views, position));
  }

  /** Gives the file to another user, or back to ours. @throws `system.*` */
  give({ uid, gid }: { readonly uid: number; readonly gid: number }): void {
    try {
      this.#calls.fchownSync(this.fd, uid, gid);
    } catch (error) {
      throw this.#failed(error, "giving the file to QEMU's user");
    }
  }

  /** Reads back up to target.length bytes at `position`; fewer only at the end of what was written. */
  readBack(target: Uint8Array, position: number): number {
    return readUpTo(this.#calls, this.fd, this.partial, target, position, "reading back");
  }

  /** Sets the file's size, bytes; a larger one leaves a hole. */
  truncate(size: number): void {
    try {
      this.#calls.ftruncateSync(this.fd, size);
    } catch (error) {
      throw this.#failed(error, "setting the file's size");
    }
  }

  /** Size and allocated bytes (without holes) of the file as it is now. */
  sizes(): { readonly apparent: number; readonly allocated: number } {
    const stat = this.#calls.fstatSync(this.fd, { bigint: true });
    return { apparent: Number(stat.size), allocated: Number(stat.blocks * 512n) };
  }

  /** Waits until every byte is on disk. */
  async sync(): Promise<void> {
    try {
      await this.#push;
      // The system tells of a lost write once: the sync that was told has the last word.
      if (this.#pushFailure !== null) throw this.#pushFailure;
      await this.#calls.fsync(this.fd);
    } catch (error) {
      throw this.#failed(error, "bringing the file to disk");
    }
  }

  /**
   * Syncs the file, gives it its final name in place of an older file, syncs the folder and closes. After a failure
   * {@link TargetFile.abort} removes the partial file; a failed sync is never tried again, for the system forgets what it lost.
   */
  async commit(): Promise<void> {
    await this.sync();
    this.rename();
    await this.syncFolder();
    this.#close();
  }

  /** The rename alone, for a caller that goes through the steps of {@link TargetFile.commit} by itself. */
  rename(): void {
    if (this.#state !== "open") throw new Error(`the target file is ${this.#state}`);
    // Without this the rename itself would give back all that the older file holds: 0.1 to 0.4 s a GiB, the guest waiting.
    this.#older = this.#openOlder();
    try {
      this.#calls.renameSync(this.partial, this.place.path);
    } catch (error) {
      throw systemError(error, this.place.path, "giving the file its final name");
    }
    this.#state = "renamed";
  }

  async syncFolder(): Promise<void> {
    const { folder } = this.place;
    try {
      const fd = this.#calls.openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
      try {
        await this.#calls.fsync(fd);
      } finally {
        this.#calls.closeSync(fd);
      }
    } catch (error) {
      throw systemError(error, folder, "bringing the folder to disk");
    }
  }

  /** Closes, and removes the partial file unless it already carries the final name. Never throws; may be called again. */
  async abort(): Promise<void> {
    const { partial } = this;
    if (this.#state === "open") {
      try {
        this.#calls.unlinkSync(partial);
      } catch {
        // The next save to the same path names what is left.
      }
    }
    this.#close();
  }

  /**
   * So many bytes more were written, by this object or by another thread ({@link SharedTarget}): sets the disk to work on them,
   * one sync at a time, beside the writing.
   */
  wrote(count: number): void {
    this.#unpushed += count;
    if (this.#unpushed < pushBytes || this.#push !== null) return;
    this.#unpushed = 0;
    this.#push = this.#calls
      .fdatasync(this.fd)
      .catch((error: unknown) => {
        this.#pushFailure ??= error;
      })
      .finally(() => {
        this.#push = null;
      });
  }

  #openOlder(): number | null {
    if (this.place.existing === null) return null;
    try {
      return this.#calls.openSync(this.place.path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch {
      // It only saves time.
      return null;
    }
  }

  #close(): void {
    if (this.#older !== null) void this.#calls.close(this.#older).catch(() => {});
    this.#older = null;
    if (this.#state === "closed") return;
    this.#state = "closed";
    // A number that is closed may soon mean another file: not while a sync is under way. Nor is that waited for, when a save
    // has failed and the guest is to go on.
    if (this.#push === null) this.#closeFile();
    else void this.#push.then(() => this.#closeFile());
  }

  #closeFile(): void {
    try {
      this.#calls.closeSync(this.fd);
    } catch {
      // Nothing can be lost here: the bytes were synced, or the file is gone.
    }
  }

  #failed(error: unknown, doing: string): FixedramError {
    return systemError(error, this.partial, doing);
  }
}

/** Writes a file in one go, or leaves what is there: temporary file, fsync, rename. @throws FixedramError `system.*`, `usage.*` */
export async function writeWhole(path: string, bytes: Uint8Array): Promise<void> {
  const target = TargetFile.create(path);
  try {
    target.write(bytes, 0);
    await target.commit();
  } catch (error) {
    await target.abort();
    throw error;
  }
}
