import { bitmapBytes } from "../bytes/bitmap.ts";
import { ByteBuilder, Cursor } from "../bytes/cursor.ts";
import { isSize } from "../bytes/numbers.ts";
import { fromLatin1, latin1 } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import { encodeOrder } from "./byte-order.ts";
import { nodeCount, nodePages, tableBytes } from "./digest-table.ts";
import { maxBitmapBytes } from "./layout.ts";
import { nodeEntryBytes } from "./nodes.ts";

/** One block as BLKS lists it, in the order of the stream's block list (docs/format.md, "BLKS"). Offsets and lengths are bytes. */
export interface SealedBlock {
  readonly pages: number;
  readonly pageSize: number;
  readonly bitmapOffset: number;
  readonly pagesOffset: number;
  readonly tableOffset: number;
  /** Pages whose bit is set. */
  readonly present: number;
  /** Entries of the block in NODS. */
  readonly nodes: number;
  readonly root: Uint8Array;
}

/** `HEAD`: the stream up to block 0's entry; `ENTR`: a later entry; `BMAP`: a bitmap; `TAIL`: what follows the last block. */
export type RegionKind = "HEAD" | "ENTR" | "BMAP" | "TAIL";

/** Bytes of the file that are no pages, as RGNS lists them. */
export interface Region {
  readonly kind: RegionKind;
  /** Of an entry or bitmap: which block's. Of others 0. */
  readonly block: number;
  readonly offset: number;
  readonly length: number;
  readonly sha256: Uint8Array;
}

export interface Digests {
  readonly blocks: readonly SealedBlock[];
  readonly regions: readonly Region[];
  /** NODS: the entries of all blocks' nodes. */
  readonly nodes: Uint8Array;
  /** Whether the words of the bitmaps stand big-endian in the file. */
  readonly bigEndian: boolean;
}

export const blocksType = "BLKS";
export const regionsType = "RGNS";
export const nodesType = "NODS";

/** As many blocks as a stream may list; bytes of the smallest target page. */
const maxBlocks = 65536;
const leastPage = 1024;
const blockBytes = 96;
const regionBytes = 64;
const kinds: readonly RegionKind[] = ["HEAD", "ENTR", "BMAP", "TAIL"];

/** The sections that hold digests, and the order of the bitmaps where it is not the usual one, to be written behind META. */
export function encodeDigests(digests: Digests): { type: string; critical: boolean; payload: Uint8Array }[] {
  const blocks = new ByteBuilder(8 + digests.blocks.length * blockBytes).u32(digests.blocks.length).u32(blockBytes);
  for (const block of digests.blocks) {
    blocks.u64(block.pages).u64(block.pageSize).u64(block.bitmapOffset).u64(block.pagesOffset).u64(block.tableOffset);
    blocks.u64(block.present).u64(block.nodes).u64(0).bytes(block.root);
  }
  const regions = new ByteBuilder(8 + digests.regions.length * regionBytes)
    .u32(digests.regions.length)
    .u32(regionBytes);
  for (const { kind, block, offset, length, sha256 } of digests.regions) {
    regions.bytes(fromLatin1(kind)).u32(block).u64(offset).u64(length).u64(0).bytes(sha256);
  }
  return [
    ...(digests.bigEndian ? [encodeOrder()] : []),
    { type: blocksType, critical: false, payload: blocks.finish() },
    { type: regionsType, critical: false, payload: regions.finish() },
    { type: nodesType, critical: false, payload: digests.nodes },
  ];
}

/**
 * Reads BLKS, RGNS and NODS, whose own digests have been checked.
 *
 * @param fileSize bytes, for the bounds
 * @throws `seal.bad-digests`, `seal.out-of-bounds`, `seal.number-too-large`
 */
export function decodeDigests(
  blks: Uint8Array,
  rgns: Uint8Array,
  nods: Uint8Array,
  fileSize: number,
): Omit<Digests, "bigEndian"> {
  const blocks = decodeBlocks(blks, fileSize);
  checkSizes(blocks, fileSize);
  const regions = decodeRegions(rgns, blocks.length, fileSize);
  const length = nodesBytes(blocks);
  if (length !== nods.length) throw bad(nodesType, `${nods.length} bytes, not the ${length} that BLKS tells`);
  return { blocks, regions, nodes: nods };
}

