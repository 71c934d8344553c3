import { Buffer } from "node:buffer";
import { closeSync, constants, fstatSync, ftruncateSync, openSync, type Stats, statSync, writeSync } from "node:fs";
import { FixedramError, systemError } from "../errors.ts";
import type { Activity } from "../operations/resume-lazy.ts";

/** Where `--events` goes: a file, or a pipe that is never waited for. */
export interface Events {
  write(batch: readonly Activity[]): void;
  /** @returns events that a reader was too slow for */
  close(): number;
}

/**
 * Opens the target of `--events`. Nothing of it may hold up who watches over a guest: a pipe takes what fits, with or without a reader, and the rest
 * is counted.
 *
 * @param file the snapshot, which is not written to under any of its names
 * @throws FixedramError `usage.same-file`; `system.*`
 */
export function openEvents(path: string, file: string): Events {
  const there = statSync(path, { throwIfNoEntry: false });
  requireOther(there, path, file);
  let fd: number;
  try {
    // A pipe that nobody reads can be opened to write only by waiting, or for both.
    const access = there?.isFIFO() === true ? constants.O_RDWR : constants.O_WRONLY | constants.O_CREAT;
    fd = openSync(path, access | constants.O_NONBLOCK, 0o600);
  } catch (error) {
    throw systemError(error, path, "opening the file for events");
  }
  try {
    const stat = fstatSync(fd);
    requireOther(stat, path, file);
    if (stat.isFile()) ftruncateSync(fd, 0);
  } catch (error) {
    closeSync(fd);
    throw systemError(error, path, "opening the file for events");
  }
  return new Lines(fd);
}

function requireOther(there: Stats | undefined, path: string, file: string): void {
  const snapshot = statSync(file, { throwIfNoEntry: false });
  if (there === undefined || snapshot === undefined) return;
  if (there.dev !== snapshot.dev || there.ino !== snapshot.ino) return;
  throw new FixedramError("usage.same-file", "the events would be written over the snapshot", {
    path,
    hint: "Give --events another file, or a pipe.",
  });
}

/** One line for each: `{"time":..., "kind":"fault","block":0,"page":17,"pages":1,"took":23}`; whole lines, or none. */
class Lines implements Events {
  readonly #fd: number;
  /** What did not fit: its first line may be half out. */
  #rest: Buffer = Buffer.alloc(0);
  #lost = 0;

  constructor(fd: number) {
    this.#fd = fd;
  }

  write(batch: readonly Activity[]): void {
    this.#flush();
    if (this.#rest.length > 0) {
      this.#lost += batch.length;
      return;
    }
    const lines = batch.map(([kind, block, page, pages, time, took]) =>
      JSON.stringify({ time: Math.round(time * 1000) / 1000, kind, block, page, pages, took: Math.round(took) }),
    );
    this.#rest = Buffer.from(`${lines.join("\n")}\n`);
    this.#flush();
  }

  close(): number {
    this.#flush();
    for (const byte of this.#rest) if (byte === 0x0a) this.#lost++;
    closeSync(this.#fd);
    return this.#lost;
  }

  #flush(): void {
    try {
      while (this.#rest.length > 0) this.#rest = this.#rest.subarray(writeSync(this.#fd, this.#rest));
    } catch (error) {
      // EAGAIN: a reader that is slow gets it later. Else whoever read has gone.
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") this.#rest = Buffer.alloc(0);
    }
  }
}
