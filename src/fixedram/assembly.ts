import { FixedramError } from "../errors.ts";
import type { RamBlock } from "../pages/block.ts";
import type { PageBatch } from "../pages/sink.ts";
import { Command } from "../stream/constants.ts";
import { EncodedPages, type Inflate } from "../stream/encoded.ts";
import type { PageEncoding, StreamEvents } from "../stream/events.ts";
import { RecordBudget } from "../stream/record-budget.ts";
import type { ConfigurationRecord, RamStartRecord, StreamRecord } from "../stream/records.ts";
import { StreamWriter } from "../stream/writer.ts";
import type { FixedRamWriter } from "./writer.ts";

/** Begins the file when the stream's block list has come. */
export type WriterFactory = (configuration: ConfigurationRecord, ramStart: RamStartRecord) => FixedRamWriter;

/**
 * Makes a fixed-ram file of a stream's records and pages: the pages go to their places, what stands behind the RAM section's
 * START goes to the file's tail, without the PARTs that framed the pages and the commands that set up a return path or
 * postcopy (docs/format.md, "Sections").
 *
 * The pages of a page map may also be given to {@link FixedRamAssembly.writer} directly, once all records have been given.
 */
export class FixedRamAssembly implements StreamEvents {
  readonly #make: WriterFactory;
  readonly #inflate: Inflate | null;
  #writer: FixedRamWriter | null = null;
  #encoded: EncodedPages | null = null;
  /** Encodes what follows the RAM section's start, into the file's tail. */
  #tail: StreamWriter | null = null;
  /** What came before the RAM section (dirty bitmaps, early devices): the file's tail has it behind that section's START. */
  #held: StreamRecord[] = [];
  readonly #budget = new RecordBudget();
  #configuration: ConfigurationRecord | null = null;
  /** Inside a RAM PART: its marks and footer are not kept, for the pages they frame are elsewhere. */
  #inPart = false;
  /** The RAM section's id, until its END has come. */
  #openRam: number | null = null;

  /** @param inflate for streams with compressed pages; null: they are refused */
  constructor(make: WriterFactory, inflate: Inflate | null = null) {
    this.#make = make;
    this.#inflate = inflate;
  }

  /** Null until the block list has come. */
  get started(): FixedRamWriter | null {
    return this.#writer;
  }

  /** @throws `stream.no-ram` */
  get writer(): FixedRamWriter {
    if (this.#writer === null) throw new FixedramError("stream.no-ram", "the stream ends before its RAM section");
    return this.#writer;
  }

  /** As the stream has it; null until it has come. */
  get configuration(): ConfigurationRecord | null {
    return this.#configuration;
  }

  /** Every record has been given. @throws `stream.no-ram` */
  end(): FixedRamWriter {
    this.#tail?.end();
    return this.writer;
  }

  /** @throws `stream.no-configuration`, what the writer throws */
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
        if (record.command > Command.postcopyAdvise) this.#keep(record);
        return;
      case "ram-part":
        this.#inPart = true;
        return;
      case "footer":
        if (!this.#inPart) this.#footer(record);
        this.#inPart = false;
        return;
      case "ram-flush":
        // It orders multifd channels among each other. QEMU refuses to find one in a file.
        return;
      case "ram-eos":
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
    this.writer.writePages(batch);
  }

  zeroPages(block: RamBlock, firstPage: number, count: number): void {
    this.writer.zeroPages(block, firstPage, count);
  }

  encoded(block: RamBlock, page: number, kind: PageEncoding, data: Uint8Array): void {
    this.#encoded ??= new EncodedPages(this.writer, this.#inflate);
    this.#encoded.put(block, page, kind, data);
  }

  #begin(start: RamStartRecord): void {
    if (this.#configuration === null) {
      throw new FixedramError("stream.no-configuration", "the stream names no machine", {
        hint: "Machine types up to 2.3 are not supported: use a newer one.",
      });
    }
    const writer = this.#make(this.#configuration, start);
    this.#writer = writer;
    this.#openRam = start.sectionId;
    this.#tail = new StreamWriter((bytes) => writer.tail(bytes));
  }

  /**
   * A background snapshot's RAM section has no END. The file keeps no PARTs, so without an END its device sections could not be
   * told from early ones, which stand behind a START.
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
    if (this.#tail === null) {
      this.#budget.take(record);
      this.#held.push(record);
    } else this.#tail.record(record);
  }

  #footer(record: StreamRecord): void {
    this.#keep(record);
    if (this.#tail === null || this.#held.length === 0) return;
    // That was the footer of the RAM section's START.
    for (const held of this.#held) this.#tail.record(held);
    this.#held = [];
  }
}

/** What comes behind all live sections: device state, cut or not, or the stream's end. */
function beginsDeviceState(record: StreamRecord): boolean {
  return record.kind === "device" ? !record.early : record.kind === "device-state-uncut" || record.kind === "eof";
}
