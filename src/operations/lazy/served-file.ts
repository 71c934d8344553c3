import { createHash } from "node:crypto";
import type { Snapshot } from "../../containers/snapshot.ts";
import { FixedramError } from "../../errors.ts";
import { PageCheck } from "../../fixedram/page-check.ts";
import type { RamBlock } from "../../pages/block.ts";
import { dataBytes } from "../../pages/count.ts";
import type { PageMap } from "../../pages/map.ts";
import type { PageSource } from "../../postcopy/pages.ts";
import { type FileIdentity, FileStore } from "../../storage/file-store.ts";
import { nodeCalls } from "../../storage/system-calls.ts";
import { openSnapshot } from "../open.ts";

/** Which file a page server serves. Plain data: it goes between processes. */
export interface FileToServe {
  /** As the user named it. */
  readonly path: string;
  /** The same file, held open by whoever asks: it stays the same when another takes its name. */
  readonly descriptor: number;
  /** As it was when it was checked. */
  readonly identity: FileIdentity;
  /** The index of a stream without fixed places, made before; null: there is none. */
  readonly index: string | null;
  /** Whether its bitmaps are of a big-endian host, which was looked at before; null: as the file says. */
  readonly bigEndian: boolean | null;
  /** Guests that will come. */
  readonly guests: number;
  /** Threads that share them, the main one among them. */
  readonly threads: number;
  /** A working set that will be asked for, to be read into the page cache while QEMU starts; null: none. */
  readonly warm: string | null;
  /** Check every page before it is sent. */
  readonly verify: boolean;
}

/**
 * What tells a snapshot from every other, 64 hexadecimal digits: the id of a sealed one. Of one without a seal, a digest of all that
 * is no page: block list, device state with the processors' registers and clocks.
 */
export function snapshotKey({ seal, records, ramStart }: Pick<Snapshot, "seal" | "records" | "ramStart">): string {
  if (seal.seal !== null) return seal.seal.id;
  const hash = createHash("sha256");
  for (const { block } of ramStart.blocks) hash.update(`${block.index} ${block.length} ${block.name}\n`, "latin1");
  for (const record of records) {
    if (record.kind === "device") hash.update(`${record.name} ${record.instance}\n`, "latin1").update(record.payload);
    if (record.kind === "device-state-uncut") hash.update(record.bytes);
  }
  return hash.digest("hex");
}

/** A snapshot's pages for faults: read without leaving the thread, the file watched for changes. */
export class ServedFile implements PageSource {
  readonly snapshot: Snapshot;
  readonly map: PageMap;
  readonly #store: FileStore;
  #check: PageCheck | null;
  /** For a file that is changed while it is served; made beforehand, from what was right then. */
  readonly #spare: PageCheck | null;
  #changed = false;
  #bytes: Promise<number> | null = null;

  private constructor(snapshot: Snapshot, store: FileStore, check: PageCheck | null, spare: PageCheck | null) {
    this.snapshot = snapshot;
    this.map = snapshot.map;
    this.#store = store;
    this.#check = check;
    this.#spare = spare;
  }

  /** @throws FixedramError of openSnapshot, `file.changed`, `seal.no-digests` with `verify` */
  static async open(file: FileToServe): Promise<ServedFile> {
    const store = FileStore.open(`/proc/self/fd/${file.descriptor}`, nodeCalls, file.path);
    try {
      const { dev, ino, size, mtimeNs } = store.identity;
      const then = file.identity;
      if (dev !== then.dev || ino !== then.ino || size !== then.size || mtimeNs !== then.mtimeNs)
        throw changed(file.path);
      const snapshot = await openSnapshot(store, {
        ...(file.index === null ? {} : { indexPath: file.index }),
        ...(file.bigEndian === null ? {} : { bigEndian: file.bigEndian }),
      });
      const { seal } = snapshot.seal;
      const spare = file.verify ? await PageCheck.open(store, seal) : await digestsIfAny(store, snapshot);
      return new ServedFile(snapshot, store, file.verify ? spare : null, spare);
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  /** Bytes of all pages with data: counted once, for every guest needs it before it runs. */
  get bytes(): Promise<number> {
    this.#bytes ??= dataBytes(this.map);
    return this.#bytes;
  }

  readNow(views: readonly Uint8Array[], store: number, offset: number, block: RamBlock, page: number): void {
    const source = this.map.stores[store];
    if (source?.readvSync === undefined) throw new RangeError(`store ${store} cannot be read at once`);
    this.#take(source.readvSync(views, offset), views, offset, block, page);
  }

  async readLater(
    views: readonly Uint8Array[],
    store: number,
    offset: number,
    block: RamBlock,
    page: number,
  ): Promise<void> {
    const source = this.map.stores[store];
    if (source?.readv === undefined) return this.readNow(views, store, offset, block, page);
    this.#take(await source.readv(views, offset), views, offset, block, page);
  }

  confirm(block: RamBlock, page: number, views: readonly Uint8Array[], count: number): void {
    if (this.#changed || this.#store.unchanged) return;
    // With digests right pages can still be told from wrong ones: from now on each is checked, these too.
    if (this.#spare === null) throw changed(this.#store.name);
    this.#changed = true;
    this.#check = this.#spare;
    for (let i = 0; i < count; i++) this.#spare.check(block, page + i, views[i] ?? new Uint8Array(0));
  }

  async close(): Promise<void> {
    await this.snapshot.close();
    await this.#store.close();
  }

  #take(count: number, views: readonly Uint8Array[], offset: number, block: RamBlock, page: number): void {
    const wanted = views.length * block.pageSize;
    if (count < wanted) {
      throw new FixedramError("file.truncated", "the file became shorter while it was served", {
        path: this.#store.name,
        offset: offset + count,
        block: block.name,
        page: page + Math.floor(count / block.pageSize),
        hint: "The guest was not given wrong pages: it waits. Recover it from a whole copy: fixedram recover COPY --qmp SOCKET.",
      });
    }
    const check = this.#check;
    if (check === null) return;
    for (const [i, view] of views.entries()) check.check(block, page + i, view);
  }
}

async function digestsIfAny(store: FileStore, { seal }: Snapshot): Promise<PageCheck | null> {
  try {
    return await PageCheck.open(store, seal.seal);
  } catch (error) {
    if (error instanceof FixedramError && error.code.startsWith("seal.")) return null;
    throw error;
  }
}

function changed(path: string): FixedramError {
  return new FixedramError("file.changed", "the file was changed while the guest was being loaded from it", {
    path,
    hint: "The guest was not given wrong pages: it waits. Recover it from an unchanged copy: fixedram recover COPY --qmp SOCKET.",
  });
}
