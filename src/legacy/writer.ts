import type { RamBlock } from "../pages/block.ts";
import type { PageMap } from "../pages/map.ts";
import { type ExtentVisitor, walk } from "../pages/plan.ts";
import { withCapability } from "../stream/configuration.ts";
import { Command } from "../stream/constants.ts";
import type { BlockEntry, RamStartRecord, StreamRecord } from "../stream/records.ts";
import { StreamWriter } from "../stream/writer.ts";
import { PageSender, type Send } from "./page-sender.ts";

/** What a stream is made from: a snapshot in whatever container. */
export interface StreamSource {
  /** Every record in stream order; PARTs of the RAM section may be left out. */
  readonly records: readonly StreamRecord[];
  readonly ramStart: RamStartRecord;
  readonly map: PageMap;
}

export interface StreamOutOptions {
  /** Whether zero pages of a block are sent: where the destination's RAM may hold something (docs/format.md, "Zero pages"). */
  readonly zeroWanted: (block: RamBlock) => boolean;
  /** Bytes of pages sent so far. */
  readonly onPages?: (bytes: number) => void;
  readonly signal?: AbortSignal;
  /** Pages go on multifd channels beside the stream; default: in it. */
  readonly channels?: StreamChannels;
}

/** The multifd channels beside a stream. */
export interface StreamChannels {
  /** Takes the pages. @param zero sends zero pages, in the stream */
  visitor(zero: ExtentVisitor["zero"]): ExtentVisitor;
  /** A round has ended: a SYNC on every channel. The stream's own mark follows. */
  round(): Promise<void>;
  /** What ends a round in the stream (docs/format.md, "multifd channels"): FLUSH and EOS, or EOS alone. */
  readonly flush: boolean;
}

/**
 * A snapshot as a stream that any QEMU since 2.4 loads: all pages in one PART behind the setup (STARTs, early device state),
 * everything else as it was, but without mapped-ram headers, the commands that only concern the migration it was (return path,
 * ping, postcopy) and what postcopy adds to the block list.
 *
 * @param out sends bytes, valid until its promise settles
 * @throws FixedramError `file.truncated`; what `out` throws; the signal's reason
 */
export async function writeStream(source: StreamSource, out: Send, options: StreamOutOptions): Promise<void> {
  let pending: Promise<void> = Promise.resolve();
  const writer = new StreamWriter((bytes) => {
    const copy = bytes.slice();
    pending = pending.then(() => out(copy));
    pending.catch(() => {});
  });
  const drained = async () => {
    writer.flush();
    await pending;
  };
  const { channels } = options;
  for (const record of streamRecords(source)) {
    if (record === "pages") {
      await drained();
      const sender = new PageSender(source.map, out, options.zeroWanted, options.onPages ?? (() => {}));
      const visitor = channels?.visitor((block, first, pages) => sender.zero(block, first, pages)) ?? sender;
      await walk(source.map, visitor, options.signal);
      await sender.flush();
      continue;
    }
    // Of a migration that was.
    if (record.kind === "ram-flush") continue;
    if (record.kind === "ram-eos" && channels !== undefined) {
      await channels.round();
      if (channels.flush) writer.record({ kind: "ram-flush" });
    }
    writer.record(record);
  }
  await drained();
}

/** The stream's records in order, and the place of the pages among them. */
function* streamRecords({ records, ramStart }: StreamSource): Generator<StreamRecord | "pages"> {
  const { sectionId } = ramStart;
  let inPart = false;
  let sent = false;
  for (const record of records) {
    if (record.kind === "ram-part") inPart = true;
    const framed = inPart;
    if (inPart && record.kind === "footer") inPart = false;
    if (framed || (record.kind === "command" && record.command !== Command.switchoverStart)) continue;
    if (!sent && afterPages(record)) {
      sent = true;
      yield { kind: "ram-part", sectionId };
      yield "pages";
      yield { kind: "ram-eos" };
      yield { kind: "footer", sectionId };
    }
    if (record.kind === "configuration") yield withCapability(record, "mapped-ram", false);
    else if (record.kind === "ram-start") yield { ...record, blocks: record.blocks.map(plainEntry) };
    else yield record;
  }
}

/** Whether a record stands behind the pages: what only a stream's setup may hold stays before them. */
function afterPages(record: StreamRecord): boolean {
  switch (record.kind) {
    case "command":
    case "ram-end":
    case "device-state-uncut":
    case "eof":
      return true;
    case "dirty-bitmap":
      return record.part !== "start";
    case "device":
      return !record.early;
    default:
      return false;
  }
}

function plainEntry(entry: BlockEntry): BlockEntry {
  return { ...entry, mapped: null, hostPageSize: null };
}
