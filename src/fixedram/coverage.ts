import { FixedramError } from "../errors.ts";
import type { Digests } from "./digest-sections.ts";
import { tableBytes } from "./digest-table.ts";
import type { FixedRamFile } from "./reader.ts";
import type { Seal } from "./seal.ts";
import { trailerBytes } from "./trailer.ts";

/** Bytes of a sealed file, by what holds them; together they are the file's size. */
export interface Coverage {
  /** Pages present, by their digests. */
  readonly pages: number;
  /** The stream's other bytes and the bitmaps, by SHA-256. */
  readonly regions: number;
  /** Digests of pages present, by the nodes. */
  readonly tables: number;
  /** Sections, directory, trailer, and the zeros between them. */
  readonly seal: number;
  /** Held by nothing: places of zero pages, gaps, unused digests, what stands before the stream. No reader uses them. */
  readonly uncovered: number;
}

export function coverageOf({ blocks, regions }: Digests, seal: Seal, fileSize: number): Coverage {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const pages = sum(blocks.map(({ present, pageSize }) => present * pageSize));
  const tables = sum(blocks.map(({ present }) => tableBytes(present)));
  const inSeal = sum(
    blocks.map(({ tableOffset, pages: all }) => (tableOffset >= seal.streamEnd ? tableBytes(all) : 0)),
  );
  const covered = { pages, regions: sum(regions.map(({ length }) => length)), tables };
  const own = fileSize - seal.streamEnd - inSeal;
  return { ...covered, seal: own, uncovered: fileSize - own - covered.pages - covered.regions - tables };
}

/**
 * Regions lie apart, so that all of them together are no longer than the file: who reads them reads no byte twice.
 *
 * @throws `seal.bad-digests`
 */
export function checkApart({ regions }: Digests): true {
  if (overlap(regions.map(({ offset, length }) => ({ start: offset, end: offset + length })))) {
    throw differs("regions that overlap");
  }
  return true;
}

interface Place {
  readonly start: number;
  readonly end: number;
}

/**
 * The seal must speak of the stream that is there: the same blocks at the same places, every byte that is no page in a region, and
 * tables that share no byte with anything.
 *
 * @throws `seal.bad-digests`
 */
export function checkCoverage(file: FixedRamFile, digests: Digests, seal: Seal): true {
  const blocks = file.blocks.map(({ block, bitmapOffset, pagesOffset }) => [
    block.pages,
    block.pageSize,
    bitmapOffset,
    pagesOffset,
  ]);
  const sealed = digests.blocks.map(({ pages, pageSize, bitmapOffset, pagesOffset }) => [
    pages,
    pageSize,
    bitmapOffset,
    pagesOffset,
  ]);
  if (JSON.stringify(blocks) !== JSON.stringify(sealed)) throw differs("blocks");
  const bitmaps = file.blocks.map(({ bitmapOffset: start, bitmapLength }) => ({ start, end: start + bitmapLength }));
  const wanted = merged([...file.runs, ...bitmaps]);
  const regions = digests.regions.map(({ offset, length }) => ({ start: offset, end: offset + length }));
  if (JSON.stringify(wanted) !== JSON.stringify(merged(regions))) throw differs("regions");
  checkApart(digests);
  const tables = digests.blocks.map(({ tableOffset: start, pages }) => ({ start, end: start + tableBytes(pages) }));
  const pages = file.blocks.map(({ pagesOffset, end }) => ({ start: pagesOffset, end }));
  const sections = seal.sections.map(({ offset, length }) => ({ start: offset, end: offset + length }));
  const directory = { start: seal.directoryOffset, end: seal.directoryOffset + seal.directoryLength };
  const trailer = { start: file.store.size - trailerBytes, end: file.store.size };
  if (overlap([...wanted, ...tables, ...pages, ...sections, directory, trailer])) {
    throw differs("places that overlap");
  }
  return true;
}

function merged(places: readonly Place[]): Place[] {
  const out: { start: number; end: number }[] = [];
  for (const { start, end } of sorted(places)) {
    const last = out.at(-1);
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else out.push({ start, end });
  }
  return out;
}

function overlap(places: readonly Place[]): boolean {
  let last = 0;
  for (const { start, end } of sorted(places)) {
    if (start < last) return true;
    last = end;
  }
  return false;
}

function sorted(places: readonly Place[]): Place[] {
  return places.filter(({ start, end }) => end > start).sort((a, b) => a.start - b.start);
}

function differs(found: string): FixedramError {
  return new FixedramError("seal.bad-digests", "the seal's digests are for another stream than the one before them", {
    found,
  });
}
