import * as v from "valibot";
import { FixedramError } from "../errors.ts";
import type { RamBlock } from "../pages/block.ts";
import { type PostcopyBlock, SentPages } from "./blocks.ts";

/** A run of pages of one block: [block, first page, pages]. */
export type PageRun = readonly [block: number, first: number, pages: number];

/**
 * The pages that a guest touched first when it was resumed, in that order, as runs. It belongs to one snapshot, by its id: pages of
 * another one are other pages.
 */
export interface WorkingSet {
  /** The snapshot's id, or what stands for it (docs/protocol.md, "Working sets"). */
  readonly snapshot: string;
  /** Resumes that it was made from. */
  readonly resumes: number;
  /** Blocks by name and pages, so that a run means the same pages. */
  readonly blocks: readonly { readonly name: string; readonly pages: number }[];
  readonly runs: readonly PageRun[];
}

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const schema = v.object({
  schema: v.literal("fixedram/working-set/1"),
  snapshot: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  resumes: count,
  blocks: v.pipe(v.array(v.object({ name: v.pipe(v.string(), v.maxLength(255)), pages: count })), v.maxLength(4096)),
  runs: v.array(v.tuple([count, count, count])),
});

/** Runs that are kept: what a guest touches in its first seconds has far fewer. */
export const maxRuns = 2 ** 18;
/** Bytes of a file with a working set; it is refused above. */
export const maxWorkingSetBytes = 32 * 2 ** 20;

export function encodeWorkingSet({ snapshot, resumes, blocks, runs }: WorkingSet): string {
  const head = JSON.stringify({ schema: "fixedram/working-set/1", snapshot, resumes, blocks }).slice(0, -1);
  // A run a line, so that two recordings can be compared.
  return `${head},"runs":[\n${runs.map((run) => JSON.stringify(run)).join(",\n")}\n]}\n`;
}

/**
 * @param snapshot id of the snapshot it has to belong to
 * @throws FixedramError `file.working-set` (not one), `file.other-working-set` (of another snapshot)
 */
export function decodeWorkingSet(text: string, snapshot: string, blocks: readonly RamBlock[]): WorkingSet {
  // Before anything is made of it: a page server's thread has little memory.
  if (parts(text) > maxParts) throw notOne(`more than ${maxRuns} runs`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw notOne(error instanceof Error ? error.message : String(error));
  }
  const result = v.safeParse(schema, json, { abortEarly: true });
  if (!result.success) {
    const [issue] = result.issues;
    throw notOne(`${v.getDotPath(issue) ?? "the whole"}: ${issue.message}`);
  }
  const { output } = result;
  const same =
    output.blocks.length === blocks.length &&
    blocks.every(({ name, pages }, i) => output.blocks[i]?.name === name && output.blocks[i]?.pages === pages);
  if (output.snapshot !== snapshot || !same) {
    throw new FixedramError("file.other-working-set", "the working set was recorded with another snapshot", {
      expected: snapshot,
      found: output.snapshot === snapshot ? "the same id with other RAM blocks" : output.snapshot,
      hint: "Its pages would be the wrong ones to send first. Name the one of this snapshot, or leave --prefetch out.",
    });
  }
  // Each page is in it once: repeated without end they would keep a page server busy.
  let left = blocks.reduce((sum, { pages }) => sum + pages, 0);
  for (const [block, first, pages] of output.runs) {
    left -= pages;
    if (left < 0) throw notOne("more pages than the guest has");
    const known = blocks[block];
    if (known === undefined || pages === 0 || first + pages > known.pages)
      throw notOne(`pages ${first} to ${first + pages} of block ${block}`);
  }
  return output;
}

/** Of {@link maxRuns} runs and all blocks there can be. */
const maxParts = 4 * (maxRuns + 4096);

/** Lists, objects and their members that the text can have. */
function parts(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === comma || code === bracket || code === brace) count++;
  }
  return count;
}
const [comma, bracket, brace] = [0x2c, 0x5b, 0x7b];

function notOne(found: string): FixedramError {
  return new FixedramError("file.working-set", "this is no working set that can be read", {
    found,
    hint: "Remove the file: it is recorded anew.",
  });
}

/** Notes first touches, each page once, while a guest runs. */
export class WorkingSetRecorder {
  readonly #touched: SentPages;
  readonly #runs: [block: number, first: number, pages: number][] = [];
  readonly #most: number;
  #pages = 0;

  /** @param most pages that are noted; what comes later is no working set any more */
  constructor(blocks: readonly PostcopyBlock[], most: number) {
    this.#touched = new SentPages(blocks);
    this.#most = most;
  }

  /** Pages noted. */
  get pages(): number {
    return this.#pages;
  }

  touch(block: number, first: number, pages: number): void {
    for (let page = first; page < first + pages && this.#pages < this.#most; page++) {
      if (this.#touched.has(block, page)) continue;
      this.#touched.take(block, page, 1);
      this.#pages++;
      const last = this.#runs.at(-1);
      if (last !== undefined && last[0] === block && last[1] + last[2] === page) last[2]++;
      else if (this.#runs.length < maxRuns) this.#runs.push([block, page, 1]);
    }
  }

  /** What earlier resumes touched comes first, then what this one did besides. */
  merged(earlier: WorkingSet | null, snapshot: string): WorkingSet {
    const { blocks } = this.#touched;
    const all = new WorkingSetRecorder(blocks, Number.POSITIVE_INFINITY);
    for (const [block, first, pages] of earlier?.runs ?? []) all.touch(block, first, pages);
    for (const [block, first, pages] of this.#runs) all.touch(block, first, pages);
    return {
      snapshot,
      resumes: (earlier?.resumes ?? 0) + 1,
      blocks: blocks.map(({ block }) => ({ name: block.name, pages: block.pages })),
      runs: all.#runs,
    };
  }
}