/** Bytes of NODS. */
function nodesBytes(blocks: readonly SealedBlock[]): number {
  return blocks.reduce((sum, { nodes }) => sum + nodes, 0) * nodeEntryBytes;
}

/** Bytes that the payload of each section has at most, in a file of so many bytes: known before one is read. */
export function mostDigestBytes(fileSize: number): Readonly<Record<string, number>> {
  return {
    [blocksType]: 8 + maxBlocks * blockBytes,
    // A head or entry and a bitmap for each block, and the tail.
    [regionsType]: 8 + (2 * maxBlocks + 1) * regionBytes,
    [nodesType]: (maxBlocks + Math.ceil(fileSize / (nodePages * leastPage))) * nodeEntryBytes,
  };
}

/** Pages share no byte, so all of them together fit into the file; and their bitmaps into what a reader keeps. */
function checkSizes(blocks: readonly SealedBlock[], fileSize: number): void {
  const pages = blocks.reduce((sum, block) => sum + block.pages * block.pageSize, 0);
  if (pages > fileSize) throw bad(blocksType, "more pages than the file has room for");
  const bitmaps = blocks.reduce((sum, block) => sum + bitmapBytes(block.pages), 0);
  if (bitmaps > maxBitmapBytes) throw bad(blocksType, `${bitmaps} bytes of bitmaps`);
}

/** The entries of one block's nodes; a view. */
export function nodesOf({ blocks, nodes }: Pick<Digests, "blocks" | "nodes">, block: number): Uint8Array {
  const before = blocks.slice(0, block).reduce((sum, each) => sum + each.nodes, 0);
  return nodes.subarray(before * nodeEntryBytes, (before + (blocks[block]?.nodes ?? 0)) * nodeEntryBytes);
}

function decodeBlocks(payload: Uint8Array, fileSize: number): SealedBlock[] {
  const { cursor, count } = listOf(blocksType, payload, blockBytes);
  return Array.from({ length: count }, () => {
    const [pages, pageSize] = [cursor.u64(), cursor.u64()];
    const [bitmapOffset, pagesOffset, tableOffset] = [cursor.u64(), cursor.u64(), cursor.u64()];
    const [present, nodes] = [cursor.u64(), cursor.u64()];
    cursor.take(8);
    const root = cursor.take(32).slice();
    const fits = (offset: number, length: number) => isSize(offset + length) && offset + length <= fileSize;
    if (pageSize < 64 || pageSize > 65536 || pageSize % 64 !== 0) throw bad(blocksType, `pages of ${pageSize} bytes`);
    const inside =
      fits(pagesOffset, pages * pageSize) &&
      fits(tableOffset, tableBytes(pages)) &&
      fits(bitmapOffset, bitmapBytes(pages));
    if (!inside) throw bad(blocksType, "a block lies outside the file");
    if (present > pages || nodes > nodeCount(pages)) throw bad(blocksType, "more pages or nodes than a block has");
    return { pages, pageSize, bitmapOffset, pagesOffset, tableOffset, present, nodes, root };
  });
}

function decodeRegions(payload: Uint8Array, blocks: number, fileSize: number): Region[] {
  const { cursor, count } = listOf(regionsType, payload, regionBytes);
  return Array.from({ length: count }, () => {
    const text = latin1(cursor.take(4));
    const kind = kinds.find((known) => known === text);
    if (kind === undefined) throw bad(regionsType, "a kind that is not known");
    const [block, offset, length] = [cursor.u32(), cursor.u64(), cursor.u64()];
    cursor.take(8);
    if (block >= Math.max(1, blocks)) throw bad(regionsType, `block ${block} of ${blocks}`);
    if (offset + length > fileSize) throw bad(regionsType, "a region lies outside the file");
    return { kind, block, offset, length, sha256: cursor.take(32).slice() };
  });
}

function listOf(type: string, payload: Uint8Array, size: number): { cursor: Cursor; count: number } {
  const cursor = new Cursor(payload, { area: "seal" });
  const count = cursor.u32();
  const found = cursor.u32();
  if (found !== size || payload.length !== 8 + count * size) throw bad(type, `${count} entries of ${found} bytes`);
  return { cursor, count };
}

function bad(type: string, found: string): FixedramError {
  return new FixedramError("seal.bad-digests", "the seal's digests are not what the format says", {
    found: `${type}: ${found}`,
    hint: "The file was made by something that does not follow docs/format.md.",
  });
}
