import type { Container, Snapshot } from "../containers/snapshot.ts";
import type { BlockPair } from "../diff/plan.ts";
import { dataBytes } from "../pages/count.ts";
import { refuseSame } from "../storage/same-file.ts";
import { type ConfigurationDifference, diffConfiguration } from "./diff/configuration.ts";
import { type DeviceTotals, diffDevices } from "./diff/devices.ts";
import { type HexPage, hexPage } from "./diff/hex.ts";
import { PageListFile } from "./diff/list.ts";
import { diffPages, type PageDifference } from "./diff/pages.ts";
import { type BlockDiff, BlockTally, type PageCounts } from "./diff/tally.ts";
import { trustSeals } from "./diff/trust.ts";
import { type LookOptions, openOptions } from "./inspect.ts";
import { openSnapshot } from "./open.ts";
import type { Notice } from "./progress.ts";
import { Reporter } from "./reporter.ts";

export interface DiffOptions extends Omit<LookOptions, "offset"> {
  /** Paths of the two snapshots; A is the older one in the words used: `added` is in B and not in A. */
  readonly a: string;
  readonly b: string;
  /** Take pages for equal whose digests agree in both seals, without reading them. */
  readonly trustSeals?: boolean;
  /** How many of the first pages that differ to show byte by byte. */
  readonly hex?: number;
  /** File to write every run of pages that differ to, a line each. */
  readonly pagesOut?: string;
  /** Stretches of a block to draw at most. Default 160. */
  readonly cells?: number;
}

export interface DiffResult {
  readonly a: DiffSide;
  readonly b: DiffSide;
  /** Nothing differs, and every page of both could be compared. */
  readonly same: boolean;
  readonly configuration: readonly ConfigurationDifference[];
  readonly blocks: readonly BlockDiff[];
  readonly devices: DeviceTotals;
  readonly pages: PageCounts & {
    /** All pages of the longer blocks. */
    readonly total: number;
    /** Runs of pages that differ. */
    readonly extents: number;
    /** Pages taken for equal because their digests agree; 0 unless `trustSeals`. */
    readonly trusted: number;
  };
  readonly hex: readonly HexPage[];
  readonly pagesOut: string | null;
  readonly notices: readonly Notice[];
  /** Milliseconds. */
  readonly time: number;
}

export interface DiffSide {
  readonly path: string;
  readonly container: Container;
  readonly machine: string;
  /** The snapshot's id; null without a seal that can be relied on. */
  readonly id: string | null;
}

/**
 * Compares two snapshots, whatever they are kept in: the machine, the RAM blocks, the devices, and every byte of every page.
 *
 * @throws FixedramError `usage.same-file`, `file.*`, `stream.*`, `seal.*`, `system.*`, each with the path; the signal's reason
 */
export async function diff(options: DiffOptions): Promise<DiffResult> {
  const state = { bytes: 0, total: 0, round: 0 };
  const reporter = new Reporter(options, () => state);
  reporter.enter("preflight");
  const more = openOptions(options);
  if (options.pagesOut !== undefined) for (const input of [options.a, options.b]) refuseSame(input, options.pagesOut);
  const a = await openSnapshot(options.a, more);
  try {
    const b = await openSnapshot(options.b, more);
    try {
      return await new DiffRun(a, b, options, reporter, state).go();
    } finally {
      await b.close();
    }
  } finally {
    await a.close();
  }
}

class DiffRun {
  readonly #a: Snapshot;
  readonly #b: Snapshot;
  readonly #options: DiffOptions;
  readonly #reporter: Reporter;
  readonly #state: { bytes: number; total: number };
  readonly #tallies: BlockTally[] = [];
  readonly #hex: HexPage[] = [];
  #trusted = 0;

  constructor(
    a: Snapshot,
    b: Snapshot,
    options: DiffOptions,
    reporter: Reporter,
    state: { bytes: number; total: number },
  ) {
    this.#a = a;
    this.#b = b;
    this.#options = options;
    this.#reporter = reporter;
    this.#state = state;
  }

