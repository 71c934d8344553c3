import type { Container } from "../containers/snapshot.ts";
import type { Store } from "../pages/store.ts";
import { ConvertRun } from "./convert/run.ts";
import type { Notice, OperationContext } from "./progress.ts";

export type ConvertTarget = "fixed-ram" | "stream" | "libvirt-sparse" | "raw";

export interface ConvertOptions extends OperationContext {
  /** A path; a store, which stays open; or the chunks of a migration stream, such as a Node or Web stream. */
  readonly input: string | Store | AsyncIterable<Uint8Array>;
  /** A path; or, for a stream, what takes its bytes: a Node or Web stream, which is not ended. */
  readonly output: string | NodeJS.WritableStream | WritableStreamLike;
  /** Default: by the output's ending (`.fram`); `stream` when that is no path. */
  readonly to?: ConvertTarget;
  /** Target page size, bytes, where the input does not say. Default 4096. */
  readonly pageSize?: number;
  /** For `libvirt-sparse`: the domain's definition. Default: what the input has from libvirt. */
  readonly xml?: Uint8Array;
  /** Where the stream begins in the file, bytes. */
  readonly offset?: number;
  /** The order of the words of a mapped-ram file's bitmaps, as for openSnapshot. */
  readonly bigEndian?: boolean;
  /** Take a file that is not as it was sealed, as it is; the new record says `unchecked`. */
  readonly force?: boolean;
}

/** A Web WritableStream, as far as it is used. */
export interface WritableStreamLike {
  getWriter(): { write(bytes: Uint8Array): Promise<void>; releaseLock(): void };
}

export interface ConvertResult {
  /** What was read, and what it was kept in. */
  readonly input: { readonly name: string; readonly container: Container | "pipe" };
  /** What was written; null when it was no path. */
  readonly path: string | null;
  readonly to: ConvertTarget;
  readonly machine: string;
  /** The snapshot's uuid and id, where the output has a seal. */
  readonly uuid: string | null;
  readonly id: string | null;
  /** Pages of the guest; null when a stream was passed on as it came. */
  readonly pages: { readonly total: number; readonly data: number; readonly zero: number } | null;
  /** Bytes. Output sizes are null when it was no path. */
  readonly sizes: { readonly input: number; readonly apparent: number | null; readonly allocated: number | null };
  /** Milliseconds. */
  readonly times: { readonly total: number; readonly copy: number };
  readonly notices: readonly Notice[];
}

/**
 * Writes a snapshot in another container. Until the new file is complete and on disk, an older one of its name stays as it is;
 * the input is only read. A sealed one is compared with its seal on the way: no page that is not as it was sealed is passed on.
 * Memory: two bits for each page and a few fixed buffers; 8 bytes for each page present where the pages of a stream in a file
 * have to be found first (into a stream, an image or, up to 64 GiB, raw files).
 *
 * @throws FixedramError `file.*`, `stream.*`, `seal.*` for the input; `usage.*`, `system.*` for the output; the signal's reason
 */
export async function convert(options: ConvertOptions): Promise<ConvertResult> {
  return new ConvertRun(options).go();
}
