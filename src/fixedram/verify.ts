import type { PageBitmap } from "../bytes/bitmap.ts";
import { sameBytes } from "../bytes/numbers.ts";
import type { PageHasher } from "../bytes/page-digest.ts";
import { printable } from "../bytes/text.ts";
import { isZero } from "../bytes/zero.ts";
import { FixedramError } from "../errors.ts";
import type { Store } from "../pages/store.ts";
import { type Coverage, checkApart, checkCoverage, coverageOf } from "./coverage.ts";
import { type Digests, nodesOf, type Region, type SealedBlock } from "./digest-sections.ts";
import { tableBytes } from "./digest-table.ts";
import { expectedNodes } from "./nodes.ts";
import { Problems } from "./problems.ts";
import { type FixedRamFile, openFixedRam } from "./reader.ts";
import { digestOfRegion, nameOfRegion } from "./regions.ts";
import { readDigests, type Seal, type SealState, sealGaps } from "./seal.ts";
import { sealAlignment } from "./trailer.ts";
import { type CheckedBlock, NodeCheck, nodesAlone, rootMatches } from "./verify-node.ts";
import { type PagesOptions, PageVerifier, readSealedBitmap } from "./verify-pages.ts";

/** Bytes of bitmaps that the quick check reads: those of 1 TiB of RAM. */
const quickBitmaps = 32 * 2 ** 20;

export interface VerifyOptions {
  /** Read every page too. */
  readonly deep?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Looks through a block's nodes beforehand, faster than they are checked here one by one. */
  readonly screen?: NodeScreen | undefined;
  /** Makes the pages' digests, instead of a new one; its region is used ({@link piecesRegion} bytes). */
  readonly hasher?: PageHasher | undefined;
  /** Bytes of pages read so far and to be read, of the deep check. */
  readonly onBytes?: ((bytes: number, total: number) => void) | undefined;
}

/** A sealed block whose digests match their root. */
export interface ScreenedBlock {
  readonly sealed: SealedBlock;
  /** As it stands in the file, whatever the order of its words there. */
  readonly bitmap: PageBitmap;
  /** 32 bytes for each node of the block: its SHA-256, or zeros where the seal has none. */
  readonly expected: Uint8Array;
}

/**
 * The nodes, in rising order, in which a page, a bit or a digest in the table is not as it was sealed; null: do it without me.
 *
 * @param onBytes bytes of pages read since the last call
 */
export type NodeScreen = (block: ScreenedBlock, onBytes: (bytes: number) => void) => Promise<readonly number[] | null>;

export interface SealCheck {
  readonly state: SealState["state"];
  readonly problems: Problems;
  /** What the digests cover; null when there are none that can be relied on. */
  readonly coverage: Coverage | null;
  /** Sentences: what was not checked, and why. */
  readonly unchecked: readonly string[];
}

/**
 * Compares a sealed mapped-ram file with its seal (docs/format.md, "What a verifier does"). Damage is told in the result, not thrown.
 *
 * Quick: the seal, every byte of the stream that is no page, and bitmaps up to 32 MiB in all. Deep: all bitmaps, pages and tables.
 *
 * @param seal whose trailer, directory and META have been checked
 * @throws `system.*`, `file.truncated` when the file changes meanwhile, the signal's reason
 */
export async function checkSealed(store: Store, seal: Seal, options: VerifyOptions = {}): Promise<SealCheck> {
  const problems = new Problems();
  const unchecked: string[] = [];
  const digests = await attempt(problems, () => readDigests(store, seal));
  if (digests === null) {
    if (problems.count === 0) unchecked.push("The seal holds no digests: pages and device state were not checked.");
    const opened = await attempt(problems, () => openFixedRam(store, openOptions(seal, options)));
    const state = opened?.seal.state === "stale" ? "stale" : stateOf(problems);
    return { state, problems, coverage: null, unchecked };
  }
  await checkGaps(store, seal, digests, problems);
  if ((await attempt(problems, async () => checkApart(digests))) === null) {
    unchecked.push("Nothing but the seal was read.");
    return { state: "damaged", problems, coverage: null, unchecked };
  }
  const damaged = await checkRegions(store, digests, options, problems, unchecked);
  // A structure that cannot be read is news only where the stream's own bytes are as they were.
  const structure = new Problems();
  const opened = await attempt(structure, () => openFixedRam(store, openOptions(seal, options)));
  if (opened?.seal.state === "stale") {
    const { reason } = opened.seal;
    problems.add({ code: "seal.stale", message: reason.message });
    return { state: "stale", problems, coverage: null, unchecked };
  }
  if (damaged.size === 0) for (const problem of structure.list) problems.add(problem);
  const agrees =
    opened === null || (await attempt(problems, async () => checkCoverage(opened, digests, seal))) !== null;
  if (options.deep === true && agrees) await checkPages(store, digests, opened, options, problems);
  else unchecked.push(agrees ? "Pages were not read: --deep reads them." : "Pages were not read.");
  const coverage = agrees ? coverageOf(digests, seal, store.size) : null;
  return { state: stateOf(problems), problems, coverage, unchecked };
}

function stateOf(problems: Problems): "sealed" | "damaged" {
  return problems.count === 0 ? "sealed" : "damaged";
}

