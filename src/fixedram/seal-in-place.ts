import type { PageBitmap } from "../bytes/bitmap.ts";
import { alignUp } from "../bytes/numbers.ts";
import { PageHasher } from "../bytes/page-digest.ts";
import { isZero } from "../bytes/zero.ts";
import { FixedramError } from "../errors.ts";
import type { Store } from "../pages/store.ts";
import type { DigestedBlock } from "./digest-keeper.ts";
import { encodeDigests } from "./digest-sections.ts";
import { tableBytes } from "./digest-table.ts";
import type { SnapshotMeta } from "./meta.ts";
import { countNodes, nodeEntryBytes } from "./nodes.ts";
import { PageDigests } from "./page-digests.ts";
import { PagePieces, piecesRegion } from "./page-pieces.ts";
import type { FixedRamFile } from "./reader.ts";
import { regionsOf } from "./regions.ts";
import { type EncodedSeal, encodeSeal } from "./seal.ts";
import { sealAlignment } from "./trailer.ts";

/** A file whose end can be written; InPlaceFile of storage is one. */
export interface SealableFile extends Store {
  write(bytes: Uint8Array, position: number): void;
  readBack(target: Uint8Array, position: number): number;
  truncate(size: number): void;
  sync(): Promise<void>;
}

/**
 * Has others, threads say, write the digests of all pages present of a block to its table; false: they are to be made here, and
 * nothing was written.
 *
 * @param onBytes bytes of pages done since the last call
 */
export type BlockDigester = (
  block: DigestedBlock,
  bitmap: PageBitmap,
  onBytes: (bytes: number) => void,
) => Promise<boolean>;

export interface SealInPlaceOptions {
  readonly signal?: AbortSignal | undefined;
  readonly digester?: BlockDigester | undefined;
  /** False: the file has no name yet that anybody would trust; bringing it to disk is left to the caller. Default true. */
  readonly sync?: boolean | undefined;
  /** Bytes of pages done, and in all. */
  readonly onBytes?: ((bytes: number, total: number) => void) | undefined;
}

/**
 * Appends a seal to a mapped-ram file that has none; no byte of the stream moves or changes. All but the trailer is on disk before the
 * trailer is written, so a crash leaves a file without a seal or with half of one (docs/format.md, "Write ordering"). After a failure
 * the file has its former length again, if the system lets us.
 *
 * @param opened the file as openFixedRam read it
 * @returns the snapshot's id
 * @throws `seal.already`, `seal.in-the-way`, `seal.trailing-bytes`; `system.*`; the signal's reason
 */
export async function sealInPlace(
  file: SealableFile,
  opened: FixedRamFile,
  meta: SnapshotMeta,
  options: SealInPlaceOptions = {},
): Promise<string> {
  refuseSealed(opened);
  const { size } = file;
  await refuseTrailing(file, opened.streamEnd, size);
  try {
    const seal = await writeSections(file, opened, meta, options);
    options.signal?.throwIfAborted();
    if (options.sync !== false) await file.sync();
    file.write(seal.trailer, seal.trailerOffset);
    if (options.sync !== false) await file.sync();
    return seal.id;
  } catch (error) {
    try {
      file.truncate(size);
    } catch {
      // What stays is half a seal, which says so.
    }
    throw error;
  }
}

function refuseSealed({ seal, store }: FixedRamFile): void {
  if (seal.state === "none") return;
  if (seal.state === "sealed") {
    throw new FixedramError("seal.already", "the file is sealed already", {
      path: store.name,
      found: `snapshot ${seal.seal.uuid}`,
      hint: "fixedram verify compares it with its seal.",
    });
  }
  throw new FixedramError("seal.in-the-way", "the file has a seal that cannot be relied on", {
    path: store.name,
    found: seal.reason.message,
    hint: "fixedram repair takes half a seal away; look at fixedram verify before.",
  });
}

