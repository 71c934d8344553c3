import { ByteBuilder, setU64, viewOf } from "../bytes/cursor.ts";
import { fromLatin1 } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import type { RamBlock } from "../pages/block.ts";
import type { PageBatch } from "../pages/sink.ts";
import { MAPPED_HEADER_SIZE, RamFlag, SectionType, STREAM_MAGIC } from "./constants.ts";
import type { PageEncoding, StreamEvents } from "./events.ts";
import type { BlockEntry, ConfigurationRecord, DeviceRecord, DirtyBitmapRecord, StreamRecord } from "./records.ts";

/** Bytes that are gathered at first, and at most. */
const FIRST_STAGING = 4096;
const STAGING = 2 ** 18;

export interface StreamWriterOptions {
  /** Where the stream begins in its file, bytes. Default 0. */
  readonly base?: number;
  /**
   * Give sections the ids 1, 2, 3 ... in order of appearance; ids must only be unique in a stream. Not possible for a stream
   * with uncut device state or a packaged command: error `stream.cannot-renumber`.
   */
  readonly renumber?: boolean;
}

/**
 * Encodes what a {@link StreamReader} gives; `new StreamReader(new StreamWriter(out))` copies a stream byte for byte.
 *
 * CONTINUE is chosen as QEMU does: set when a page's block is that of the page record before, in whatever section that was.
 *
 * @param out takes bytes, valid until it returns, and their absolute position; positions follow each other except in a
 *   mapped-ram stream, which hops over the pages. Small pieces are gathered: call {@link flush} or {@link end}.
 */
export class StreamWriter implements StreamEvents {
  readonly #out: (bytes: Uint8Array, position: number) => void;
  #staging = new Uint8Array(FIRST_STAGING);
  #view = viewOf(this.#staging);
  readonly #ids: Map<number, number> | null;
  #staged = 0;
  /** Position of the first staged byte. */
  #at: number;
  #last: RamBlock | null = null;

  constructor(out: (bytes: Uint8Array, position: number) => void, options: StreamWriterOptions = {}) {
    this.#out = out;
    this.#at = options.base ?? 0;
    this.#ids = options.renumber === true ? new Map() : null;
  }

  /** Absolute offset of the next byte. */
  get position(): number {
    return this.#at + this.#staged;
  }

  record(record: StreamRecord): void {
    switch (record.kind) {
      case "header":
        this.#put(new ByteBuilder().u32(STREAM_MAGIC).u32(record.version));
        return;
      case "configuration":
        this.#configuration(record);
        return;
      case "command":
        if (record.packaged !== null && this.#ids !== null) throw cannotRenumber("a packaged command");
        this.#put(new ByteBuilder().u8(SectionType.command).u16(record.command).u16(record.data.length));
        this.#bytes(record.data);
        if (record.packaged !== null) this.#bytes(record.packaged);
        return;
      case "ram-start":
        this.#put(this.#header14(SectionType.start, "ram", record));
        this.#put(new ByteBuilder().u64(record.total + RamFlag.memSize));
        for (const entry of record.blocks) this.#blockEntry(entry);
        return;
      case "ram-part":
      case "ram-end": {
        const type = record.kind === "ram-end" ? SectionType.end : SectionType.part;
        this.#put(new ByteBuilder().u8(type).u32(this.#id(record.sectionId)));
        return;
      }
      case "ram-eos":
        this.#word(0, RamFlag.eos);
        return;
      case "ram-flush":
        this.#word(0, RamFlag.multifdFlush);
        return;
      case "ram-hook":
        this.#word(0, RamFlag.hook);
        return;
      case "footer":
        this.#put(new ByteBuilder().u8(SectionType.footer).u32(this.#id(record.sectionId)));
        return;
      case "dirty-bitmap":
        this.#dirtyBitmap(record);
        return;
      case "device":
        this.#device(record);
        return;
      case "device-state-uncut":
        if (this.#ids !== null) throw cannotRenumber("device state without a vmdesc");
        this.#bytes(record.bytes);
        return;
      case "eof":
        this.#put(new ByteBuilder().u8(SectionType.eof));
        return;
      case "vmdesc":
        this.#put(new ByteBuilder().u8(SectionType.vmdesc).u32(record.bytes.length));
        this.#bytes(record.bytes);
        return;
    }
  }

  pages(batch: PageBatch): void {
    const { block, pages, offsets, chunk, count } = batch;
    const { pageSize } = block;
    for (let k = 0; k < count; k++) {
      const page = pages[k] ?? 0;
      const offset = offsets[k] ?? 0;
      this.#pageHeader(block, page, RamFlag.page);
      this.#bytes(chunk.subarray(offset, offset + pageSize));
    }
  }

  zeroPages(block: RamBlock, firstPage: number, count: number): void {
    for (let page = firstPage; page < firstPage + count; page++) {
      this.#pageHeader(block, page, RamFlag.zero);
      const at = this.#room(1);
      this.#staging[at] = 0;
    }
  }

  encoded(block: RamBlock, page: number, kind: PageEncoding, data: Uint8Array): void {
    if (kind === "xbzrle") {
      this.#pageHeader(block, page, RamFlag.xbzrle);
      this.#put(new ByteBuilder(3).u8(1).u16(data.length));
    } else {
      this.#pageHeader(block, page, RamFlag.compressPage);
      this.#put(new ByteBuilder(4).u32(data.length));
    }
    this.#bytes(data);
  }

  /** Hands over what is gathered. */
  flush(): void {
    const length = this.#staged;
    if (length === 0) return;
    const at = this.#at;
    this.#at += length;
    this.#staged = 0;
    this.#out(this.#staging.subarray(0, length), at);
  }

  /** The stream is written; the same as {@link flush}. */
  end(): void {
    this.flush();
  }

  #configuration(record: ConfigurationRecord): void {
    const machine = fromLatin1(record.machine);
    this.#put(new ByteBuilder().u8(SectionType.configuration).u32(machine.length).bytes(machine));
    for (const { name, version, payload } of record.subsections) {
      const bytes = fromLatin1(name);
      this.#put(new ByteBuilder().u8(SectionType.subsection).u8(bytes.length).bytes(bytes).u32(version).bytes(payload));
    }
  }

