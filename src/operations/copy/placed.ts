import { PageBitmap } from "../../bytes/bitmap.ts";
import { printable } from "../../bytes/text.ts";
import type { Snapshot } from "../../containers/snapshot.ts";
import { FixedramError } from "../../errors.ts";
import { type Digests, nodesOf } from "../../fixedram/digest-sections.ts";
import { nodePages } from "../../fixedram/digest-table.ts";
import { expectedNodes } from "../../fixedram/nodes.ts";
import { diagnoseNodes } from "../../fixedram/verify.ts";
import type { BlockPlace } from "../../fixedram/writer.ts";
import type { RamBlock } from "../../pages/block.ts";
import { absentPage } from "../../pages/copy.ts";
import { ExtentKind, ExtentList } from "../../pages/extents.ts";
import type { PageMap } from "../../pages/map.ts";
import type { Store } from "../../pages/store.ts";
import { FileStore } from "../../storage/file-store.ts";
import { ScratchFile } from "../../storage/scratch-file.ts";
import type { SharedFile } from "../../workers/page-reader.ts";
import { WorkerPool } from "../../workers/pool.ts";
import {
  type CopyJob,
  type CopyMemory,
  type CopyResult,
  copySteps,
  runFields,
} from "../../workers/tasks/copy-pages.ts";
import { eachJob, jobNodes, worthThreads } from "../parallel.ts";

/** A writer of pages at fixed places whose file other threads can write to. */
export interface PlacedWriter {
  /** Null: only the writer itself can write. */
  placeOf(block: RamBlock): BlockPlace | null;
  /** Whole nodes of a block have been written; those that are not in `content` are zero. */
  adopt(block: RamBlock, firstPage: number, content: PageBitmap): void;
}

export interface ParallelCopy {
  /** What the snapshot's pages were sealed with; null: nothing to compare them with. */
  readonly digests: Digests | null;
  /** Bytes of pages to be copied. */
  readonly total: number;
  /** Bytes of pages done so far. */
  readonly onPages: (bytes: number) => void;
  /** Threads that may have been started beforehand; closed by whoever made them. Default: new ones. */
  readonly pool?: WorkerPool | null;
  readonly signal?: AbortSignal;
}

/**
 * Threads for what will be copied, starting while the input is looked at; null where they would not pay.
 *
 * @param bytes that the input takes
 * @param files into one file, which one thread writes, or into several, which each copies to by itself
 */
export function startCopying(bytes: number, files: "one" | "several"): WorkerPool | null {
  if (bytes < worthThreads) return null;
  const pool = files === "one" ? new WorkerPool({ size: 1 }) : new WorkerPool();
  pool.warmUp(files === "one" ? "write-behind" : "copy-pages");
  return pool;
}

const jobPages = jobNodes * nodePages;

/**
 * Copies every page of a snapshot to its place, with threads, each page once. A page that is not as it was sealed ends it.
 *
 * @returns false, and nothing was done, where threads do not pay or cannot reach the files
 * @throws `seal.damaged-*` with block and page; `file.ignore-shared`, `file.truncated`, `system.*`; the signal's reason
 */
export async function copyInParallel(
  snapshot: Snapshot,
  writer: PlacedWriter,
  options: ParallelCopy,
): Promise<boolean> {
  const { digests, total, signal } = options;
  const jobs = total < worthThreads ? null : jobsFor(snapshot, writer, digests);
  if (jobs === null) return false;
  const pool = options.pool ?? new WorkerPool();
  await using _ = options.pool === null || options.pool === undefined ? pool : null;
  const take = taker(writer, options.onPages);
  await named(snapshot, digests, () => eachJob(pool, "copy-pages", jobs, take, signal));
  return true;
}

/**
 * The same into one file, by this thread alone, while another writes what it has ready.
 *
 * @returns false, and nothing was done, where the files cannot be read by their descriptors
 * @throws as {@link copyInParallel}
 */
export async function copyBehind(
  snapshot: Snapshot,
  writer: PlacedWriter,
  memory: CopyMemory,
  { digests, onPages, signal }: Pick<ParallelCopy, "digests" | "onPages" | "signal">,
): Promise<boolean> {
  const jobs = jobsFor(snapshot, writer, digests);
  if (jobs === null) return false;
  const take = taker(writer, onPages);
  await named(snapshot, digests, async () => {
    for (const { input, more } of jobs) {
      // Signals and timers get their turn.
      await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
      const steps = copySteps(input, memory);
      let step = steps.next();
      for (; step.done !== true; step = steps.next()) {
        // The disk is behind: a signal is not kept waiting for it.
        await new Promise((resolve) => setImmediate(resolve));
        signal?.throwIfAborted();
      }
      take(step.value, more);
    }
  });
  return true;
}

/** Null: some store or target cannot be used by its descriptor. */
function jobsFor({ map }: Snapshot, writer: PlacedWriter, digests: Digests | null): Generator<Planned> | null {
  const sources = map.stores.map(sharedStore).filter((each) => each !== null);
  const places = map.blocks.map((block) => writer.placeOf(block));
  if (sources.length < map.stores.length || places.includes(null)) return null;
  return jobsOf(map, sources, places, digests);
}

function taker(writer: PlacedWriter, onPages: (bytes: number) => void) {
  let bytes = 0;
  return ({ content, damaged }: CopyResult, { block, firstPage }: Planned["more"]): void => {
    if (damaged >= 0) throw new DamagedNode(block, firstPage / nodePages + damaged);
    const bitmap = new PageBitmap(Math.min(jobPages, block.pages - firstPage), content);
    writer.adopt(block, firstPage, bitmap);
    bytes += bitmap.count() * block.pageSize;
    onPages(bytes);
  };
}