  async go(): Promise<DiffResult> {
    const [a, b] = [this.#a, this.#b];
    const configuration = diffConfiguration(a, b);
    const devices = diffDevices(a, b);
    await this.#comparePages();
    const blocks: BlockDiff[] = [];
    for (const tally of this.#tallies) blocks.push(await tally.finish(a.map, b.map, this.#options.signal));
    const pages = this.#totals(blocks);
    if (pages.unknown > 0) {
      const text = `${pages.unknown} pages are not in both files and could not be compared`;
      this.#reporter.note("warning", "pages-unknown", text);
    }
    const different = pages.changed + pages.added + pages.gone + pages.unknown;
    const likeBlocks = blocks.every((block) => block.a?.length === block.b?.length);
    return {
      a: sideOf(a),
      b: sideOf(b),
      same: different === 0 && likeBlocks && configuration.length === 0 && devices.different.length === 0,
      configuration,
      blocks,
      devices,
      pages,
      hex: this.#hex,
      pagesOut: this.#options.pagesOut ?? null,
      notices: this.#reporter.notices,
      time: this.#reporter.elapsed,
    };
  }

  async #comparePages(): Promise<void> {
    const { pagesOut } = this.#options;
    const list = pagesOut === undefined ? null : new PageListFile(pagesOut);
    try {
      for await (const difference of await this.#differences()) {
        list?.add(difference);
        const tally = this.#tallies.at(-1);
        if (tally === undefined) continue;
        tally.add(difference);
        await this.#show(tally.pair, difference);
      }
      await list?.commit();
    } catch (error) {
      await list?.abort();
      throw error;
    }
  }

  async #differences(): Promise<AsyncIterable<PageDifference>> {
    const { signal, cells = 160 } = this.#options;
    const [a, b] = [this.#a.map, this.#b.map];
    this.#state.total = Math.max(await dataBytes(a, signal), await dataBytes(b, signal));
    this.#reporter.enter("compare");
    const trust = await this.#trust();
    let trustedBefore = 0;
    return diffPages(a, b, {
      ...(signal === undefined ? {} : { signal }),
      ...(trust === null ? {} : { trust }),
      onBlock: (pair) => {
        this.#tallies.push(new BlockTally(pair, cells));
        trustedBefore = this.#trusted;
      },
      onPages: (bytes, trusted) => {
        this.#state.bytes += bytes;
        this.#trusted = trustedBefore + trusted;
        this.#reporter.report();
      },
    });
  }

  async #trust() {
    if (this.#options.trustSeals !== true) return null;
    const trust = await trustSeals(this.#a, this.#b);
    if (trust === null) {
      const text = "not both files have a seal with digests of their pages: every page is compared";
      this.#reporter.note("warning", "no-seals", text);
    }
    return trust;
  }

  async #show(pair: BlockPair, difference: PageDifference): Promise<void> {
    const { hex = 0, signal } = this.#options;
    if (difference.kind === "unknown") return;
    for (let k = 0; k < difference.pages && this.#hex.length < hex; k++) {
      this.#hex.push(await hexPage(this.#a.map, this.#b.map, pair, difference, difference.first + k, signal));
    }
  }

  #totals(blocks: readonly BlockDiff[]): DiffResult["pages"] {
    const sum = (of: (block: BlockDiff) => number) => blocks.reduce((total, block) => total + of(block), 0);
    return {
      total: sum(({ a, b }) => Math.max(a?.pages ?? 0, b?.pages ?? 0)),
      changed: sum(({ pages }) => pages.changed),
      added: sum(({ pages }) => pages.added),
      gone: sum(({ pages }) => pages.gone),
      unknown: sum(({ pages }) => pages.unknown),
      extents: sum(({ extents }) => extents),
      trusted: this.#trusted,
    };
  }
}

function sideOf({ name, container, configuration, seal }: Snapshot): DiffSide {
  return { path: name, container, machine: configuration.machine, id: seal.seal?.id ?? null };
}
