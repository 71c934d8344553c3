import type { RepairResult } from "../../operations/repair.ts";
import type { SealResult } from "../../operations/seal.ts";
import type { Colors } from "./colors.ts";
import { aligned, count, duration, size } from "./format.ts";
import { safe } from "./safe.ts";

export function sealText({ path, id, uuid, pages, bigEndian, sizes, time }: SealResult, colors: Colors): string {
  const rows = aligned([
    ["id", id],
    ["snapshot", safe(uuid)],
    ["pages", `${count(pages)} with a digest each`],
    ["bitmaps", bigEndian ? "of a big-endian host" : null],
    ["file", `${size(sizes.after)}, ${size(sizes.after - sizes.before)} more than before`],
    ["time", duration(time)],
  ]);
  return `Sealed ${colors.bold(safe(path))}\n${rows.join("\n")}\n`;
}

export function repairText({ path, repaired, message, sizes }: RepairResult, colors: Colors): string {
  const head = repaired === "nothing" ? "Nothing to repair in" : "Repaired";
  const rows =
    repaired === "nothing" ? [] : aligned([["file", `${count(sizes.after)} bytes, before ${count(sizes.before)}`]]);
  return `${[`${head} ${colors.bold(safe(path))}`, `  ${message}`, ...rows].join("\n")}\n`;
}
