import { readSync } from "node:fs";
import { systemError } from "../../errors.ts";
import type { Scan } from "../../search/pattern.ts";
import type { SearchJob } from "../../search/plan.ts";
import { type Found, type Read, Searcher, type SearchLimits } from "../../search/searcher.ts";
import type { Descriptor } from "../../storage/descriptor.ts";
import type { TaskContext } from "../protocol.ts";
import { truncated } from "./compare.ts";

export interface SearchInput {
  /** Jobs of one search have the same number, and the same scan and limits. */
  readonly search: number;
  readonly jobs: readonly SearchJob[];
  readonly scan: Scan;
  readonly limits: SearchLimits;
  /** The stores that the jobs' runs count in. */
  readonly files: readonly Descriptor[];
}

let current: { readonly search: number; readonly searcher: Searcher } | null = null;

/** Searches jobs, one after the other. */
export function run({ search, jobs, scan, limits, files }: SearchInput, context: TaskContext): Found {
  if (current?.search !== search) current = { search, searcher: new Searcher(scan, limits) };
  const { searcher } = current;
  for (const job of jobs) {
    searcher.begin(job);
    for (let reads = searcher.next(); reads !== null && !context.cancelled(); reads = searcher.next()) {
      for (const read of reads) readWhole(files[read.store], read);
      searcher.scan();
    }
  }
  return searcher.finish();
}

function readWhole(file: Descriptor | undefined, { position, target }: Read): void {
  if (file === undefined) throw new RangeError("no such store");
  let done = 0;
  try {
    while (done < target.length) {
      const count = readSync(file.fd, target, done, target.length - done, position + done);
      if (count === 0) throw truncated(file.name, position + done);
      done += count;
    }
  } catch (error) {
    throw systemError(error, file.name, `reading at byte ${position + done}`);
  }
}
