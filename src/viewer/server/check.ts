import { PageBitmap } from "../../bytes/bitmap.ts";
import { printable, safe } from "../../bytes/text.ts";
import type { Problem } from "../../fixedram/problems.ts";
import { verify } from "../../operations/verify.ts";
import type { ViewCheck, ViewProblem } from "../shared/protocol.ts";
import type { EventStream } from "./events.ts";
import type { Side } from "./side.ts";

/** Verifies the file and marks damaged pages on the map; `progress` events, then `result`. */
export async function checkSide(side: Side, deep: boolean, stream: EventStream, signal: AbortSignal): Promise<void> {
  const result = await verify({
    file: side.snapshot.name,
    deep,
    signal,
    onProgress: ({ bytes, total }) => stream.send("progress", { bytes, total }),
  });
  side.marks.damaged.clear();
  side.forget("damaged");
  for (const problem of result.problems) markDamaged(side, problem);
  const answer: ViewCheck = {
    ok: result.ok,
    deep,
    state: result.sealState,
    coverage: result.coverage,
    size: result.size,
    problems: result.problems.map((problem) => problemOf(side, problem)),
    left: result.problemsLeftOut,
    unchecked: result.unchecked.map(safe),
    time: result.time,
  };
  stream.send("result", answer);
}

function markDamaged(side: Side, { block: name, page, pages = 1 }: Problem): void {
  const block = side.snapshot.map.blocks.find((each) => each.name === name);
  if (block === undefined || page === undefined || page + pages > block.pages) return;
  const bitmap = side.marks.damaged.get(block.index) ?? new PageBitmap(block.pages);
  bitmap.setRange(page, pages);
  side.marks.damaged.set(block.index, bitmap);
}

function problemOf(side: Side, { code, message, block, page, pages, offset, length }: Problem): ViewProblem {
  const index = side.snapshot.map.blocks.findIndex(({ name }) => name === block);
  return {
    code,
    message: safe(message),
    block: index < 0 ? null : index,
    label: block === undefined ? null : printable(block),
    page: page ?? null,
    pages: pages ?? (page === undefined ? null : 1),
    offset: offset ?? null,
    length: length ?? null,
  };
}
