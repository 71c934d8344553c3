import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join, resolve } from "node:path";
import { FixedramError, systemError } from "../errors.ts";
import { TargetFile } from "./target-file.ts";
import { inspectTarget, partialPath, type TargetPlace } from "./target-path.ts";

/**
 * A folder of files being written beside its final name: `.NAME.fixedram-PID-RANDOM.partial`, made new with mode 0700, and given
 * its name when every file in it is on disk.
 */
export class TargetFolder {
  readonly place: TargetPlace;
  readonly #partial: string;
  readonly #files: TargetFile[] = [];
  #sizes = { apparent: 0, allocated: 0 };
  #open = true;

  private constructor(place: TargetPlace, partial: string) {
    this.place = place;
    this.#partial = partial;
  }

  /** @throws `usage.target-exists`, and what {@link inspectTarget} throws; `system.*` */
  static create(asked: string): TargetFolder {
    const path = resolve(asked);
    requireFree(path, asked);
    const place = emptyFolder(path) ? placeOver(path, asked) : inspectTarget(path);
    const partial = partialPath(place.path, process.pid, randomBytes(6).toString("hex"));
    try {
      fs.mkdirSync(partial, { mode: 0o700 });
    } catch (error) {
      throw systemError(error, partial, "Making the temporary folder beside the target");
    }
    return new TargetFolder(place, partial);
  }

  /** @param name without folders */
  file(name: string): TargetFile {
    const file = TargetFile.create(join(this.#partial, name));
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
      fs.renameSync(this.#partial, this.place.path);
    } catch (error) {
      throw systemError(error, this.place.path, "Giving the folder its final name");
    }
    this.#open = false;
    syncFolder(this.place.folder);
  }

  /** Removes what was made, unless it has its final name already. Never throws. */
  async abort(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    for (const file of this.#files) await file.abort();
    try {
      fs.rmSync(this.#partial, { recursive: true, force: true });
    } catch {
      // The next one to the same path names what is left.
    }
  }
}

function emptyFolder(path: string): boolean {
  try {
    return fs.readdirSync(path).length === 0;
  } catch {
    return false;
  }
}

/** A folder that is there and empty is replaced: the rename takes its place. */
function placeOver(path: string, asked: string): TargetPlace {
  const probe = inspectTarget(`${path}.new`);
  return { ...probe, asked, path };
}

function requireFree(path: string, asked: string): void {
  let stat: fs.Stats;
  try {
    stat = fs.lstatSync(path);
  } catch {
    return;
  }
  if (stat.isDirectory() && emptyFolder(path)) return;
  throw new FixedramError("usage.target-exists", "The folder to write to is there already", {
    path: asked,
    expected: "a new name, or an empty folder",
    hint: "Remove it, or choose another name.",
  });
}

function syncFolder(folder: string): void {
  try {
    const fd = fs.openSync(folder, fs.constants.O_RDONLY);
    try {
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    throw systemError(error, folder, "Bringing the folder to disk");
  }
}
