import { randomBytes } from "node:crypto";
import { constants, type Stats } from "node:fs";
import { join, resolve } from "node:path";
import { FixedramError, systemError } from "../errors.ts";
import { type FileSystemCalls, nodeCalls } from "./system-calls.ts";
import { TargetFile } from "./target-file.ts";
import { inspectTarget, partialPath, type TargetPlace } from "./target-path.ts";

/**
 * A folder of files being written beside its final name: `.NAME.fixedram-PID-RANDOM.partial`, made new with mode 0700, and given
 * its name when every file in it is on disk.
 */
export class TargetFolder {
  readonly place: TargetPlace;
  readonly #partial: string;
  readonly #calls: FileSystemCalls;
  readonly #files: TargetFile[] = [];
  #sizes = { apparent: 0, allocated: 0 };
  #open = true;

  private constructor(place: TargetPlace, partial: string, calls: FileSystemCalls) {
    this.place = place;
    this.#partial = partial;
    this.#calls = calls;
  }

  /** @throws `usage.target-exists`, and what {@link inspectTarget} throws; `system.*` */
  static create(asked: string, calls: FileSystemCalls = nodeCalls): TargetFolder {
    const path = resolve(asked);
    requireFree(path, asked, calls);
    const place = emptyFolder(path, calls) ? placeOver(path, asked, calls) : inspectTarget(path, calls);
    const partial = partialPath(place.path, process.pid, randomBytes(6).toString("hex"));
    try {
      calls.mkdirSync(partial, 0o700);
    } catch (error) {
      throw systemError(error, partial, "making the temporary folder beside the target");
    }
    return new TargetFolder(place, partial, calls);
  }

  /** @param name without folders */
  file(name: string): TargetFile {
    const file = TargetFile.create(join(this.#partial, name), this.#calls);
    this.#files.push(file);
    return file;
  }

  /** Bytes of all files together, as of {@link TargetFolder.commit}. */
  sizes(): { readonly apparent: number; readonly allocated: number } {
    return this.#sizes;
  }

  /** Brings every file to disk, then gives the folder its name. */
  async commit(): Promise<void> {
    for (const file of this.#files) {
      const { apparent, allocated } = file.sizes();
      this.#sizes = { apparent: this.#sizes.apparent + apparent, allocated: this.#sizes.allocated + allocated };
      await file.commit();
    }
    try {
      this.#calls.renameSync(this.#partial, this.place.path);
    } catch (error) {
      throw systemError(error, this.place.path, "giving the folder its final name");
    }
    this.#open = false;
    await syncFolder(this.place.folder, this.#calls);
  }

  /** Removes what was made, unless it has its final name already. Never throws. */
  async abort(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    for (const file of this.#files) await file.abort();
    try {
      this.#calls.removeFolderSync(this.#partial);
    } catch {
      // The next one to the same path names what is left.
    }
  }
}

function emptyFolder(path: string, calls: FileSystemCalls): boolean {
  try {
    return calls.readdirSync(path).length === 0;
  } catch {
    return false;
  }
}

/** A folder that is there and empty is replaced: the rename takes its place. */
function placeOver(path: string, asked: string, calls: FileSystemCalls): TargetPlace {
  const probe = inspectTarget(`${path}.new`, calls);
  return { ...probe, asked, path };
}

function requireFree(path: string, asked: string, calls: FileSystemCalls): void {
  let stat: Stats;
  try {
    stat = calls.lstatSync(path);
  } catch {
    return;
  }
  if (stat.isDirectory() && emptyFolder(path, calls)) return;
  throw new FixedramError("usage.target-exists", "the folder to write to is there already", {
    path: asked,
    expected: "a new name, or an empty folder",
    hint: "Remove it, or choose another name.",
  });
}

async function syncFolder(folder: string, calls: FileSystemCalls): Promise<void> {
  try {
    const fd = calls.openSync(folder, constants.O_RDONLY);
    try {
      await calls.fsync(fd);
    } finally {
      calls.closeSync(fd);
    }
  } catch (error) {
    throw systemError(error, folder, "bringing the folder to disk");
  }
}
