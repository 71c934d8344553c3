import { PageBitmap } from "../bytes/bitmap.ts";
import type { Snapshot } from "../containers/snapshot.ts";
import { FixedramError, withPath } from "../errors.ts";
import { BitmapMap } from "../fixedram/map.ts";
import { refusePostcopy } from "../legacy/indexer.ts";
import { pumpLibvirt, readLibvirtHeader } from "../libvirt/reader.ts";
import type { RamBlock } from "../pages/block.ts";
import { ExtentKind } from "../pages/extents.ts";
import type { PageBatch } from "../pages/sink.ts";
import type { Store } from "../pages/store.ts";
import { FileStore } from "../storage/file-store.ts";
import { capabilitiesOf } from "../stream/configuration.ts";
import type { StreamEvents } from "../stream/events.ts";
import type { ConfigurationRecord, RamStartRecord, StreamRecord } from "../stream/records.ts";
import { type OpenSnapshotOptions, openSnapshot } from "./open.ts";

/** What can be told of a snapshot whose pages may be out of reach. */
export type Outline = Pick<
  Snapshot,
  | "container"
  | "sizes"
  | "configuration"
  | "ramStart"
  | "devices"
  | "map"
  | "libvirt"
  | "seal"
  | "bigEndian"
  | "meta"
  | "close"
>;

/**
 * As {@link openSnapshot}, and compressed images of libvirt too, which are unpacked once, to their end: of their pages the map knows
 * which are there, not their bytes.
 *
 * @param source a path, or a file, which stays open
 * @throws what {@link openSnapshot} throws; `file.libvirt-compressed`, `file.libvirt-trailing`; `system.program-*`
 */
export async function openOutline(source: string | FileStore, options: OpenSnapshotOptions = {}): Promise<Outline> {
  try {
    return await openSnapshot(source, options);
  } catch (error) {
    if (!(error instanceof FixedramError) || error.code !== "file.compressed") throw error;
    const store = typeof source === "string" ? FileStore.open(source) : source;
    try {
      const outline = await outlineOf(store, options);
      if (outline === null) throw error;
      return outline;
    } catch (problem) {
      throw withPath(problem, store.name);
    } finally {
      if (typeof source === "string") await store.close();
    }
  }
}

/** Null for what is no libvirt image. */
async function outlineOf(store: FileStore, options: OpenSnapshotOptions): Promise<Outline | null> {
  const { onRead, signal, pageSize } = options;
  const libvirt = await readLibvirtHeader(store, signal).catch((error: unknown) => {
    if (error instanceof FixedramError && error.code === "file.not-libvirt") return null;
    throw error;
  });
  if (libvirt === null) return null;
  const events = new OutlineEvents();
  await pumpLibvirt(store, libvirt, events, {
    ...(signal === undefined ? {} : { signal }),
    ...(pageSize === undefined ? {} : { pageSize }),
    ...(onRead === undefined ? {} : { onRead: (bytes: number) => onRead(bytes, store.size) }),
  });
  const { configuration, ramStart, records } = events;
  if (configuration === null || ramStart === null)
    throw new FixedramError("file.no-ram", "the stream holds no memory: it has no RAM section", { path: store.name });
  return {
    container: "libvirt",
    sizes: { apparent: store.size, allocated: store.allocated },
    configuration,
    ramStart,
    devices: records.filter((record) => record.kind === "device"),
    map: events.map(store),
    libvirt,
    seal: { state: "none", seal: null, reason: null },
    bigEndian: false,
    meta: null,
    close: async () => {},
  };
}

/** Keeps which pages there are, and what is no page. */
class OutlineEvents implements StreamEvents {
  configuration: ConfigurationRecord | null = null;
  ramStart: RamStartRecord | null = null;
  readonly records: StreamRecord[] = [];
  #bitmaps: readonly PageBitmap[] = [];
  #mentioned: boolean[] = [];

  record(record: StreamRecord): void {
    if (record.kind === "configuration") this.configuration = record;
    if (record.kind === "command") refusePostcopy(record.command, 0);
    if (record.kind === "device") this.records.push(record);
    if (record.kind !== "ram-start") return;
    this.ramStart = record;
    this.#bitmaps = record.blocks.map(({ block }) => new PageBitmap(block.pages));
    this.#mentioned = record.blocks.map(() => false);
  }

  pages({ block, pages, count }: PageBatch): void {
    const bitmap = this.#bitmap(block);
    for (let k = 0; k < count; k++) bitmap.set(pages[k] ?? 0);
  }

  zeroPages(block: RamBlock, first: number, count: number): void {
    this.#bitmap(block).clearRange(first, count);
  }

  encoded(block: RamBlock, page: number): void {
    this.#bitmap(block).set(page);
  }

  map(store: Store): BitmapMap {
    const shared = this.configuration !== null && capabilitiesOf(this.configuration).includes("x-ignore-shared");
    const blocks = this.ramStart?.blocks ?? [];
    // Places are not known, and nobody asks.
    const nowhere = blocks.map(({ block }) => ({ block, bitmapOffset: 0, bitmapLength: 0, pagesOffset: 0, end: 0 }));
    const clear = this.#mentioned.map((said) => (shared && !said ? ExtentKind.absent : ExtentKind.zero));
    return new BitmapMap(store, nowhere, this.#bitmaps, clear);
  }

  #bitmap({ index }: RamBlock): PageBitmap {
    const bitmap = this.#bitmaps[index];
    if (bitmap === undefined) throw new RangeError(`no block ${index}`);
    this.#mentioned[index] = true;
    return bitmap;
  }
}
