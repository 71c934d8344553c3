import { randomUUID } from "node:crypto";
import { FixedramError, withPath } from "../errors.ts";
import type { SnapshotMeta } from "../fixedram/meta.ts";
import { type FixedRamFile, openFixedRam } from "../fixedram/reader.ts";
import { sealInPlace } from "../fixedram/seal-in-place.ts";
import { toolVersion } from "../installation.ts";
import { InPlaceFile } from "../storage/in-place-file.ts";
import type { FileSystemCalls } from "../storage/system-calls.ts";
import { DigestThreads } from "./digest.ts";
import { openSnapshot } from "./open.ts";
import type { OperationContext } from "./progress.ts";

export interface SealOptions extends OperationContext {
  readonly file: string;
  /** Where the stream begins, bytes: QEMU was told `file:...,offset=N`. Default: where the container says. */
  readonly offset?: number;
  /** The order of the words of its bitmaps, as for openSnapshot. */
  readonly bigEndian?: boolean;
  /** For tests. */
  readonly calls?: FileSystemCalls;
}

export interface SealResult {
  readonly path: string;
  /** The snapshot's id, and the uuid it was given. */
  readonly id: string;
  readonly uuid: string;
  /** Pages that have a digest now. */
  readonly pages: number;
  /** The words of its bitmaps stand big-endian, which the seal tells. */
  readonly bigEndian: boolean;
  /** Bytes of the file before and after. */
  readonly sizes: { readonly before: number; readonly after: number };
  /** Milliseconds. */
  readonly time: number;
}

/**
 * Seals a mapped-ram file that QEMU or libvirt made, in place: digests are appended, no byte of the stream moves. The file must not be
 * written to by anybody else meanwhile.
 *
 * @throws FixedramError `seal.no-fixed-places`, `seal.already`, `seal.in-the-way`, `seal.trailing-bytes`; `file.byte-order`: which pages are
 *   present shows that the bitmaps stand in the other order; `file.*`, `stream.*` for what cannot be opened; `system.*`; the signal's reason
 */
export async function seal(options: SealOptions): Promise<SealResult> {
  const began = performance.now();
  const file = InPlaceFile.open(options.file, options.calls);
  try {
    const before = file.size;
    const created = file.modified;
    const opened = await openPlaces(file, options);
    const meta = metaOf(opened, created);
    await using threads = new DigestThreads(file.shared, { signal: options.signal });
    const id = await sealInPlace(file, opened, meta, {
      signal: options.signal,
      digester: threads.digest,
      onBytes: throttled((bytes, total) => {
        options.onProgress?.({ phase: "seal", bytes, total, round: 0, elapsed: performance.now() - began });
      }),
    });
    const pages = opened.bitmaps.reduce((sum, bitmap) => sum + bitmap.count(), 0);
    const sizes = { before, after: file.size };
    const { bigEndian } = opened;
    return { path: options.file, id, uuid: meta.uuid, pages, bigEndian, sizes, time: performance.now() - began };
  } catch (error) {
    throw withPath(error, options.file);
  } finally {
    await file.close();
  }
}

/** @throws `seal.no-fixed-places` */
async function openPlaces(file: InPlaceFile, { offset, bigEndian, signal }: SealOptions): Promise<FixedRamFile> {
  const given = signal === undefined ? {} : { signal };
  const snapshot = await openSnapshot(file, {
    ...given,
    ...(offset === undefined ? {} : { offset }),
    ...(bigEndian === undefined ? {} : { bigEndian }),
  });
  const { streamBase, ramStart } = snapshot;
  const placed = ramStart.blocks.every(({ mapped }) => mapped !== null);
  await snapshot.close();
  if (!placed) {
    throw new FixedramError("seal.no-fixed-places", "only a file whose pages have fixed places can be sealed", {
      found: "a migration stream",
      hint: "Convert it to a fixed-ram file, which is sealed as it is made.",
    });
  }
  return openFixedRam(file, { base: streamBase, bigEndianBitmaps: snapshot.bigEndian, ...given });
}

/** What the file itself tells; when it was made is when it was last written to. */
function metaOf({ configuration }: FixedRamFile, created: string): SnapshotMeta {
  return {
    schema: 1,
    uuid: randomUUID(),
    created,
    sealed: new Date().toISOString(),
    tool: { name: "fixedram", version: toolVersion },
    qemuVersion: null,
    accelerator: null,
    machine: configuration.machine,
    guestName: null,
    cpu: null,
    runState: null,
    argv: null,
    disks: [],
    memoryMap: [],
  };
}

/** Passes on a call each tenth of a second. */
export function throttled(report: (bytes: number, total: number) => void): (bytes: number, total: number) => void {
  let last = 0;
  return (bytes, total) => {
    const now = performance.now();
    if (now - last < 100) return;
    last = now;
    report(bytes, total);
  };
}
