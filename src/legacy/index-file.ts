/**
 * An index kept beside a legacy stream, so that it need not be read through again (docs/format.md, "Index of a stream"):
 *
 *     head (144 bytes) | one u32 a block | the stream's records, as a stream without pages | runs of pages, 40 bytes each | SHA-256
 */
import { createHash } from "node:crypto";
import { ByteBuilder, Cursor } from "../bytes/cursor.ts";
import { sameBytes } from "../bytes/numbers.ts";
import { latin1 } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import { targetPageBitsOf } from "../stream/configuration.ts";
import { StreamReader } from "../stream/reader.ts";
import type { StreamRecord } from "../stream/records.ts";
import { StreamWriter } from "../stream/writer.ts";
import { LeafPool, PageTable } from "./page-table.ts";
import type { StreamIndex } from "./reader.ts";

const magic = "FRAMINDX";
const version = 1;
const headLength = 144;
const runLength = 40;
const digestLength = 32;

/** More than this is not read back, bytes. */
export const maxIndexFileBytes = 2 ** 30;
const maxTableBytes = 2 ** 31;

/** Tells whether an index belongs to a file as it is now. */
export interface StreamIdentity {
  /** Bytes. */
  readonly size: number;
  /** Nanoseconds since 1970, decimal. */
  readonly mtimeNs: string;
  /** SHA-256 of the file's first and last 64 KiB. */
  readonly ends: Uint8Array;
}

/** The index as bytes. Only for a stream without unpacked pages: those stand nowhere in its file. */
export function encodeIndex(index: StreamIndex, identity: StreamIdentity): Uint8Array {
  const { tables, mentioned, counts, ramStart } = index;
  const runs = new ByteBuilder(2 ** 16);
  for (const [block, table] of tables.entries()) addRuns(runs, block, table);
  const records = encodeRecords(index);
  const pageSize = ramStart.blocks[0]?.block.pageSize ?? 4096;
  const out = new ByteBuilder(headLength + records.length + runs.length + digestLength)
    .bytes(ascii(magic))
    .u32(version)
    .u32(headLength)
    .u64(identity.size)
    .bytes(mtimeBytes(identity))
    .bytes(identity.ends)
    .u64(index.streamBase)
    .u64(index.streamEnd)
    .u32(pageSize)
    .u32(tables.length)
    .u64(records.length)
    .u64(runs.length / runLength)
    .u64(counts.data)
    .u64(counts.zero)
    .u64(counts.rounds)
    .bytes(new Uint8Array(16));
  for (const said of mentioned) out.u32(said ? 1 : 0);
  const body = out.bytes(records).bytes(runs.finish()).finish();
  return new ByteBuilder(body.length + digestLength).bytes(body).bytes(sha256(body)).finish();
}

/**
 * The index that `bytes` hold when they are whole and belong to the file `identity` tells of; else null: it is made again then.
 *
 * @param base where the stream begins, bytes
 * @param pageSize that the caller wants, or undefined
 */
export function decodeIndex(
  bytes: Uint8Array,
  identity: StreamIdentity,
  base: number,
  pageSize: number | undefined,
): StreamIndex | null {
  if (bytes.length < headLength + digestLength || latin1(bytes, 0, 8) !== magic) return null;
  const body = bytes.subarray(0, bytes.length - digestLength);
  if (!sameBytes(sha256(body), bytes.subarray(body.length))) return null;
  try {
    return decodeBody(new Cursor(body, { offset: 8, area: "file" }), identity, base, pageSize);
  } catch (error) {
    // Whole by its digest and still not right: made by something else. It is not worth more than no index.
    if (error instanceof FixedramError) return null;
    throw error;
  }
}

