/** The reader of files whose pages have fixed places: nothing is used twice, and each page is where bitmap and place say. */
import { keyOf, pagesOf } from "../../contents.ts";
import { storeOf } from "../../run.ts";
import { mapped } from "../../sound.ts";
import type { Target } from "../engine.ts";
import type { FuzzLib } from "../fuzz-lib.ts";
import type { PlainPages } from "./plain-stream.ts";
import { block, codeOf, equal, options, small, word } from "./shared.ts";
import { streamWords, thoroughly } from "./stream.ts";

function seeds(): Uint8Array[] {
  const pages = block.slice(0, 1);
  const tiny = [{ name: "a", pages: 1, present: { 0: 1 } }];
  return [
    mapped({ ...small, blocks: block }).bytes,
    mapped({ ...small, blocks: pages, vmdesc: null }).bytes,
    mapped({ ...small, blocks: pages, capabilities: ["x-ignore-shared", "mapped-ram"], guestAddress: true }).bytes,
    mapped({ ...small, blocks: tiny }).bytes,
    mapped({ ...small, blocks: tiny, part: false, switchover: false, end: false }).bytes,
    mapped({ ...small, blocks: [{ name: "a", pages: 2, present: {} }] }).bytes,
  ];
}

export function mappedTarget(lib: FuzzLib): Target {
  return {
    name: "fixed-ram",
    meant: /^fixedram\/(reader|check|map)/,
    seeds: seeds(),
    words: [...streamWords, word(1024), word(2048), word(4096), word(16384)],
    most: 16384,
    run: (input) => opened(lib, input, {}),
    thorough: async (input) => {
      thoroughly(lib, input);
      await opened(lib, input, { bigEndianBitmaps: true });
      await opened(lib, input, { allowEmpty: false });
    },
  };
}

interface How {
  readonly bigEndianBitmaps?: boolean;
  readonly allowEmpty?: boolean;
}

async function opened(lib: FuzzLib, input: Uint8Array, how: How): Promise<void> {
  const store = storeOf(input);
  let file: Awaited<ReturnType<FuzzLib["openFixedRam"]>>;
  try {
    file = await lib.openFixedRam(store, { ...options, allowEmpty: true, ...how });
  } catch (error) {
    codeOf(error);
    return;
  }
  const model: PlainPages = new Map();
  const taken: [start: number, end: number][] = file.runs.map(({ start, end }) => [start, end]);
  for (const { block: each, mapped: place } of file.ramStart.blocks) {
    if (place === null) throw new Error("a block without places");
    taken.push([place.pagesOffset, place.pagesOffset + each.length]);
    taken.push([place.bitmapOffset, place.bitmapOffset + Math.ceil(each.pages / 64) * 8]);
    for (let page = 0; page < each.pages; page++) {
      const byte = Math.floor(page / 8);
      const stands = how.bigEndianBitmaps === true ? byte - (byte % 8) + 7 - (byte % 8) : byte;
      if (((input[place.bitmapOffset + stands] ?? 0) & (1 << (page % 8))) === 0) continue;
      const at = place.pagesOffset + page * each.pageSize;
      if (at + each.pageSize > input.length) throw new Error("a page past the file's end");
      model.set(keyOf(each.name, page), input.slice(at, at + each.pageSize));
    }
  }
  if (how.allowEmpty === false && model.size === 0) throw new Error("bitmaps without a bit are taken");
  taken.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let end = 0;
  for (const [start, stop] of taken) {
    if (stop <= start) continue;
    if (start < end || stop > input.length)
      throw new Error(`bytes ${start} to ${stop} are used twice, or are not there`);
    end = stop;
  }
  equal(await pagesOf(file.map, new lib.ExtentList(3), 4096), model, "the bitmaps");
}
