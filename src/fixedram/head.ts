import { RAM_VERSION, STREAM_VERSION } from "../stream/constants.ts";
import type { BlockEntry, ConfigurationRecord, RamStartRecord } from "../stream/records.ts";
import { StreamWriter } from "../stream/writer.ts";
import type { BlockLayout } from "./layout.ts";

/** Bytes and where they go in the file. */
export interface Piece {
  readonly position: number;
  readonly bytes: Uint8Array;
}

/** Bytes of the stream before the first block entry: header, configuration, head of the RAM section, total. */
export function headLength(configuration: ConfigurationRecord, ramStart: RamStartRecord): number {
  return encode(configuration, { ...ramStart, blocks: [] }, 0).reduce((sum, { bytes }) => sum + bytes.length, 0);
}

/**
 * What stands between the pages of a file: the first piece is head and first block entry, each other one an entry, at the
 * places of `layouts` (docs/format.md, "The head" and "Block entry").
 *
 * @param base where the stream begins, bytes from the start of the file
 */
export function encodeHead(
  configuration: ConfigurationRecord,
  ramStart: RamStartRecord,
  layouts: readonly BlockLayout[],
  base = 0,
): Piece[] {
  const blocks: BlockEntry[] = layouts.map(({ block, bitmapOffset, pagesOffset }) => ({
    block,
    hostPageSize: null,
    guestAddress: ramStart.blocks[block.index]?.guestAddress ?? null,
    mapped: { version: 1, pageSize: block.pageSize, bitmapOffset, pagesOffset },
  }));
  return encode(configuration, { ...ramStart, blocks }, base);
}

function encode(configuration: ConfigurationRecord, ramStart: RamStartRecord, base: number): Piece[] {
  const pieces: Piece[] = [];
  const writer = new StreamWriter((bytes, position) => pieces.push({ position, bytes: bytes.slice() }), { base });
  writer.record({ kind: "header", version: STREAM_VERSION });
  writer.record(configuration);
  writer.record({ ...ramStart, version: RAM_VERSION });
  writer.end();
  return pieces;
}
