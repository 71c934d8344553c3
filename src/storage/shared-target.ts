import { constants } from "node:fs";
import { FixedramError, systemError } from "../errors.ts";
import { readUpTo } from "./read-up-to.ts";
import { type FileSystemCalls, nodeCalls } from "./system-calls.ts";
import { type WriteTarget, writeFully, writevFully } from "./write-fully.ts";

/** Which file it is, whatever its name: device and inode. Goes from thread to thread. */
export interface TargetIdentity {
  readonly path: string;
  readonly dev: string;
  readonly ino: string;
}

/** What direct I/O wants offsets, lengths and memory to be multiples of: enough for every disk in use. */
const directAlignment = 4096;

/**
 * A thread's own view of a file that another thread is making ({@link TargetFile}): descriptors of its own, which it closes
 * itself. It writes at places; size, sync and name are the maker's business.
 *
 * With direct I/O what is aligned goes past the page cache, and everything else through it. Where the system refuses, all of it
 * goes through the cache.
 */
export class SharedTarget {
  /** Bytes that went past the page cache. */
  directBytes = 0;
  readonly #target: WriteTarget;
  readonly #calls: FileSystemCalls;
  #direct: WriteTarget | null = null;

  private constructor(target: WriteTarget, direct: WriteTarget | null, calls: FileSystemCalls) {
    this.#target = target;
    this.#direct = direct;
    this.#calls = calls;
  }

  /** @throws `system.*`; `system.target-replaced` when another file lies at the path by now */
  static open(identity: TargetIdentity, direct = false, calls: FileSystemCalls = nodeCalls): SharedTarget {
    const { path } = identity;
    const flags = constants.O_RDWR | constants.O_NOFOLLOW;
    let fd: number;
    try {
      fd = calls.openSync(path, flags);
    } catch (error) {
      throw systemError(error, path, "opening the temporary file in another thread");
    }
    const stat = calls.fstatSync(fd, { bigint: true });
    if (String(stat.dev) !== identity.dev || String(stat.ino) !== identity.ino) {
      calls.closeSync(fd);
      throw new FixedramError("system.target-replaced", "another file was put in the place of our temporary one", {
        path,
        hint: "Something else writes to the target's folder. Save again, or to another folder.",
      });
    }
    const target = { calls, fd, path };
    return new SharedTarget(target, direct ? openDirect(target, flags, calls) : null, calls);
  }

  write(bytes: Uint8Array, position: number): void {
    if (this.#direct !== null && isAligned(bytes, position) && this.#writeDirect(this.#direct, bytes, position)) return;
    writeFully(this.#target, bytes, position);
  }

  writev(views: readonly Uint8Array[], position: number): void {
    writevFully(this.#target, views, position);
  }

  readBack(target: Uint8Array, position: number): number {
    const { fd, path } = this.#target;
    return readUpTo(this.#calls, fd, path, target, position, "reading back");
  }

  close(): void {
    for (const each of [this.#target, this.#direct]) if (each !== null) this.#calls.closeSync(each.fd);
    this.#direct = null;
  }

  /** False: not written, or not all of it; the page cache is to be used. */
  #writeDirect({ fd }: WriteTarget, bytes: Uint8Array, position: number): boolean {
    try {
      if (this.#calls.writeSync(fd, bytes, 0, bytes.length, position) !== bytes.length) return false;
      this.directBytes += bytes.length;
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // A filesystem that opens files so may still refuse to write to them so.
      if (code === "EINVAL" || code === "ENOTSUP" || code === "EOPNOTSUPP") {
        this.#calls.closeSync(fd);
        this.#direct = null;
      }
      return false;
    }
  }
}

function openDirect({ path }: WriteTarget, flags: number, calls: FileSystemCalls): WriteTarget | null {
  try {
    return { calls, path, fd: calls.openSync(path, flags | constants.O_DIRECT) };
  } catch {
    return null;
  }
}

function isAligned(bytes: Uint8Array, position: number): boolean {
  return (
    bytes.length > 0 &&
    bytes.length % directAlignment === 0 &&
    bytes.byteOffset % directAlignment === 0 &&
    position % directAlignment === 0
  );
}
