import { FixedramError } from "../errors.ts";
import type { RamBlock } from "../pages/block.ts";
import type { PageMap } from "../pages/map.ts";
import type { ExtentVisitor } from "../pages/plan.ts";
import type { Store } from "../pages/store.ts";
import { RamFlag } from "../stream/constants.ts";

/** Pages that go out in one write. With their 8-byte headers about 1 MiB, which a socket takes fastest. */
const PAGES_A_WRITE = 256;
const HEADER = 8;

export type Send = (bytes: Uint8Array) => Promise<void>;

/**
 * Turns extents into PAGE and ZERO records of QEMU's RAM section (docs/format.md, "RAM section") and sends them. Pages are
 * read straight between their headers: nothing is copied, nothing is allocated a page. Two buffers: one is read into while
 * the other is sent.
 */
export class PageSender implements ExtentVisitor {
  /** Counts so far. */
  pages = 0;
  zeroPages = 0;
  readonly #map: PageMap;
  readonly #send: Send;
  readonly #zeroWanted: (block: RamBlock) => boolean;
  readonly #onPages: (bytes: number) => void;
  readonly #slots: readonly [Slot, Slot];
  #current = 0;
  /** The block of the last record: the next record of the same block leaves its name out. */
  #lastBlock = -1;

  /**
   * @param zeroWanted whether zero pages of a block have to be sent: where the destination's RAM may hold something
   * @param onPages bytes of pages sent so far
   */
  constructor(map: PageMap, send: Send, zeroWanted: (block: RamBlock) => boolean, onPages: (bytes: number) => void) {
    const pageSize = map.blocks[0]?.pageSize ?? 4096;
    this.#map = map;
    this.#send = send;
    this.#zeroWanted = zeroWanted;
    this.#onPages = onPages;
    this.#slots = [new Slot(pageSize), new Slot(pageSize)];
  }

  async data(block: number, first: number, pages: number, store: number, offset: number): Promise<void> {
    const { entry, source } = this.#find(block, store);
    let done = 0;
    if (this.#lastBlock !== block) {
      await this.#firstOf(entry, first, source, offset);
      done = 1;
    }
    while (done < pages) {
      const slot = this.#slots[this.#current] ?? this.#slots[0];
      if (slot.busy !== null) await slot.busy;
      const count = Math.min(pages - done, PAGES_A_WRITE - slot.filled);
      slot.headers(first + done, count);
      await readInto(slot.views(count), source, offset + done * entry.pageSize, entry, first + done);
      slot.filled += count;
      done += count;
      if (slot.filled === PAGES_A_WRITE) this.#sendSlot(slot);
    }
    this.pages += pages;
  }

  async zero(block: number, first: number, pages: number): Promise<void> {
    const entry = this.#map.blocks[block];
    if (entry === undefined || !this.#zeroWanted(entry)) return;
    await this.flush();
    const name = this.#lastBlock === block ? 0 : entry.name.length + 1;
    for (let done = 0; done < pages; done += ZEROS_A_WRITE) {
      const count = Math.min(ZEROS_A_WRITE, pages - done);
      await this.#send(zeroRecords(entry, first + done, count, done === 0 && name > 0));
    }
    this.#lastBlock = block;
    this.zeroPages += pages;
  }

  /** Sends what is still held. */
  async flush(): Promise<void> {
    const slot = this.#slots[this.#current] ?? this.#slots[0];
    if (slot.filled > 0) this.#sendSlot(slot);
    for (const each of this.#slots) if (each.busy !== null) await each.busy;
  }

  /** The first record of a block carries its name, so it goes by itself. */
  async #firstOf(block: RamBlock, page: number, source: Store, offset: number): Promise<void> {
    await this.flush();
    const record = new Uint8Array(HEADER + 1 + block.name.length + block.pageSize);
    writeNamedHeader(record, block, page, RamFlag.page);
    await readInto([record.subarray(HEADER + 1 + block.name.length)], source, offset, block, page);
    await this.#send(record);
    this.#lastBlock = block.index;
  }

  #sendSlot(slot: Slot): void {
    const bytes = slot.take();
    const done = this.#send(bytes).then(() => this.#onPages(this.pages * slot.pageSize));
    // Awaited before the slot is used again; until then a failure must not count as unhandled.
    done.catch(() => {});
    slot.busy = done;
    this.#current = 1 - this.#current;
  }

