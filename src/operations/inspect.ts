import type { Container } from "../containers/snapshot.ts";
import { FixedramError } from "../errors.ts";
import type { SnapshotMeta } from "../fixedram/meta.ts";
import { countData, dataShares } from "../pages/count.ts";
import type { PageMap } from "../pages/map.ts";
import { capabilitiesOf, uuidOf } from "../stream/configuration.ts";
import { savedRunState } from "../stream/global-state.ts";
import { openSnapshot } from "./open.ts";

/** What `fixedram info` and `fixedram map` show. */
export interface SnapshotInfo {
  readonly path: string;
  readonly container: Container;
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
  /** Bytes from the start of the file; null where pages have no fixed place. */
  readonly bitmapOffset: number | null;
  readonly pagesOffset: number | null;
}

export interface DeviceInfo {
  readonly name: string;
  readonly instance: number;
  readonly version: number;
  /** Payload bytes. */
  readonly size: number;
}

export interface SealInfo {
  /** The snapshot's id: SHA-256 of the seal's directory, in hexadecimal. */
  readonly id: string | null;
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
 * Reads what a snapshot says about itself. Of a mapped-ram file no page is read; a migration stream is read through once.
 *
 * @throws FixedramError `file.*`, `stream.*`, `seal.*`, `system.*`
 */
export async function info(path: string): Promise<SnapshotInfo> {
  const snapshot = await openSnapshot(path);
  try {
    const { seal, sizes, configuration, ramStart, map } = snapshot;
    return {
      path,
      container: snapshot.container,
      sizes: {
        apparent: sizes.apparent,
        allocated: sizes.allocated ?? sizes.apparent,
        ram: map.blocks.reduce((sum, { length }) => sum + length, 0),
      },
      machine: configuration.machine,
      capabilities: capabilitiesOf(configuration),
      guestUuid: uuidOf(configuration),
      runState: savedRunState(snapshot.devices),
      blocks: ramStart.blocks.map(({ block, mapped }) => ({
        name: block.name,
        length: block.length,
        pageSize: block.pageSize,
        pages: block.pages,
        present: countData(map, block.index, 0, block.pages),
        bitmapOffset: mapped?.bitmapOffset ?? null,
        pagesOffset: mapped?.pagesOffset ?? null,
      })),
      devices: snapshot.devices.map(({ name, instance, version, payload }) => ({
        name,
        instance,
        version,
        size: payload.length,
      })),
      seal: snapshot.meta === null ? null : sealInfo(snapshot.meta, seal.seal?.id ?? null),
      sealState: seal.state,
    };
  } finally {
    await snapshot.close();
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
  const { map, close } = await openSnapshot(path);
  try {
    const wanted = map.blocks.filter(({ name }) => options.block === undefined || name === options.block);
    if (wanted.length === 0) {
      throw new FixedramError("usage.no-such-block", "the snapshot has no such RAM block", {
        path,
        block: options.block ?? "",
        hint: "fixedram info lists the blocks.",
      });
    }
    return wanted.map(({ index, name, length, pages }) => ({
      name,
      length,
      pages,
      present: countData(map, index, 0, pages),
      ...cellsOf(map, index, options.width),
    }));
  } finally {
    await close();
  }
}

/** Shares of pages present in `width` stretches of equal length; the last may be shorter. */
function cellsOf(map: PageMap, block: number, width: number): Pick<BlockMap, "pagesPerCell" | "cells"> {
  const pages = map.blocks[block]?.pages ?? 0;
  const pagesPerCell = Math.max(1, Math.ceil(pages / Math.max(1, width)));
  return { pagesPerCell, cells: dataShares(map, block, pages, pagesPerCell) };
}

function sealInfo(meta: SnapshotMeta, id: string | null): SealInfo {
  return {
    id,
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