function decodeBody(
  cursor: Cursor,
  identity: StreamIdentity,
  base: number,
  pageSize: number | undefined,
): StreamIndex | null {
  if (cursor.u32() !== version || cursor.u32() !== headLength || cursor.u64() !== identity.size) return null;
  if (!sameBytes(cursor.take(8), mtimeBytes(identity)) || !sameBytes(cursor.take(32), identity.ends)) return null;
  const streamBase = cursor.u64();
  const streamEnd = cursor.u64();
  const used = cursor.u32();
  const blockCount = cursor.u32();
  const recordLength = cursor.u64();
  const runCount = cursor.u64();
  const counts = { data: cursor.u64(), zero: cursor.u64(), xbzrle: 0, zlib: 0, rounds: cursor.u64() };
  cursor.take(16);
  if (cursor.remaining !== blockCount * 4 + recordLength + runCount * runLength) return null;
  if (streamBase !== base || streamEnd > identity.size) return null;
  const mentioned = Array.from({ length: blockCount }, () => cursor.u32() === 1);
  const records = decodeRecords(cursor.take(recordLength), used);
  const ramStart = records.find((record) => record.kind === "ram-start");
  const configuration = records.find((record) => record.kind === "configuration");
  if (ramStart === undefined || configuration === undefined || ramStart.blocks.length !== blockCount) return null;
  if (pageSize !== undefined && pageSize !== used && targetPageBitsOf(configuration) === null) return null;
  const pool = new LeafPool(checkIndexBytes);
  const tables = ramStart.blocks.map(({ block }) => new PageTable(block.pages, pool));
  for (let run = 0; run < runCount; run++) {
    if (!readRun(cursor, tables, streamBase, streamEnd - used, used + 8)) return null;
  }
  return { streamBase, streamEnd, records, ramStart, tables, mentioned, counts };
}

function checkIndexBytes(bytes: number): void {
  if (bytes > maxTableBytes) throw new FixedramError("file.too-large", "the index holds more pages than the limit");
}

/** u32 block, u32 0, u64 first page, u64 pages, u64 offset of the first, u64 from one to the next (0 behind a single one). */
function addRuns(out: ByteBuilder, block: number, table: PageTable): void {
  const { pages } = table;
  let page = table.nextPresent(0, pages);
  while (page < pages) {
    const first = table.get(page);
    if (first < 0) throw new RangeError("an unpacked page has no place in the stream");
    const stride = page + 1 < pages ? table.get(page + 1) - first : 0;
    let end = page + 1;
    if (stride > 0) while (end < pages && table.get(end) === first + (end - page) * stride) end++;
    out
      .u32(block)
      .u32(0)
      .u64(page)
      .u64(end - page)
      .u64(first)
      .u64(end - page > 1 ? stride : 0);
    page = table.nextPresent(end, pages);
  }
}

function readRun(
  cursor: Cursor,
  tables: readonly PageTable[],
  least: number,
  most: number,
  minStride: number,
): boolean {
  const table = tables[cursor.u32()];
  cursor.u32();
  const first = cursor.u64();
  const count = cursor.u64();
  const offset = cursor.u64();
  const stride = cursor.u64();
  if (table === undefined || count === 0 || first + count > table.pages) return false;
  if (offset <= least || offset + (count - 1) * stride > most) return false;
  if (count > 1 && stride < minStride) return false;
  for (let i = 0; i < count; i++) table.set(first + i, offset + i * stride);
  return true;
}

/** The records as a stream of their own. Without a PART or END its FULLs would be taken for early ones, so it gets an empty one. */
function encodeRecords({ records, ramStart }: StreamIndex): Uint8Array {
  const out = new ByteBuilder(2 ** 16);
  const writer = new StreamWriter((bytes) => out.bytes(bytes));
  let parted = records.some(({ kind }) => kind === "ram-end");
  for (const record of records) {
    const final = record.kind === "device" ? !record.early : record.kind === "device-state-uncut";
    if (final && !parted) {
      parted = true;
      writer.record({ kind: "ram-part", sectionId: ramStart.sectionId });
      writer.record({ kind: "ram-eos" });
      writer.record({ kind: "footer", sectionId: ramStart.sectionId });
    }
    writer.record(record);
  }
  writer.end();
  return out.finish();
}

function decodeRecords(bytes: Uint8Array, pageSize: number): StreamRecord[] {
  const records: StreamRecord[] = [];
  let inPart = false;
  const nothing = () => {};
  const record = (each: StreamRecord): void => {
    if (each.kind === "ram-part") inPart = true;
    if (!inPart) records.push(each);
    if (each.kind === "footer") inPart = false;
  };
  const reader = new StreamReader({ record, pages: nothing, zeroPages: nothing, encoded: nothing }, { pageSize });
  reader.push(bytes);
  reader.end();
  return records;
}

function mtimeBytes({ mtimeNs }: StreamIdentity): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, BigInt.asIntN(64, BigInt(mtimeNs)));
  return bytes;
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function sha256(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}
