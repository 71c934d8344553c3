import { rmSync } from "node:fs";
import type { Snapshot } from "../../containers/snapshot.ts";
import type { PrivateFolder } from "../../qemu/private-folder.ts";
import { FileStore } from "../../storage/file-store.ts";
import { openSnapshot } from "../open.ts";
import { HeldFile } from "./page-server.ts";
import { snapshotKey } from "./served-file.ts";

/** A snapshot that was looked at, and is held open for its page servers. */
export interface LazyFile {
  readonly snapshot: Snapshot;
  readonly held: HeldFile;
  readonly key: string;
  close(): Promise<void>;
}

/**
 * Opens a snapshot for being served. A stream without fixed places is read through here, once; its page servers get the index.
 *
 * @throws FixedramError of openSnapshot
 */
export async function openLazyFile(
  path: string,
  folder: PrivateFolder,
  verify: boolean,
  options: {
    readonly onRead?: (bytes: number, total: number) => void;
    readonly bigEndian?: boolean;
    readonly signal?: AbortSignal;
  },
): Promise<LazyFile> {
  const store = FileStore.open(path);
  const index = folder.socket("pages-of-stream");
  try {
    const snapshot = await openSnapshot(store, { ...options, index: "keep", indexPath: index });
    const held = new HeldFile(
      { path, identity: store.identity, index, verify, bigEndian: options.bigEndian ?? null },
      store.fd,
    );
    return {
      snapshot,
      held,
      key: snapshotKey(snapshot),
      close: async () => {
        await snapshot.close();
        await store.close();
        rmSync(index, { force: true });
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}
