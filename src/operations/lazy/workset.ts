import { FixedramError, systemError, withPath } from "../../errors.ts";
import {
  decodeWorkingSet,
  encodeWorkingSet,
  maxWorkingSetBytes,
  type WorkingSet,
  type WorkingSetRecorder,
} from "../../postcopy/working-set.ts";
import { FileStore } from "../../storage/file-store.ts";
import { TargetFile } from "../../storage/target-file.ts";
import type { ServedFile } from "./served-file.ts";

type Pages = Pick<ServedFile, "map">;

/**
 * Reads a working set; a pipe or a device is not waited for.
 *
 * @param key see snapshotKey
 * @returns null: there is none
 * @throws FixedramError `file.working-set`, `file.other-working-set`, `file.not-regular`, `system.*`
 */
export async function readWorkingSet(path: string, key: string, { map }: Pages): Promise<WorkingSet | null> {
  let store: FileStore;
  try {
    store = FileStore.open(path);
  } catch (error) {
    if (error instanceof FixedramError && error.code === "system.not-found") return null;
    throw error;
  }
  try {
    if (store.size > maxWorkingSetBytes) {
      throw new FixedramError("file.working-set", "the working set is larger than any that is made", {
        path,
        expected: `at most ${maxWorkingSetBytes} bytes`,
        found: `${store.size} bytes`,
        hint: "Remove the file: it is recorded anew.",
      });
    }
    const bytes = new Uint8Array(store.size);
    const got = await store.read(bytes, 0);
    return decodeWorkingSet(new TextDecoder().decode(bytes.subarray(0, got)), key, map.blocks);
  } catch (error) {
    throw withPath(systemError(error, path, "reading the working set"), path);
  } finally {
    await store.close();
  }
}

/** Where a guest's working set comes from and goes to. */
export interface WorkingSetPlaces {
  /** null: none is sent ahead. */
  readonly prefetch: string | null;
  /** null: it is not kept. */
  readonly record: string | null;
}

/**
 * The working set of one guest's snapshot, which only makes a resume faster: one that is no good (an older snapshot's of the same name, a broken
 * one) is told of and done without, and the next one takes its place.
 */
export class KeptWorkingSet {
  readonly #places: WorkingSetPlaces;
  readonly #key: string;
  readonly #file: Pages;
  readonly #note: (message: string) => void;
  #earlier: WorkingSet | null = null;
  /** What lies there is no working set of this snapshot, and is replaced. */
  #useless = false;

  constructor(places: WorkingSetPlaces, key: string, file: Pages, note: (message: string) => void) {
    this.#places = places;
    this.#key = key;
    this.#file = file;
    this.#note = note;
  }

  /** @returns null: there is none, or it is no good */
  async read(): Promise<WorkingSet | null> {
    const { prefetch, record } = this.#places;
    if (prefetch === null) return null;
    try {
      this.#earlier = await readWorkingSet(prefetch, this.#key, this.#file);
    } catch (error) {
      this.#useless = error instanceof FixedramError && error.code.endsWith("working-set");
      const then = this.#useless && record !== null ? " It is recorded anew." : "";
      this.#note(`The working set is not used: ${because(error)} (${prefetch}).${then}`);
    }
    return this.#earlier;
  }

  /** Adds what a guest touched. What goes wrong is told. */
  async keep(recorder: WorkingSetRecorder): Promise<void> {
    const path = this.#places.record;
    if (path === null) return;
    try {
      const target = TargetFile.create(path);
      try {
        const set = recorder.merged((await this.#now(path)) ?? this.#earlier, this.#key);
        target.write(new TextEncoder().encode(encodeWorkingSet(set)), 0);
        await target.commit();
      } catch (error) {
        await target.abort();
        throw error;
      }
    } catch (error) {
      this.#note(`The working set was not kept: ${because(error)}.`);
    }
  }

  /** Another guest of the same snapshot may have written it meanwhile: then its pages count as well. */
  async #now(path: string): Promise<WorkingSet | null> {
    try {
      return await readWorkingSet(path, this.#key, this.#file);
    } catch (error) {
      if (this.#useless) return null;
      throw error;
    }
  }
}

function because(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
