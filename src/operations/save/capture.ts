import { FixedramError } from "../../errors.ts";
import type { MainRamTest } from "../../fixedram/layout.ts";
import type { SnapshotMeta } from "../../fixedram/meta.ts";
import { FixedRamWriter, type WritableFile } from "../../fixedram/writer.ts";
import type { RamBlock } from "../../pages/block.ts";
import type { PageBatch } from "../../pages/sink.ts";
import type { Receiver } from "../../qemu/migration-socket.ts";
import { Command } from "../../stream/constants.ts";
import type { PageEncoding, StreamEvents } from "../../stream/events.ts";
import { StreamReader } from "../../stream/reader.ts";
import type { CommandRecord, ConfigurationRecord, RamStartRecord, StreamRecord } from "../../stream/records.ts";
import { StreamWriter } from "../../stream/writer.ts";
import { decodeXbzrle } from "../../stream/xbzrle.ts";

/**
 * Takes a migration stream chunk by chunk and puts every page at its place: socket bytes in, a fixed-ram file out. Everything
 * is synchronous, so a slow disk slows QEMU down and nothing piles up here.
 */
export class Capture implements Receiver, StreamEvents {
  /** Bytes of the stream so far. */
  received = 0;
  /** Settles when the stream is whole, its last byte included; QEMU keeps the connection open then. */
  readonly whole: Promise<void>;
  isWhole = false;
  #trailing: FixedramError | null = null;
  #inDevices = false;
  /** Command 2 (PING) wants its value back on the return path. */
  onPing: (value: number) => void = () => {};
  /** Bytes of the device state have come. */
  onDeviceState: () => void = () => {};
  readonly #target: WritableFile;
  readonly #onPhase: (phase: "ram" | "device-state") => void;
  readonly #onBytes: () => void;
  readonly #mainRam: MainRamTest;
  readonly #reader: StreamReader;
  #writer: FixedRamWriter | null = null;
  /** Encodes what follows the RAM section's start, into the file's tail. */
  #tail: StreamWriter | null = null;
  /** What came before the RAM section (dirty bitmaps, early devices): the file's tail has it behind that section's START. */
  #held: StreamRecord[] = [];
  #configuration: ConfigurationRecord | null = null;
  /** Inside a RAM PART: its marks and footer are not kept, for the pages they frame are elsewhere. */
  #inPart = false;
  /** The RAM section's id, until its END has come. */
  #openRam: number | null = null;
  #page = new Uint8Array(0);
  #settle: () => void = () => {};

  /**
   * @param onPhase the stream has come to this part
   * @param onBytes called for every chunk
   */
  constructor(
    target: WritableFile,
    mainRam: MainRamTest,
    onPhase: (phase: "ram" | "device-state") => void,
    onBytes: () => void,
  ) {
    this.#target = target;
    this.#mainRam = mainRam;
    this.#onPhase = onPhase;
    this.#onBytes = onBytes;
    this.#reader = new StreamReader(this, {});
    this.whole = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  chunk(bytes: Uint8Array): void {
    this.received += bytes.length;
    const used = this.#reader.push(bytes);
    this.#onBytes();
    if (this.#reader.inDeviceState) this.#deviceState();
    if (!this.#reader.complete) return;
    if (used < bytes.length) {
      this.#trailing = new FixedramError("stream.trailing-bytes", "QEMU sent more after the end of its stream", {
        offset: this.#reader.position,
        found: `${bytes.length - used} bytes`,
      });
      throw this.#trailing;
    }
    this.#whole();
  }

  /**
   * The connection was closed by QEMU. Only for a stream whose end nothing else tells, because its machine writes no vmdesc.
   *
   * @throws FixedramError `stream.cut`, `stream.device-state` and others of StreamReader.end
   */
  end(): void {
    this.#reader.end();
    this.#whole();
  }

  /** Why the bytes so far are not a whole stream; null when a vmdesc is all that is missing. */
  whyNotWhole(): unknown {
    try {
      this.#reader.end();
      return null;
    } catch (error) {
      return error;
    }
  }

  #deviceState(): void {
    if (!this.#inDevices) {
      this.#inDevices = true;
      this.#onPhase("device-state");
    }
    this.onDeviceState();
  }