  #find(block: number, store: number): { entry: RamBlock; source: Store } {
    const entry = this.#map.blocks[block];
    const source = this.#map.stores[store];
    if (entry === undefined || source === undefined) throw new RangeError(`extent of block ${block}, store ${store}`);
    return { entry, source };
  }
}

const ZEROS_A_WRITE = 4096;

/** A buffer of records `header + page`, and views on its pages. */
class Slot {
  filled = 0;
  busy: Promise<void> | null = null;
  readonly pageSize: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #pages: Uint8Array[];

  constructor(pageSize: number) {
    const stride = HEADER + pageSize;
    this.pageSize = pageSize;
    this.#bytes = new Uint8Array(stride * PAGES_A_WRITE);
    this.#view = new DataView(this.#bytes.buffer);
    this.#pages = Array.from({ length: PAGES_A_WRITE }, (_, i) =>
      this.#bytes.subarray(i * stride + HEADER, (i + 1) * stride),
    );
  }

  headers(page: number, count: number): void {
    const stride = HEADER + this.pageSize;
    for (let i = 0; i < count; i++) {
      const offset = (page + i) * this.pageSize + RamFlag.page + RamFlag.continue;
      const at = (this.filled + i) * stride;
      this.#view.setUint32(at, Math.floor(offset / 2 ** 32));
      this.#view.setUint32(at + 4, offset % 2 ** 32);
    }
  }

  views(count: number): readonly Uint8Array[] {
    return this.#pages.slice(this.filled, this.filled + count);
  }

  take(): Uint8Array {
    const bytes = this.#bytes.subarray(0, this.filled * (HEADER + this.pageSize));
    this.filled = 0;
    return bytes;
  }
}

async function readInto(
  views: readonly Uint8Array[],
  source: Store,
  position: number,
  block: RamBlock,
  page: number,
): Promise<void> {
  const wanted = views.length * block.pageSize;
  let got = 0;
  if (source.readvSync !== undefined) got = source.readvSync(views, position);
  else {
    for (const view of views) {
      const count = await source.read(view, position + got);
      got += count;
      if (count < view.length) break;
    }
  }
  if (got !== wanted) {
    throw new FixedramError("file.truncated", "the file ends among its pages", {
      path: source.name,
      offset: position + got,
      block: block.name,
      page: page + Math.floor(got / block.pageSize),
      expected: `${wanted} bytes`,
      found: `${got} bytes`,
      hint: "The file was cut, or is being changed. Fetch it again.",
    });
  }
}

function writeNamedHeader(into: Uint8Array, block: RamBlock, page: number, flag: number): void {
  const view = new DataView(into.buffer, into.byteOffset);
  const offset = page * block.pageSize + flag;
  view.setUint32(0, Math.floor(offset / 2 ** 32));
  view.setUint32(4, offset % 2 ** 32);
  into[HEADER] = block.name.length;
  for (let i = 0; i < block.name.length; i++) into[HEADER + 1 + i] = block.name.charCodeAt(i);
}

function zeroRecords(block: RamBlock, first: number, count: number, named: boolean): Uint8Array {
  const nameBytes = named ? block.name.length + 1 : 0;
  const bytes = new Uint8Array(count * (HEADER + 1) + nameBytes);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (i === 0 && named) {
      writeNamedHeader(bytes, block, first, RamFlag.zero);
      at = HEADER + nameBytes + 1;
      continue;
    }
    const offset = (first + i) * block.pageSize + RamFlag.zero + RamFlag.continue;
    view.setUint32(at, Math.floor(offset / 2 ** 32));
    view.setUint32(at + 4, offset % 2 ** 32);
    at += HEADER + 1;
  }
  return bytes;
}
