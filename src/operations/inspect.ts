import type { Container } from "../containers/snapshot.ts";
import { FixedramError } from "../errors.ts";
import type { SnapshotMeta } from "../fixedram/meta.ts";
import type { LibvirtFormat } from "../libvirt/header.ts";
import { countData, dataShares } from "../pages/count.ts";
import { capabilitiesOf, uuidOf } from "../stream/configuration.ts";
import { savedRunState } from "../stream/global-state.ts";
import { recordedImage } from "./convert/meta.ts";
import type { OpenSnapshotOptions } from "./open.ts";
import { type Outline, openOutline } from "./open-packed.ts";
import type { OperationContext } from "./progress.ts";
import { Reporter } from "./reporter.ts";

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
  /** How the words of the bitmaps stand in the file; null where pages have no fixed place. */
  readonly bitmapOrder: "little" | "big" | null;
  readonly devices: readonly DeviceInfo[];
  /** What libvirt kept with it: in a save image's head, or in the record of a file converted from one. */
  readonly libvirt: LibvirtInfo | null;
  readonly seal: SealInfo | null;
  /** `none`: the file has no seal; `half`, `damaged`, `stale`: it cannot be relied on (docs/format.md, "Seal"). */
  readonly sealState: "sealed" | "none" | "half" | "damaged" | "stale";
}

export interface LibvirtInfo {
  /** How the stream in the image is packed, the header's version and byte order; null when this is from a record. */
  readonly format: LibvirtFormat | null;
  readonly version: number | null;
  readonly byteOrder: "little" | "big" | null;
  /** Whether `virsh restore` lets the guest run. */
  readonly wasRunning: boolean;
  /** The domain's definition, and what libvirt keeps for itself. What is not UTF-8 in them reads as U+FFFD. */
  readonly xml: string;
  readonly cookie: string | null;
}

export interface LookOptions extends OperationContext {
  /** Keep the index of a stream beside it. */
  readonly keepIndex?: boolean;
  /** The order of the words of a mapped-ram file's bitmaps, as for openSnapshot. */
  readonly bigEndian?: boolean;
  /** Where the stream begins, bytes. */
  readonly offset?: number;
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
 * Reads what a snapshot says about itself. Of a mapped-ram file no page is read; a migration stream is read through once, and a
 * compressed image unpacked to its end.
 *
 * @param options what is told of progress is the reading of a stream
 * @throws FixedramError `file.*`, `stream.*`, `seal.*`, `system.*`; the signal's reason
 */
export async function info(path: string, options: LookOptions = {}): Promise<SnapshotInfo> {
  const snapshot = await openOutline(path, openOptions(options));
  try {
    const { seal, sizes, configuration, map } = snapshot;
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
      blocks: await blocksOf(snapshot, options.signal),
      bitmapOrder: orderOf(snapshot),
      devices: snapshot.devices.map(({ name, instance, version, payload }) => ({
        name,
        instance,
        version,
        size: payload.length,
      })),
      libvirt: libvirtInfo(snapshot),
      seal: snapshot.meta === null ? null : sealInfo(snapshot.meta, seal.seal?.id ?? null),
      sealState: seal.state,
    };
  } finally {
    await snapshot.close();
  }
}

function orderOf({ ramStart, bigEndian }: Outline): SnapshotInfo["bitmapOrder"] {
  if (ramStart.blocks.some(({ mapped }) => mapped === null)) return null;
  return bigEndian ? "big" : "little";
}

async function blocksOf({ ramStart, map }: Outline, signal: AbortSignal | undefined): Promise<BlockInfo[]> {
  const blocks: BlockInfo[] = [];
  for (const { block, mapped } of ramStart.blocks) {
    const { name, length, pageSize, pages } = block;
    const present = await countData(map, block.index, 0, pages, signal);
    const places = { bitmapOffset: mapped?.bitmapOffset ?? null, pagesOffset: mapped?.pagesOffset ?? null };
    blocks.push({ name, length, pageSize, pages, present, ...places });
  }
  return blocks;
}

/** Nothing is said of files that are opened in a moment. */
export function openOptions({ keepIndex = false, bigEndian, offset, ...context }: LookOptions): OpenSnapshotOptions {
  let read = { bytes: 0, total: 0 };
  const reporter = new Reporter(context, () => ({ ...read, round: 0 }));
  return {
    index: keepIndex ? "keep" : "use",
    ...(bigEndian === undefined ? {} : { bigEndian }),
    ...(offset === undefined ? {} : { offset }),
    onRead: (bytes, total) => {
      read = { bytes, total };
      reporter.enter("preflight");
      reporter.report();
    },
    ...(context.signal === undefined ? {} : { signal: context.signal }),
  };
}

export interface MapOptions extends LookOptions {
  /** Only this block. */
  readonly block?: string;
  /** Cells a block; a block of fewer pages has one cell a page. */
  readonly width: number;
}

/**
 * Density of each block, or of one.
 *
 * @throws FixedramError `usage.no-such-block`, and those of {@link info}
 */
export async function mapOf(path: string, options: MapOptions): Promise<readonly BlockMap[]> {
  const { map, close } = await openOutline(path, openOptions(options));
  try {
    const wanted = map.blocks.filter(({ name }) => options.block === undefined || name === options.block);
    if (wanted.length === 0) {
      throw new FixedramError("usage.no-such-block", "the snapshot has no such RAM block", {
        path,
        block: options.block ?? "",
        hint: "fixedram info lists the blocks.",
      });
    }
    const maps: BlockMap[] = [];
    for (const { index, name, length, pages } of wanted) {
      const present = await countData(map, index, 0, pages, options.signal);
      const pagesPerCell = Math.max(1, Math.ceil(pages / Math.max(1, options.width)));
      const cells = await dataShares(map, index, pages, pagesPerCell, options.signal);
      maps.push({ name, length, pages, present, pagesPerCell, cells });
    }
    return maps;
  } finally {
    await close();
  }
}

function libvirtInfo({ libvirt, meta }: Outline): LibvirtInfo | null {
  const found = libvirt ?? recordedImage(meta);
  if (found === null) return null;
  const text = new TextDecoder();
  return {
    format: libvirt?.format ?? null,
    version: libvirt?.version ?? null,
    byteOrder: libvirt?.byteOrder ?? null,
    wasRunning: found.wasRunning,
    xml: text.decode(found.xml),
    cookie: found.cookie === null ? null : text.decode(found.cookie),
  };
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
