import { readSync } from "node:fs";
import { Comparer } from "../../diff/comparer.ts";
import { DifferenceList } from "../../diff/differences.ts";
import type { CompareJob } from "../../diff/plan.ts";
import { FixedramError, systemError } from "../../errors.ts";
import type { Descriptor } from "../../storage/descriptor.ts";
import type { TaskContext } from "../protocol.ts";

export interface CompareInput {
  readonly job: CompareJob;
  /** The stores that the job's runs count in, for each side. */
  readonly files: readonly [readonly Descriptor[], readonly Descriptor[]];
}

let comparer: Comparer | null = null;

/** Compares the pages of one job; gives the runs that differ, three numbers each (diff/differences.ts). */
export function run({ job, files }: CompareInput, context: TaskContext): Float64Array<ArrayBuffer> {
  comparer ??= new Comparer();
  const found = new DifferenceList();
  comparer.begin(job);
  while (comparer.plan(found) && !context.cancelled()) {
    for (const side of [0, 1] as const) {
      const window = comparer.windows[side];
      for (let i = 0; i < window.reads; i++) {
        const at = window.at[i] ?? 0;
        const length = window.length[i] ?? 0;
        readWhole(files[side][window.store[i] ?? 0], window.bytes, at, length, window.position[i] ?? 0);
      }
    }
    comparer.compare(found);
  }
  return found.finish();
}

function readWhole(file: Descriptor | undefined, bytes: Uint8Array, at: number, length: number, from: number): void {
  if (file === undefined) throw new RangeError("no such store");
  let done = 0;
  try {
    while (done < length) {
      const count = readSync(file.fd, bytes, at + done, length - done, from + done);
      if (count === 0) throw truncated(file.name, from + done);
      done += count;
    }
  } catch (error) {
    throw systemError(error, file.name, `reading at byte ${from + done}`);
  }
}

export function truncated(path: string, offset: number): FixedramError {
  return new FixedramError("file.truncated", "the file ends among its pages", {
    path,
    offset,
    hint: "The file was cut, or is being changed. Fetch it again.",
  });
}
