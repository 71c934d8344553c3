/**
 * What the source of a postcopy migration sends besides pages (docs/protocol.md; QEMU docs/devel/migration/postcopy). Bytes only:
 * nothing here knows a socket.
 */
import { ByteBuilder } from "../bytes/cursor.ts";
import { fromLatin1 } from "../bytes/text.ts";
import { withCapability } from "../stream/configuration.ts";
import { Command, RamFlag, SectionType } from "../stream/constants.ts";
import type { RamStartRecord, StreamRecord } from "../stream/records.ts";
import { StreamWriter } from "../stream/writer.ts";
import type { PostcopyBlock, SentPages } from "./blocks.ts";

/** Values of our PINGs, so that an answer says how far the destination has come. */
export const Ping = { advised: 1, loaded: 2 } as const;

/** What a snapshot gives to the stream. */
export interface PostcopyInput {
  readonly records: readonly StreamRecord[];
  readonly ramStart: RamStartRecord;
}

/**
 * Header, configuration, return path, ADVISE, early device state and the RAM section's START. On ADVISE the destination empties
 * every RAM block.
 */
export function beginning(input: PostcopyInput, blocks: readonly PostcopyBlock[], hostPageSize: number): Uint8Array {
  const out = new Collector();
  const { sectionId } = input.ramStart;
  for (const record of input.records) {
    if (record.kind === "header") out.writer.record(record);
    if (record.kind === "configuration") {
      out.writer.record(withCapability(withCapability(record, "mapped-ram", false), "x-ignore-shared", false));
      out.raw(command(Command.openReturnPath));
      out.raw(command(Command.ping, new ByteBuilder(4).u32(Ping.advised).finish()));
      out.raw(command(Command.postcopyAdvise, advice(blocks, hostPageSize)));
    }
    if (record.kind === "device" && record.early) {
      out.writer.record(record);
      out.writer.record({ kind: "footer", sectionId: record.sectionId });
    }
    if (record.kind === "dirty-bitmap" && record.part === "start") {
      out.writer.record(record);
      out.writer.record({ kind: "footer", sectionId: record.sectionId });
    }
    if (record.kind === "ram-start") {
      out.writer.record(startOf(record, blocks, hostPageSize));
      out.writer.record({ kind: "ram-eos" });
      out.writer.record({ kind: "footer", sectionId });
    }
  }
  return out.finish();
}

/** Sections that are neither RAM nor device state: they go before the destination begins to listen. */
export function remainingSections(input: PostcopyInput): Uint8Array {
  const out = new Collector();
  for (const record of input.records) {
    if (record.kind !== "dirty-bitmap" || record.part === "start") continue;
    out.writer.record(record);
    out.writer.record({ kind: "footer", sectionId: record.sectionId });
  }
  return out.finish();
}

function startOf(record: RamStartRecord, blocks: readonly PostcopyBlock[], hostPageSize: number): RamStartRecord {
  return {
    ...record,
    blocks: record.blocks.map((entry, i) => {
      const size = blocks[i]?.hostPageSize ?? hostPageSize;
      return { ...entry, mapped: null, guestAddress: null, hostPageSize: size === hostPageSize ? null : size };
    }),
  };
}

/** Bitwise OR of all page sizes that occur, and the target's page size; sizes are powers of two, so the OR is the sum of the different ones. */
function advice(blocks: readonly PostcopyBlock[], hostPageSize: number): Uint8Array {
  const sizes = new Set(blocks.map((each) => each.hostPageSize));
  if (sizes.size === 0) sizes.add(hostPageSize);
  const summary = [...sizes].reduce((sum, size) => sum + size, 0);
  return new ByteBuilder(16)
    .u64(summary)
    .u64(blocks[0]?.block.pageSize ?? hostPageSize)
    .finish();
}

/** Ranges that a RAM_DISCARD command carries, as QEMU's own source does it. */
const rangesACommand = 12;

/**
 * RAM_DISCARD commands for everything that was not sent ahead: huge pages may have filled neighbours of what was. There is always
 * at least one, without which QEMU's destination waits for ever.
 */
export function* discards(sent: SentPages): Generator<Uint8Array> {
  let any = false;
  for (const { block } of sent.blocks) {
    let ranges: [start: number, length: number][] = [];
    for (let page = sent.nextMissing(block.index, 0, block.pages); page < block.pages; ) {
      const end = sent.nextSent(block.index, page, block.pages);
      ranges.push([page * block.pageSize, (end - page) * block.pageSize]);
      page = sent.nextMissing(block.index, end, block.pages);
      if (ranges.length === rangesACommand || page >= block.pages) {
        any = true;
        yield discard(block.name, ranges);
        ranges = [];
      }
    }
  }
  if (!any) throw new RangeError("everything was sent ahead: there is nothing left to discard");
}

function discard(name: string, ranges: readonly (readonly [start: number, length: number])[]): Uint8Array {
  const bytes = fromLatin1(name);
  const data = new ByteBuilder(3 + bytes.length + ranges.length * 16).u8(0).u8(bytes.length).bytes(bytes).u8(0);
  for (const [start, length] of ranges) data.u64(start).u64(length);
  return command(Command.ramDiscard, data.finish());
}

/** LISTEN, the device state, a PING and RUN as one package: it is read whole before any of it is acted on. */
export function packaged(input: PostcopyInput): Uint8Array {
  const inner = new Collector();
  inner.raw(command(Command.postcopyListen));
  for (const record of input.records) {
    if (record.kind === "device-state-uncut") inner.writer.record(record);
    if (record.kind !== "device" || record.early) continue;
    inner.writer.record(record);
    inner.writer.record({ kind: "footer", sectionId: record.sectionId });
  }
  inner.raw(command(Command.ping, new ByteBuilder(4).u32(Ping.loaded).finish()));
  inner.raw(command(Command.postcopyRun));
  const bytes = inner.finish();
  const head = command(Command.packaged, new ByteBuilder(4).u32(bytes.length).finish());
  return joined([head, bytes]);
}

/** The RAM section's END and the end of the stream; a postcopy stream has no vmdesc. */
export function ending(sectionId: number): Uint8Array {
  return new ByteBuilder(19)
    .u8(SectionType.end)
    .u32(sectionId)
    .u64(RamFlag.eos)
    .u8(SectionType.footer)
    .u32(sectionId)
    .u8(SectionType.eof)
    .finish();
}

/** Asks which pages of a block the destination has. */
export function askBitmap(name: string): Uint8Array {
  const bytes = fromLatin1(name);
  return command(Command.recvBitmap, new ByteBuilder(1 + bytes.length).u8(bytes.length).bytes(bytes).finish());
}

export function resumeCommand(): Uint8Array {
  return command(Command.postcopyResume);
}

function command(number: number, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  return new ByteBuilder(5 + data.length).u8(SectionType.command).u16(number).u16(data.length).bytes(data).finish();
}

/** Gathers what a stream writer and others write, in order. */
class Collector {
  readonly #pieces: Uint8Array[] = [];
  readonly writer = new StreamWriter((bytes) => void this.#pieces.push(bytes.slice()));

  raw(bytes: Uint8Array): void {
    this.writer.flush();
    this.#pieces.push(bytes);
  }

  finish(): Uint8Array {
    this.writer.flush();
    return joined(this.#pieces);
  }
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
