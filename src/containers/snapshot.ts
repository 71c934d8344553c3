import type { SnapshotMeta } from "../fixedram/meta.ts";
import type { SealState } from "../fixedram/seal.ts";
import type { LibvirtHeader } from "../libvirt/header.ts";
import type { PageMap } from "../pages/map.ts";
import type { ConfigurationRecord, DeviceRecord, RamStartRecord, StreamRecord } from "../stream/records.ts";

/** What a snapshot can be kept in. */
export type Container = "fixed-ram" | "mapped-ram" | "stream" | "libvirt";

/**
 * A saved guest that can be read at any place, whatever file it lies in. Resume, info, map and the rest work on this alone.
 */
export interface Snapshot extends AsyncDisposable {
  readonly container: Container;
  /** What a person calls it: the path, or the store's name. */
  readonly name: string;
  readonly sizes: {
    /** Bytes of the file. */
    readonly apparent: number;
    /** Bytes that the file system holds for it; null when that cannot be told. */
    readonly allocated: number | null;
  };
  readonly configuration: ConfigurationRecord;
  readonly ramStart: RamStartRecord;
  /** Every record in stream order; PARTs of the RAM section may be left out. */
  readonly records: readonly StreamRecord[];
  readonly devices: readonly DeviceRecord[];
  /** The JSON's bytes; null when the machine writes none. */
  readonly vmdesc: Uint8Array | null;
  /** Where the stream lies in the file, bytes [streamBase, streamEnd). */
  readonly streamBase: number;
  readonly streamEnd: number;
  readonly map: PageMap;
  /** What stands before the stream in a libvirt save image; null in everything else. */
  readonly libvirt: LibvirtHeader | null;
  readonly seal: SealState;
  /** The words of a mapped-ram file's bitmaps stand big-endian: no QEMU of a little-endian host can load it by itself. */
  readonly bigEndian: boolean;
  /** What was recorded with the snapshot; only from a seal that can be relied on. */
  readonly meta: SnapshotMeta | null;
  /** Where QEMU (9.0 and newer) can load it by itself as mapped-ram; null when it can't. */
  readonly loadable: { readonly path: string; readonly offset: number } | null;
  /** Closes what was opened for it; a store that was handed in stays open. */
  close(): Promise<void>;
}
