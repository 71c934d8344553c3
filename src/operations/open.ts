import { withPath } from "../errors.ts";
import { type FixedRamFile, openFixedRam } from "../fixedram/reader.ts";
import { FileStore } from "../storage/file-store.ts";

export interface OpenedSnapshot {
  readonly store: FileStore;
  readonly file: FixedRamFile;
  close(): Promise<void>;
}

/**
 * Opens a snapshot file and checks its structure (docs/format.md, "What a reader checks"); no page is read.
 *
 * @throws FixedramError `file.*`, `stream.*`, `seal.unknown-*`, `system.*`, each with the path
 */
export async function openSnapshot(path: string, signal?: AbortSignal): Promise<OpenedSnapshot> {
  const store = FileStore.open(path);
  try {
    const file = await openFixedRam(store, signal === undefined ? {} : { signal });
    return { store, file, close: () => store.close() };
  } catch (error) {
    await store.close();
    throw withPath(error, path);
  }
}
