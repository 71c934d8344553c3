import { rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import type { Snapshot } from "../../containers/snapshot.ts";
import type { PrivateFolder } from "../../qemu/private-folder.ts";
import { FileStore } from "../../storage/file-store.ts";
import { openSnapshot } from "../open.ts";
import { requireVerified } from "../resume/verified.ts";
import type { LazyResumeOptions } from "../resume-lazy.ts";
import { ServerKeeper } from "./keeper.ts";
import { snapshotKey } from "./served-file.ts";
import { readWorkingSet } from "./workset.ts";

/** Threads of a page server at most: beyond that the disk or the memory's bandwidth is the limit. */
const mostThreads = 8;

/** One processor is left to the guests: on two, a second thread costs more to start than it gives (docs/decisions/0010). */
export function usualThreads(): number {
  return Math.min(Math.max(1, availableParallelism() - 1), mostThreads);
}

/** Where a snapshot's working set is kept; null: it is not wanted. */
export function workingSetPath({
  file,
  prefetch = "auto",
}: Pick<LazyResumeOptions, "file" | "prefetch">): string | null {
  if (prefetch === "none") return null;
  return prefetch === "auto" ? `${resolve(file)}.workset` : resolve(prefetch);
}

/** A snapshot that was checked and looked at, held open for its page servers, of which one is started. */
export interface LazyFile {
  readonly snapshot: Snapshot;
  readonly keeper: ServerKeeper;
  readonly key: string;
  /** Ends the page server too, but for one that was left to itself (keeper.leave). */
  close(): Promise<void>;
}

/**
 * Opens a snapshot for being served to so many guests. A stream without fixed places is read through here, once; its page servers get the index.
 *
 * @throws FixedramError of requireVerified and openSnapshot, `file.working-set`, `file.other-working-set`
 */
export async function openLazyFile(
  options: Pick<LazyResumeOptions, "file" | "id" | "verify" | "bigEndian" | "signal" | "force" | "prefetch">,
  folder: PrivateFolder,
  { guests, threads = usualThreads() }: { readonly guests: number; readonly threads?: number | undefined },
  onRead: (bytes: number, total: number) => void = () => {},
): Promise<LazyFile> {
  const { file: path, verify, bigEndian, signal } = options;
  const store = FileStore.open(path);
  // A process takes longer to start than the file to be looked at.
  const keeper = new ServerKeeper(store.fd);
  const index = folder.socket("pages-of-stream");
  try {
    // Pages are checked one by one, as they are served.
    await requireVerified({ ...options, verify: false });
    const snapshot = await openSnapshot(store, {
      ...{ index: "keep", indexPath: index, onRead },
      ...(bigEndian === undefined ? {} : { bigEndian }),
      ...(signal === undefined ? {} : { signal }),
    });
    const key = snapshotKey(snapshot);
    await requireNamed(options, key, snapshot);
    const { identity } = store;
    keeper.open({
      ...{ path, identity, index, verify: verify === true, bigEndian: snapshot.bigEndian },
      ...{ guests, threads, warm: workingSetPath(options) },
    });
    return {
      snapshot,
      keeper,
      key,
      close: async () => {
        await keeper.stop();
        await snapshot.close();
        await store.close();
        rmSync(index, { force: true });
      },
    };
  } catch (error) {
    await keeper.stop();
    await store.close();
    throw error;
  }
}

/** A working set that was named has to be one of this snapshot: said before any QEMU is asked for anything. The usual one is only a help. */
async function requireNamed(
  { file, prefetch = "auto" }: Pick<LazyResumeOptions, "file" | "prefetch">,
  key: string,
  snapshot: Snapshot,
): Promise<void> {
  const path = prefetch === "auto" ? null : workingSetPath({ file, prefetch });
  if (path !== null) await readWorkingSet(path, key, snapshot);
}
