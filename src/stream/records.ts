/**
 * What a migration stream is made of, in stream order:
 *
 *     header configuration command* ( ram-start | dirty-bitmap | early device )* ( ram-part | dirty-bitmap )*
 *     command* ( ram-end | dirty-bitmap )* device* eof vmdesc
 *
 * Each section record is followed by a footer record. Pages are not records: they come between ram-start / ram-part / ram-end
 * and ram-eos as batches, zero runs and encoded pages (reader.ts). docs/format.md has the bytes.
 */
import type { RamBlock } from "../pages/block.ts";
import type { Subsection } from "./configuration.ts";

export interface HeaderRecord {
  readonly kind: "header";
  readonly version: number;
}

export interface ConfigurationRecord {
  readonly kind: "configuration";
  /** Machine type's bytes as latin1. */
  readonly machine: string;
  readonly subsections: readonly Subsection[];
}

export interface CommandRecord {
  readonly kind: "command";
  readonly command: number;
  readonly data: Uint8Array;
  /** The bytes that follow a PACKAGED command; null for every other. */
  readonly packaged: Uint8Array | null;
}

/** The 28 bytes after a block entry in a mapped-ram file. Offsets are absolute in the file. */
export interface MappedHeader {
  readonly version: number;
  readonly pageSize: number;
  readonly bitmapOffset: number;
  readonly pagesOffset: number;
}

export interface BlockEntry {
  readonly block: RamBlock;
  /** Bytes; only with postcopy-ram and a block on huge pages. */
  readonly hostPageSize: number | null;
  /** Only with x-ignore-shared. */
  readonly guestAddress: number | null;
  readonly mapped: MappedHeader | null;
}

export interface RamStartRecord {
  readonly kind: "ram-start";
  readonly sectionId: number;
  readonly instance: number;
  readonly version: number;
  /** Sum of the blocks' lengths, bytes. */
  readonly total: number;
  readonly blocks: readonly BlockEntry[];
}

/** A RAM section begins; what it holds follows until ram-eos. */
export interface RamPartRecord {
  readonly kind: "ram-part" | "ram-end";
  readonly sectionId: number;
}

/** Words inside a RAM section that carry no page. */
export interface RamMarkRecord {
  readonly kind: "ram-eos" | "ram-flush" | "ram-hook";
}

export interface FooterRecord {
  readonly kind: "footer";
  readonly sectionId: number;
}

export interface DirtyBitmapRecord {
  readonly kind: "dirty-bitmap";
  readonly part: "start" | "part" | "end";
  readonly sectionId: number;
  /** Of the START; repeated in parts and ends, where the stream does not hold it. */
  readonly instance: number;
  readonly version: number;
  /** Everything between the section's header and its footer. */
  readonly payload: Uint8Array;
}

export interface DeviceRecord {
  readonly kind: "device";
  readonly sectionId: number;
  /** idstr's bytes as latin1. */
  readonly name: string;
  readonly instance: number;
  readonly version: number;
  readonly payload: Uint8Array;
  /** Stands before the RAM parts (virtio-mem's early state). */
  readonly early: boolean;
}

/** Device sections of a stream without vmdesc: from the first FULL to the last footer, kept in one piece. */
export interface DeviceStateUncutRecord {
  readonly kind: "device-state-uncut";
  readonly bytes: Uint8Array;
}

export interface EofRecord {
  readonly kind: "eof";
}

export interface VmdescRecord {
  readonly kind: "vmdesc";
  /** The JSON text's bytes. */
  readonly bytes: Uint8Array;
}

export type StreamRecord =
  | HeaderRecord
  | ConfigurationRecord
  | CommandRecord
  | RamStartRecord
  | RamPartRecord
  | RamMarkRecord
  | FooterRecord
  | DirtyBitmapRecord
  | DeviceRecord
  | DeviceStateUncutRecord
  | EofRecord
  | VmdescRecord;
