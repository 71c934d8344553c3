import type { Store } from "../pages/store.ts";
import { FileStore } from "./file-store.ts";
import { ScratchFile } from "./scratch-file.ts";

/** The descriptor of a store that is a local file, for threads of this process to read; null for every other store. */
export function descriptorOf(store: Store): number | null {
  return store instanceof FileStore || store instanceof ScratchFile ? store.fd : null;
}