  #whole(): void {
    this.isWhole = true;
    this.#settle();
  }

  get machine(): string {
    return this.#configuration?.machine ?? "";
  }

  /** Counts of pages; zeros before the block list has come. */
  get counts(): { readonly total: number; readonly data: number; readonly zero: number; readonly rewritten: number } {
    const writer = this.#writer;
    if (writer === null) return { total: 0, data: 0, zero: 0, rewritten: 0 };
    return { ...writer.countPages(), rewritten: writer.rewritten };
  }

  /** Bytes of all RAM blocks. */
  get ramBytes(): number {
    return this.#writer?.blocks.reduce((sum, block) => sum + block.length, 0) ?? 0;
  }

  /** Bytes of pages written so far. */
  get pageBytes(): number {
    return (this.#writer?.pagesWritten ?? 0) * (this.#writer?.blocks[0]?.pageSize ?? 4096);
  }

  /**
   * Writes headers, bitmaps, tail and seal; the file is whole then, not yet on disk.
   *
   * @throws FixedramError `stream.no-ram`, `stream.trailing-bytes`, `system.*`
   */
  complete(meta: SnapshotMeta): void {
    if (this.#trailing !== null) throw this.#trailing;
    this.#tail?.end();
    this.#requireWriter().complete(meta);
  }

  record(record: StreamRecord): void {
    switch (record.kind) {
      case "header":
        return;
      case "configuration":
        this.#configuration = record;
        return;
      case "ram-start":
        this.#begin(record);
        return;
      case "command":
        this.#command(record);
        return;
      case "ram-part":
        this.#inPart = true;
        return;
      case "footer":
        if (!this.#inPart) this.#footer(record);
        this.#inPart = false;
        return;
      case "ram-eos":
      case "ram-flush":
      case "ram-hook":
        if (!this.#inPart) this.#keep(record);
        return;
      case "ram-end":
        this.#openRam = null;
        this.#keep(record);
        return;
      default:
        if (beginsDeviceState(record)) this.#endRam();
        this.#keep(record);
    }
  }

  pages(batch: PageBatch): void {
    this.#requireWriter().writePages(batch);
  }

  zeroPages(block: RamBlock, firstPage: number, count: number): void {
    this.#requireWriter().zeroPages(block, firstPage, count);
  }

  encoded(block: RamBlock, page: number, kind: PageEncoding, data: Uint8Array): void {
    if (kind !== "xbzrle") {
      throw new FixedramError("stream.compressed-page", "QEMU sent compressed pages, which a save switches off", {
        block: block.name,
        page,
      });
    }
    const writer = this.#requireWriter();
    if (this.#page.length !== block.pageSize) this.#page = new Uint8Array(block.pageSize);
    writer.readPage(block, page, this.#page);
    decodeXbzrle(this.#page, data);
    writer.writePage(block, page, this.#page);
  }

  #begin(start: RamStartRecord): void {
    if (this.#configuration === null) {
      throw new FixedramError("stream.no-configuration", "the stream names no machine", {
        hint: "Machine types up to 2.3 are not supported: use a newer one.",
      });
    }
    const writer = new FixedRamWriter(this.#target, this.#configuration, start, { isMainRam: this.#mainRam });
    this.#writer = writer;
    this.#openRam = start.sectionId;
    this.#tail = new StreamWriter((bytes) => writer.tail(bytes));
    this.#onPhase("ram");
  }

  /**
   * A background snapshot's RAM section has no END. The file keeps no PARTs, so without an END its device sections could not be
   * told from early ones, which stand behind a START (docs/format.md, "Sections").
   */
  #endRam(): void {
    const sectionId = this.#openRam;
    if (sectionId === null) return;
    this.#openRam = null;
    this.#keep({ kind: "ram-end", sectionId });
    this.#keep({ kind: "ram-eos" });
    this.#keep({ kind: "footer", sectionId });
  }

  #keep(record: StreamRecord): void {
    if (this.#tail === null) this.#held.push(record);
    else this.#tail.record(record);
  }

  #footer(record: StreamRecord): void {
    this.#keep(record);
    if (this.#tail === null || this.#held.length === 0) return;
    // That was the footer of the RAM section's START.
    for (const held of this.#held) this.#tail.record(held);
    this.#held = [];
  }

  /** Commands that set up a return path or postcopy mean nothing in a file; the others are kept. */
  #command(record: CommandRecord): void {
    if (record.command === Command.ping)
      this.onPing(new DataView(record.data.buffer, record.data.byteOffset).getUint32(0));
    if (record.command > Command.postcopyAdvise) this.#keep(record);
  }

  #requireWriter(): FixedRamWriter {
    if (this.#writer === null) throw new FixedramError("stream.no-ram", "the stream ends before its RAM section");
    return this.#writer;
  }
}

/** What comes behind all live sections: device state, cut or not, or the stream's end. */
function beginsDeviceState(record: StreamRecord): boolean {
  return record.kind === "device" ? !record.early : record.kind === "device-state-uncut" || record.kind === "eof";
}