  #header14(
    type: number,
    name: string,
    section: { readonly sectionId: number; readonly instance: number; readonly version: number },
  ): ByteBuilder {
    const bytes = fromLatin1(name);
    const builder = new ByteBuilder().u8(type).u32(this.#id(section.sectionId)).u8(bytes.length).bytes(bytes);
    return builder.u32(section.instance).u32(section.version);
  }

  #blockEntry({ block, hostPageSize, guestAddress, mapped }: BlockEntry): void {
    const name = fromLatin1(block.name);
    const entry = new ByteBuilder().u8(name.length).bytes(name).u64(block.length);
    if (hostPageSize !== null) entry.u64(hostPageSize);
    if (guestAddress !== null) entry.u64(guestAddress);
    if (mapped === null) {
      this.#put(entry);
      return;
    }
    entry.u32(mapped.version).u64(mapped.pageSize).u64(mapped.bitmapOffset).u64(mapped.pagesOffset);
    this.#put(entry);
    this.flush();
    this.#at = mapped.pagesOffset + block.length;
  }

  #dirtyBitmap(record: DirtyBitmapRecord): void {
    if (record.part === "start") this.#put(this.#header14(SectionType.start, "dirty-bitmap", record));
    else {
      const type = record.part === "end" ? SectionType.end : SectionType.part;
      this.#put(new ByteBuilder().u8(type).u32(this.#id(record.sectionId)));
    }
    this.#bytes(record.payload);
  }

  #device(record: DeviceRecord): void {
    this.#put(this.#header14(SectionType.full, record.name, record));
    this.#bytes(record.payload);
  }

  #pageHeader(block: RamBlock, page: number, flag: number): void {
    const address = page * block.pageSize;
    if (block === this.#last) {
      this.#word(address, flag + RamFlag.continue);
      return;
    }
    this.#last = block;
    this.#word(address, flag);
    const name = fromLatin1(block.name);
    const at = this.#room(1);
    this.#staging[at] = name.length;
    this.#bytes(name);
  }

  #word(address: number, flags: number): void {
    const at = this.#room(8);
    setU64(this.#view, at, address + flags);
  }

  #id(id: number): number {
    if (this.#ids === null) return id;
    const known = this.#ids.get(id) ?? this.#ids.size + 1;
    this.#ids.set(id, known);
    return known;
  }

  #put(builder: ByteBuilder): void {
    this.#bytes(builder.finish());
  }

  #bytes(bytes: Uint8Array): void {
    if (bytes.length > STAGING) {
      this.flush();
      const at = this.#at;
      this.#at += bytes.length;
      this.#out(bytes, at);
      return;
    }
    const at = this.#room(bytes.length);
    this.#staging.set(bytes, at);
  }

  /** Where `length` <= STAGING bytes may be put. */
  #room(length: number): number {
    if (this.#staged + length > STAGING) this.flush();
    const at = this.#staged;
    this.#staged += length;
    if (this.#staged > this.#staging.length) this.#grow();
    return at;
  }

  #grow(): void {
    const larger = new Uint8Array(Math.min(STAGING, Math.max(this.#staged, this.#staging.length * 8)));
    larger.set(this.#staging);
    this.#staging = larger;
    this.#view = viewOf(larger);
  }
}

/** Bytes that a block entry takes in the stream, without the pages of a mapped-ram file. */
export function blockEntrySize(entry: BlockEntry): number {
  const words = (entry.hostPageSize === null ? 0 : 8) + (entry.guestAddress === null ? 0 : 8);
  return 9 + entry.block.name.length + words + (entry.mapped === null ? 0 : MAPPED_HEADER_SIZE);
}

function cannotRenumber(what: string): FixedramError {
  return new FixedramError("stream.cannot-renumber", `section ids inside ${what} can't be given new numbers`);
}
