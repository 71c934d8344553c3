import { printable } from "../../bytes/text.ts";
import type { BlockMap } from "../../operations/inspect.ts";
import type { Colors } from "./colors.ts";
import { count, percent, plural, size } from "./format.ts";

/** Least share of pages present for each character; the proposal's `-` and `p` are the ends. */
const levels = [
  { mark: "p", from: 1, text: "all" },
  { mark: "o", from: 0.5, text: "half or more" },
  { mark: ":", from: 0.1, text: "a tenth or more" },
  { mark: ".", from: 0, text: "fewer" },
] as const;

type Mark = "-" | (typeof levels)[number]["mark"];

export function markOf(share: number): Mark {
  if (share <= 0) return "-";
  return levels.find((level) => share >= level.from)?.mark ?? ".";
}

function paint(mark: Mark, run: string, colors: Colors): string {
  if (mark === "p") return colors.green(run);
  if (mark === "o") return colors.cyan(run);
  if (mark === ":") return colors.blue(run);
  if (mark === ".") return colors.magenta(run);
  return colors.dim(run);
}

/** Every block as the proposal draws it, `|---p---ppp----pp---p|`, with its length on a ruler below, and a legend at the end. */
export function mapText(blocks: readonly BlockMap[], colors: Colors): string {
  if (blocks.length === 0) return "No RAM blocks.\n";
  return `${blocks.map((block) => blockText(block, colors)).join("\n")}\n${legend(blocks, colors)}`;
}

function blockText(block: BlockMap, colors: Colors): string {
  const stretch = block.pagesPerCell === 1 ? "a page" : plural(Number(block.pagesPerCell.toFixed(1)), "page");
  const share = `${count(block.present)} of ${plural(block.pages, "page")} (${percent(block.present, block.pages)})`;
  return [
    `${colors.bold(printable(block.name))}  ${size(block.length)}  ${share}, ${stretch} a character`,
    `|${drawCells(block.cells, colors)}|`,
    colors.dim(ruler(block)),
    "",
  ].join("\n");
}

function drawCells(cells: readonly number[], colors: Colors): string {
  let drawn = "";
  let run = "";
  let current: Mark = "-";
  for (const share of cells) {
    const mark = markOf(share);
    if (mark !== current && run !== "") {
      drawn += paint(current, run, colors);
      run = "";
    }
    current = mark;
    run += mark;
  }
  return run === "" ? drawn : drawn + paint(current, run, colors);
}

/** `0` below the first bar, the block's length ending below the last one. */
function ruler(block: BlockMap): string {
  const end = size(block.length);
  return `0${end.padStart(Math.max(end.length + 1, block.cells.length + 1))}`;
}

/** The characters and the shares they stand for: `- none  . fewer ...`. */
export function levelsText(none: string, colors: Colors): string {
  const parts = [...levels].reverse().map((level) => `${paint(level.mark, level.mark, colors)} ${level.text}`);
  return `${paint("-", "-", colors)} ${none}  ${parts.join("  ")}`;
}

function legend(blocks: readonly BlockMap[], colors: Colors): string {
  const single = blocks.every((block) => block.pagesPerCell === 1);
  if (single) return `${paint("-", "-", colors)} zero page  ${paint("p", "p", colors)} page in the file\n`;
  return `Pages in the file: ${levelsText("none (zero)", colors)}\n`;
}