/** Bytes behind the stream that are not ours would be taken for part of the seal, or overwritten. */
async function refuseTrailing(file: Store, streamEnd: number, size: number): Promise<void> {
  const buffer = new Uint8Array(sealAlignment);
  const bytes = buffer.subarray(0, Math.min(buffer.length, size - streamEnd));
  await file.read(bytes, streamEnd);
  if (size <= alignUp(streamEnd, sealAlignment) && isZero(bytes)) return;
  throw new FixedramError("seal.trailing-bytes", "the file goes on behind the end of its stream", {
    path: file.name,
    offset: streamEnd,
    found: `${size - streamEnd} bytes that are not known`,
    hint: "They may belong to something else. If they are of no use, cut the file there.",
  });
}

async function writeSections(
  file: SealableFile,
  opened: FixedRamFile,
  meta: SnapshotMeta,
  options: SealInPlaceOptions,
): Promise<EncodedSeal> {
  const { streamBase, streamEnd, bitmaps, bigEndian } = opened;
  const regions = await regionsOf(opened, options.signal);
  const tables = opened.blocks.reduce((end, { block }) => alignUp(end, sealAlignment) + tableBytes(block.pages), 0);
  // The sections' lengths are known before their content, and so are the tables' places.
  const nodes = bitmaps.reduce((sum, bitmap) => sum + countNodes(bitmap), 0) * nodeEntryBytes;
  const empty = { pages: 0, pageSize: 0, bitmapOffset: 0, pagesOffset: 0, tableOffset: 0, present: 0, nodes: 0 };
  const blank = opened.blocks.map(() => ({ ...empty, root: new Uint8Array(32) }));
  const planned = encodeDigests({ blocks: blank, regions, nodes: new Uint8Array(nodes), bigEndian });
  const plan = encodeSeal(streamBase, streamEnd, meta, planned, tables);
  let tableOffset = plan.tablesOffset;
  const blocks = opened.blocks.map(({ block, bitmapOffset, pagesOffset }): DigestedBlock => {
    const placed = { block, bitmapOffset, pagesOffset, tableOffset };
    tableOffset += alignUp(tableBytes(block.pages), sealAlignment);
    return placed;
  });
  // META, the first section, marks what is being made: half a seal.
  for (const { bytes, position } of plan.pieces.slice(0, 2)) file.write(bytes, position);
  const digests = await digestPages(file, opened, blocks, options);
  const sections = encodeDigests({ ...digests.finish(bitmaps, regions), bigEndian });
  const seal = encodeSeal(streamBase, streamEnd, meta, sections, tables);
  if (seal.tablesOffset !== plan.tablesOffset) throw new Error("the seal's sections changed their length");
  for (const { bytes, position } of seal.pieces) file.write(bytes, position);
  return seal;
}

async function digestPages(
  file: SealableFile,
  { bitmaps }: FixedRamFile,
  blocks: readonly DigestedBlock[],
  { signal, digester, onBytes }: SealInPlaceOptions,
): Promise<PageDigests> {
  const hasher = new PageHasher(piecesRegion);
  const digests = new PageDigests(hasher, file, blocks);
  const pieces = new PagePieces(file, hasher, signal);
  const bytesOf = ({ block }: DigestedBlock) => (bitmaps[block.index]?.count() ?? 0) * block.pageSize;
  const total = blocks.reduce((sum, block) => sum + bytesOf(block), 0);
  let done = 0;
  const more = (bytes: number) => {
    done += bytes;
    onBytes?.(done, total);
  };
  for (const place of blocks) {
    const { block, pagesOffset } = place;
    const { pageSize } = block;
    const bitmap = bitmaps[block.index];
    if (bitmap === undefined) continue;
    if (digester !== undefined && (await digester(place, bitmap, more))) {
      digests.adopt(block, 0, block.pages, bitmap);
      continue;
    }
    await pieces.each({ pagesOffset, pageSize }, bitmap, (first, count, at) => {
      digests.pages(block, first, count, hasher.region, at, pageSize);
      more(count * pageSize);
    });
  }
  return digests;
}
