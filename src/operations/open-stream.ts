import { createHash } from "node:crypto";
import { FixedramError } from "../errors.ts";
import { decodeIndex, encodeIndex, maxIndexFileBytes, type StreamIdentity } from "../legacy/index-file.ts";
import { type LegacyStream, legacyStream, openLegacy, type StreamIndex } from "../legacy/reader.ts";
import type { Store } from "../pages/store.ts";
import { FileStore } from "../storage/file-store.ts";
import { ScratchFile } from "../storage/scratch-file.ts";
import { writeWhole } from "../storage/target-file.ts";
import type { OpenSnapshotOptions } from "./open.ts";

const endBytes = 2 ** 16;

/** Where the index of a stream is kept. */
export function indexPath(path: string): string {
  return `${path}.index`;
}

/**
 * Opens a legacy stream: from the index beside it when there is one that fits, else by reading it through.
 *
 * @param opened the store as a file; null when it has no place beside which an index could lie
 * @param place where the stream begins, and where it ends at the latest, bytes
 */
export async function openStream(
  store: Store,
  opened: FileStore | null,
  options: OpenSnapshotOptions,
  { base = 0, limit = store.size }: { readonly base?: number; readonly limit?: number } = {},
): Promise<LegacyStream> {
  const { signal, onRead, pageSize, index: use = "use" } = options;
  const file = opened ?? (options.indexPath !== undefined && store instanceof FileStore ? store : null);
  const identity = file === null || use === "ignore" ? null : await identify(file, signal);
  if (file !== null && identity !== null) {
    for (const path of [options.indexPath, indexPath(file.name)]) {
      const kept = path === undefined ? null : await readKept(path, identity, base, pageSize, signal);
      if (kept !== null) return legacyStream(store, kept, null);
    }
  }
  const stream = await openLegacy(store, {
    base,
    limit,
    scratch: () => ScratchFile.create(),
    ...(pageSize === undefined ? {} : { pageSize }),
    ...(onRead === undefined ? {} : { onRead }),
    ...(signal === undefined ? {} : { signal }),
  });
  if (file !== null && identity !== null && use === "keep" && stream.indexable) {
    try {
      await writeWhole(options.indexPath ?? indexPath(file.name), encodeIndex(stream.index, identity));
    } catch (error) {
      await stream.close();
      throw error;
    }
  }
  return stream;
}

async function identify(file: FileStore, signal: AbortSignal | undefined): Promise<StreamIdentity> {
  const hash = createHash("sha256");
  const piece = new Uint8Array(Math.min(endBytes, file.size));
  for (const offset of [0, file.size - piece.length]) {
    hash.update(piece.subarray(0, await file.read(piece, offset, signal)));
  }
  return { size: file.size, mtimeNs: file.identity.mtimeNs, ends: hash.digest() };
}

/** Null for an index that is missing, cannot be read, is damaged or belongs to another state of the file: it is only a help. */
async function readKept(
  path: string,
  identity: StreamIdentity,
  base: number,
  pageSize: number | undefined,
  signal: AbortSignal | undefined,
): Promise<StreamIndex | null> {
  let store: FileStore;
  try {
    store = FileStore.open(path);
  } catch {
    return null;
  }
  try {
    if (store.size > maxIndexFileBytes) return null;
    const bytes = new Uint8Array(store.size);
    const count = await store.read(bytes, 0, signal);
    return decodeIndex(bytes.subarray(0, count), identity, base, pageSize);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof RangeError || error instanceof FixedramError) return null;
    throw error;
  } finally {
    await store.close();
  }
}