function openOptions(seal: Seal, { signal }: VerifyOptions) {
  return { base: seal.streamBase, allowEmpty: true, ...(signal === undefined ? {} : { signal }) };
}

/** What the work gives, or null and a problem where the file's bytes are to blame. */
async function attempt<T>(problems: Problems, work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof FixedramError) || !/^(seal|file|stream)\./.test(error.code)) throw error;
    if (error.code === "seal.unknown-version" || error.code === "seal.unknown-critical") throw error;
    const { offset, block, page, found } = error.details;
    problems.add({
      code: error.code,
      message: found === undefined ? error.message : `${error.message} (${found})`,
      ...(offset === undefined ? {} : { offset }),
      ...(block === undefined ? {} : { block }),
      ...(page === undefined ? {} : { page }),
    });
    return null;
  }
}

/** Bytes between the seal's sections mean nothing, so they are zero, and fewer than a page. */
async function checkGaps(store: Store, seal: Seal, { blocks }: Digests, problems: Problems): Promise<void> {
  const tables = blocks
    .filter(({ tableOffset }) => tableOffset >= seal.streamEnd)
    .map(({ tableOffset, pages }) => ({ offset: tableOffset, length: tableBytes(pages) }));
  const buffer = new Uint8Array(sealAlignment);
  for (const { offset, length } of sealGaps(seal, store.size, tables)) {
    const bytes = buffer.subarray(0, length);
    await store.read(bytes, offset);
    if (length < buffer.length && isZero(bytes)) continue;
    const message = "bytes between the seal's sections are not zero";
    problems.add({ code: "seal.damaged-padding", message, offset, length });
  }
}

/** Returns the regions that are not as they were sealed. */
async function checkRegions(
  store: Store,
  { regions }: Digests,
  { deep, signal }: VerifyOptions,
  problems: Problems,
  unchecked: string[],
): Promise<ReadonlySet<Region>> {
  const damaged = new Set<Region>();
  let bitmaps = 0;
  let passed = 0;
  for (const region of regions) {
    if (region.kind === "BMAP") {
      bitmaps += region.length;
      if (deep !== true && bitmaps > quickBitmaps) {
        passed++;
        continue;
      }
    }
    if (sameBytes(await digestOfRegion(store, region.offset, region.length, signal), region.sha256)) continue;
    damaged.add(region);
    const { offset, length } = region;
    problems.add({
      code: "seal.damaged-region",
      message: `${nameOfRegion(region)} is not as it was sealed`,
      offset,
      length,
    });
  }
  if (passed > 0) unchecked.push(`${passed} bitmaps were not read: the quick check reads 32 MiB of them.`);
  return damaged;
}

async function checkPages(
  store: Store,
  digests: Digests,
  opened: FixedRamFile | null,
  { signal, onBytes, screen, hasher }: VerifyOptions,
  problems: Problems,
): Promise<void> {
  const total = digests.blocks.reduce((sum, { present, pageSize }) => sum + present * pageSize, 0);
  let done = 0;
  const read = (bytes: number) => {
    done += bytes;
    onBytes?.(done, Math.max(done, total));
  };
  for (const [index, sealed] of digests.blocks.entries()) {
    const name = opened?.blocks[index]?.block.name ?? `number ${index}`;
    const entries = nodesOf(digests, index);
    if (!rootMatches(sealed, entries)) {
      const message = `the digests of RAM block ${printable(name)} do not match its root, or are out of order`;
      problems.add({ code: "seal.bad-digests", message, block: name });
      continue;
    }
    const bitmap = await readSealedBitmap(store, sealed, digests.bigEndian);
    const expected = screen === undefined ? null : expectedNodes(entries, sealed.pages);
    const suspects = expected === null ? null : await screen?.({ sealed, bitmap, expected }, read);
    const block = { name, sealed, bitmap, bigEndian: digests.bigEndian, entries };
    if (suspects === null || suspects === undefined)
      await checkNodes(store, block, problems, { signal, hasher, onBytes: read });
    else await checkNodes(store, nodesAlone(block, suspects), problems, { signal, hasher });
  }
}

/** Compares a block's nodes with the seal and tells what is damaged. */
async function checkNodes(store: Store, block: CheckedBlock, problems: Problems, options: PagesOptions): Promise<void> {
  if (block.entries.length === 0 && block.bitmap.nextSet(0) === block.bitmap.pages) return;
  const verifier = new PageVerifier(store, options);
  const check = new NodeCheck(block, problems, (page) => verifier.digest(block.sealed, page));
  await verifier.block(block.sealed, block.bitmap, check);
}

/**
 * Tells what is damaged in some nodes of a block whose headers and digests are as they were sealed.
 *
 * @param index of the block
 * @param name of it, for the problems
 * @throws `system.*`, `file.truncated`
 */
export async function diagnoseNodes(
  store: Store,
  digests: Digests,
  index: number,
  name: string,
  nodes: readonly number[],
): Promise<Problems> {
  const problems = new Problems();
  const sealed = digests.blocks[index];
  if (sealed === undefined) throw new RangeError(`no block ${index}`);
  const { bigEndian } = digests;
  const bitmap = await readSealedBitmap(store, sealed, bigEndian);
  const block = { name, sealed, bitmap, bigEndian, entries: nodesOf(digests, index) };
  await checkNodes(store, nodesAlone(block, nodes), problems, {});
  return problems;
}
