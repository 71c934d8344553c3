import type { PageBitmap } from "../bytes/bitmap.ts";
import { FixedramError } from "../errors.ts";
import type { SnapshotMeta } from "../fixedram/meta.ts";
import type { FixedRamFile } from "../fixedram/reader.ts";
import { capabilitiesOf, uuidOf } from "../stream/configuration.ts";
import { openSnapshot } from "./open.ts";

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
  /** `none`: the file has no seal; `half`, `damaged`, `stale`: it cannot be relied on (docs/format.md, "Seal"). */
  readonly sealState: "sealed" | "none" | "half" | "damaged" | "stale";
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

/**
 * Reads what a snapshot says about itself; no page is read.
 *
 * @throws FixedramError `file.*`, `stream.*`, `seal.*`, `system.*`
 */
export async function info(path: string): Promise<SnapshotInfo> {
  const { store, file, close } = await openSnapshot(path);
  try {
    const { seal } = file.seal;
    return {
      path,
      container: seal === null ? "mapped-ram" : "fixed-ram",
      sizes: {
        apparent: store.size,
        allocated: store.allocated,
        ram: file.blocks.reduce((sum, { block }) => sum + block.length, 0),
      },
      machine: file.configuration.machine,
      capabilities: capabilitiesOf(file.configuration),
      guestUuid: uuidOf(file.configuration),
      runState: runStateOf(file),
      blocks: file.blocks.map(({ block, bitmapOffset, pagesOffset }) => ({
        name: block.name,
        length: block.length,
        pageSize: block.pageSize,
        pages: block.pages,
        present: file.bitmaps[block.index]?.count() ?? 0,
        bitmapOffset,
        pagesOffset,
      })),
      devices: file.devices.map(({ name, instance, version, payload }) => ({
        name,
        instance,
        version,
        size: payload.length,
      })),
      seal: seal === null ? null : sealInfo(seal.meta),
      sealState: file.seal.state,
    };
  } finally {
    await close();
  }
}

/**
 * Density of each block, or of one.
 *
 * @param options.width cells a block; a block of fewer pages has one cell a page
 * @throws FixedramError `usage.no-such-block`, and those of {@link info}
 */
export async function mapOf(
  path: string,
  options: { readonly block?: string; readonly width: number },
): Promise<readonly BlockMap[]> {
  const { file, close } = await openSnapshot(path);
  try {
    const wanted = file.blocks.filter(({ block }) => options.block === undefined || block.name === options.block);
    if (wanted.length === 0) {
      throw new FixedramError("usage.no-such-block", "the snapshot has no such RAM block", {
        path,
        block: options.block ?? "",
        hint: "fixedram info lists the blocks.",
      });
    }
    return wanted.map(({ block }) => {
      const bitmap = file.bitmaps[block.index];
      if (bitmap === undefined) throw new RangeError(`no bitmap of block ${block.index}`);
      return {
        name: block.name,
        length: block.length,
        pages: block.pages,
        present: bitmap.count(),
        ...cellsOf(bitmap, options.width),
      };
    });
  } finally {
    await close();
  }
}

/** Shares of pages present in `width` stretches of equal length; the last may be shorter. */
export function cellsOf(
  bitmap: PageBitmap,
  width: number,
): { readonly pagesPerCell: number; readonly cells: readonly number[] } {
  const pagesPerCell = Math.max(1, Math.ceil(bitmap.pages / Math.max(1, width)));
  const cells: number[] = [];
  for (let first = 0; first < bitmap.pages; first += pagesPerCell) {
    const end = Math.min(first + pagesPerCell, bitmap.pages);
    cells.push(bitmap.count(first, end) / (end - first));
  }
  return { pagesPerCell, cells };
}

/** From the `globalstate` section: u32 size, then the state's name and a NUL in 100 bytes (QEMU migration/global_state.c). */
function runStateOf(file: FixedRamFile): string | null {
  const payload = file.devices.find(({ name }) => name === "globalstate")?.payload;
  if (payload === undefined || payload.length < 5) return null;
  const text = payload.subarray(4);
  const end = text.indexOf(0);
  return new TextDecoder("latin1").decode(text.subarray(0, end === -1 ? text.length : end)) || null;
}

function sealInfo(meta: SnapshotMeta): SealInfo {
  return {
    uuid: meta.uuid,
    created: meta.created,
    tool: `${meta.tool.name} ${meta.tool.version}`,
    qemuVersion: meta.qemuVersion,
    accelerator: meta.accelerator,
    cpuModel: meta.cpu?.model ?? null,
    argv: meta.argv?.arguments ?? null,
    disks: meta.disks.map(({ device, path, format, size, mtime, readOnly }) => ({
      device,
      path,
      format,
      size,
      mtime,
      readOnly,
    })),
  };
}