/** Does `what`; damage that it finds is looked at and thrown by its name. */
async function named(snapshot: Snapshot, digests: Digests | null, what: () => Promise<void>): Promise<void> {
  try {
    await what();
  } catch (error) {
    throw error instanceof DamagedNode ? await damageOf(snapshot, digests, error) : error;
  }
}

/** Which node was found damaged, until it is known what in it. */
class DamagedNode extends Error {
  readonly block: RamBlock;
  readonly node: number;

  constructor(block: RamBlock, node: number) {
    super("a node is damaged");
    this.block = block;
    this.node = node;
  }
}

async function damageOf(
  { map, name }: Snapshot,
  digests: Digests | null,
  { block, node }: DamagedNode,
): Promise<FixedramError> {
  const [store] = map.stores;
  const problems =
    store === undefined || digests === null
      ? null
      : await diagnoseNodes(store, digests, block.index, block.name, [node]);
  const [problem] = problems?.list ?? [];
  return new FixedramError(
    problem?.code ?? "seal.damaged-node",
    problem?.message ?? "pages are not as they were sealed, or the file is being changed",
    {
      path: name,
      block: block.name,
      page: problem?.page ?? node * nodePages,
      ...(problem?.offset === undefined ? {} : { offset: problem.offset }),
      hint: "Nothing was written. fixedram verify --deep tells all that is damaged; --force takes it as it is.",
    },
  );
}

function sharedStore(store: Store): SharedFile | null {
  return store instanceof FileStore || store instanceof ScratchFile ? { fd: store.fd, name: store.name } : null;
}

interface Planned {
  readonly input: CopyJob;
  readonly more: { readonly block: RamBlock; readonly firstPage: number };
}

function* jobsOf(
  map: PageMap,
  sources: readonly SharedFile[],
  places: readonly (BlockPlace | null)[],
  digests: Digests | null,
): Generator<Planned> {
  const runs = new RunList(map);
  for (const block of map.blocks) {
    const place = places[block.index];
    if (place === null || place === undefined) throw new RangeError(`no place for block ${block.index}`);
    const expected = digests === null ? null : sealedNodes(digests, block);
    for (let firstPage = 0; firstPage < block.pages; firstPage += jobPages) {
      const pages = Math.min(jobPages, block.pages - firstPage);
      const found = runs.of(block, firstPage, pages);
      const sealed = expected?.slice((firstPage / nodePages) * 32, (firstPage / nodePages + jobNodes) * 32) ?? null;
      const idle = found.length === 0 && !place.zerosPresent && (sealed?.every((byte) => byte === 0) ?? true);
      if (idle) continue;
      yield {
        input: {
          sources,
          target: place.file,
          pageSize: block.pageSize,
          pages,
          runs: found,
          pagesOffset: place.pagesOffset + firstPage * block.pageSize,
          tableOffset: place.tableOffset === null ? null : place.tableOffset + firstPage * 8,
          zerosPresent: place.zerosPresent,
          expected: sealed,
        },
        more: { block, firstPage },
      };
    }
  }
}

/** @throws `seal.bad-digests` */
function sealedNodes(digests: Digests, { index, pages, name }: RamBlock): Uint8Array {
  const expected = expectedNodes(nodesOf(digests, index), pages);
  if (expected !== null) return expected;
  throw new FixedramError("seal.bad-digests", `the digests of RAM block ${printable(name)} are not in order`, {
    block: name,
  });
}

/** Runs of data pages, as a copy job wants them. */
class RunList {
  readonly #map: PageMap;
  readonly #list = new ExtentList();
  #numbers = new Float64Array(64 * runFields);
  #length = 0;

  constructor(map: PageMap) {
    this.#map = map;
  }

  /** @throws `file.ignore-shared` */
  of(block: RamBlock, firstPage: number, pages: number): Float64Array {
    const list = this.#list;
    this.#length = 0;
    for (let done = 0; done < pages; ) {
      list.clear();
      done += this.#map.extents(block.index, firstPage + done, pages - done, list);
      for (let i = 0; i < list.length; i++) {
        const first = list.first[i] ?? 0;
        if (list.kind[i] === ExtentKind.absent) throw absentPage(block, first);
        if (list.kind[i] !== ExtentKind.data) continue;
        this.#add(first - firstPage, list.pages[i] ?? 0, list.store[i] ?? 0, list.offset[i] ?? 0, block.pageSize);
      }
    }
    return this.#numbers.slice(0, this.#length);
  }

  /** Pages of a stream are extents of one page, each as far from the one before: they become one run. */
  #add(first: number, count: number, store: number, offset: number, pageSize: number): void {
    const numbers = this.#numbers;
    const at = this.#length - runFields;
    if (at >= 0 && count === 1 && numbers[at + 2] === store) {
      const start = numbers[at] ?? 0;
      const held = numbers[at + 1] ?? 0;
      const from = numbers[at + 3] ?? 0;
      const apart = held === 1 ? offset - from : (numbers[at + 4] ?? 0);
      const near = apart >= pageSize && apart <= pageSize + maxBetween;
      if (start + held === first && near && offset === from + held * apart) {
        numbers[at + 1] = held + 1;
        numbers[at + 4] = apart;
        return;
      }
    }
    if (this.#length + runFields > numbers.length) {
      this.#numbers = new Float64Array(numbers.length * 2);
      this.#numbers.set(numbers);
    }
    this.#numbers.set([first, count, store, offset, pageSize], this.#length);
    this.#length += runFields;
  }
}

/** Bytes between two pages of a stream that are read rather than left out: a record's header and name. */
const maxBetween = 512;
