/** What `fixedram info` and `fixedram map` show. */
export interface SnapshotInfo {
  readonly path: string;
  readonly container: "fixed-ram" | "mapped-ram";
  readonly sizes: { readonly apparent: number; readonly allocated: number; readonly ram: number };
  readonly machine: string;
  readonly capabilities: readonly string[];
  /** uuid of the guest, when QEMU recorded one. */
  readonly guestUuid: string | null;
  readonly runState: string | null;
  readonly blocks: readonly BlockInfo[];
  readonly devices: readonly DeviceInfo[];
  readonly seal: SealInfo | null;
}

export interface BlockInfo {
  readonly name: string;
  /** Bytes. */
  readonly length: number;
  readonly pageSize: number;
  readonly pages: number;
  readonly present: number;
  readonly bitmapOffset: number;
  readonly pagesOffset: number;
}

export interface DeviceInfo {
  readonly name: string;
  readonly instance: number;
  readonly version: number;
  /** Payload bytes. */
  readonly size: number;
}

export interface SealInfo {
  readonly uuid: string;
  readonly created: string;
  readonly tool: string;
  readonly qemuVersion: string | null;
  readonly accelerator: string | null;
  readonly cpuModel: string | null;
  readonly argv: readonly string[] | null;
  readonly disks: readonly DiskInfo[];
}

export interface DiskInfo {
  readonly device: string;
  readonly path: string;
  readonly format: string;
  /** Bytes of the file, and its modification time, as of the save. */
  readonly size: number | null;
  readonly mtime: string | null;
  readonly readOnly: boolean;
}

/** Density of one block in `cells.length` equal stretches: share of pages present, 0 to 1. */
export interface BlockMap {
  readonly name: string;
  readonly length: number;
  readonly pages: number;
  readonly present: number;
  readonly pagesPerCell: number;
  readonly cells: readonly number[];
}
