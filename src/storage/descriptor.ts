import type { Store } from "../pages/store.ts";
import { FileStore } from "./file-store.ts";
import { ScratchFile } from "./scratch-file.ts";

/** The descriptor of a store that is a local file, for threads of this process to read; null for every other store. */
export function descriptorOf(store: Store): number | null {
  return store instanceof FileStore || store instanceof ScratchFile ? store.fd : null;
}

/** A file that is open for reading, for threads of this process. */
export interface Descriptor {
  readonly fd: number;
  /** For messages. */
  readonly name: string;
}

/** The descriptors of all of them; null: there is one that threads cannot read. */
export function descriptorsOf(stores: readonly Store[]): readonly Descriptor[] | null {
  const found: Descriptor[] = [];
  for (const store of stores) {
    const fd = descriptorOf(store);
    if (fd === null) return null;
    found.push({ fd, name: store.name });
  }
  return found;
}
