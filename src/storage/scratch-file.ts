import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemError } from "../errors.ts";
import type { Store } from "../pages/store.ts";
import { readUpTo } from "./read-up-to.ts";
import { type FileSystemCalls, nodeCalls } from "./system-calls.ts";

/**
 * An anonymous temporary file: mode 0600, and its name is gone before the first byte is written, so nothing is left behind
 * whatever happens to us.
 */
export class ScratchFile implements Store {
  readonly name: string;
  readonly fd: number;
  readonly #calls: FileSystemCalls;
  #size = 0;
  #open = true;

  private constructor(name: string, fd: number, calls: FileSystemCalls) {
    this.name = name;
    this.fd = fd;
    this.#calls = calls;
  }

  /**
   * @param folder default: $TMPDIR, else /var/tmp (a disk, where /tmp may be memory), else the system's own choice
   * @throws `system.permission`, `system.disk-full`, `system.not-found`, `system.io`
   */
  static create(folder?: string, calls: FileSystemCalls = nodeCalls): ScratchFile {
    const path = join(folder ?? defaultFolder(calls), `.fixedram-${process.pid}-${randomBytes(8).toString("hex")}`);
    try {
      const flags = constants.O_CREAT | constants.O_EXCL | constants.O_RDWR | constants.O_NOFOLLOW;
      const fd = calls.openSync(path, flags, 0o600);
      calls.unlinkSync(path);
      return new ScratchFile(path, fd, calls);
    } catch (error) {
      throw systemError(error, path, "making a temporary file", "Set TMPDIR to a folder with space on a disk.");
    }
  }

  /** Bytes written so far, the highest position + 1. */
  get size(): number {
    return this.#size;
  }

  write(bytes: Uint8Array, position: number): void {
    let done = 0;
    try {
      while (done < bytes.length) {
        done += this.#calls.writeSync(this.fd, bytes, done, bytes.length - done, position + done);
      }
    } catch (error) {
      throw systemError(
        error,
        this.name,
        "writing to the temporary file",
        "Set TMPDIR to a folder with more space on a disk.",
      );
    }
    this.#size = Math.max(this.#size, position + bytes.length);
  }

  readonly readSync = (target: Uint8Array, position: number): number => {
    return readUpTo(this.#calls, this.fd, this.name, target, position);
  };

  async read(target: Uint8Array, position: number, signal?: AbortSignal): Promise<number> {
    signal?.throwIfAborted();
    return this.readSync(target, position);
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    this.#calls.closeSync(this.fd);
  }
}

function defaultFolder(calls: FileSystemCalls): string {
  const wished = process.env["TMPDIR"];
  if (wished !== undefined && wished !== "") return wished;
  try {
    calls.accessSync("/var/tmp", constants.W_OK | constants.X_OK);
    return "/var/tmp";
  } catch {
    return tmpdir();
  }
}
