import { printable } from "../../bytes/text.ts";
import type { FieldDifference } from "../../devices/compare.ts";
import type { DeviceDifference } from "../../operations/diff/devices.ts";
import type { BlockDiff } from "../../operations/diff/tally.ts";
import type { DiffResult } from "../../operations/diff.ts";
import type { Colors } from "./colors.ts";
import { valueJson, valueText } from "./devices.ts";
import { hexText } from "./diff-hex.ts";
import { diffMapText } from "./diff-map.ts";
import { aligned, count, duration, plural, rate, size } from "./format.ts";
import { levelsText } from "./map.ts";
import { safe } from "./safe.ts";
import { plainTable } from "./table.ts";

/** The verdict first, then what differs: machine, devices, blocks, where in them, and bytes of the first pages. */
export function diffText(result: DiffResult, colors: Colors, columns: number): string {
  const { a, b, configuration, devices, pages, hex } = result;
  const verdict = result.same ? colors.green("the same") : colors.red("they differ");
  const lines = [`${colors.bold(safe(a.path))} and ${colors.bold(safe(b.path))}: ${verdict}`, ...factLines(result)];
  if (configuration.length > 0) {
    lines.push("", "Machine");
    for (const { field, a: left, b: right } of configuration)
      lines.push(`  ${printable(field)}: ${factText(left)} ${colors.dim("->")} ${factText(right)}`);
  }
  if (devices.different.length > 0) {
    lines.push("", "Devices");
    for (const device of devices.different) lines.push(deviceLine(device, colors), ...fieldLines(device, colors));
  }
  const different = result.blocks.filter(blockDiffers);
  if (different.length > 0) {
    lines.push("", "Pages", blockTable(different, colors), "");
    for (const block of different) lines.push(...diffMapText(block, colors, columns));
    lines.push(`  Pages in the file, and that differ: ${levelsText("none", colors)}`);
  }
  if (hex.length > 0) {
    lines.push("", "Bytes");
    for (const page of hex) lines.push(...hexText(page, colors));
    const left = pages.changed + pages.added + pages.gone - hex.length;
    if (left > 0) lines.push(colors.dim(`  and ${plural(left, "more page")}`));
  }
  return `${lines.join("\n")}\n`;
}

/** The same for a program: values of fields as `fixedram devices --json` has them, null where a side has none. */
export function diffJson(result: DiffResult): object {
  const side = (value: FieldDifference["a"]) => (value === undefined ? null : valueJson(value));
  const different = result.devices.different.map(({ fields, ...device }) => ({
    ...device,
    fields: fields?.map(({ path, a, b }) => ({ path, a: side(a), b: side(b) })) ?? null,
  }));
  return { ...result, devices: { ...result.devices, different } };
}

function factLines(result: DiffResult): string[] {
  const { pages, devices, blocks } = result;
  const parts = [
    plural(pages.changed, "changed", "changed"),
    `${count(pages.added)} added`,
    `${count(pages.gone)} gone`,
    ...(pages.unknown === 0 ? [] : [`${count(pages.unknown)} not in both files`]),
  ];
  const present = blocks.reduce((sum, block) => sum + presentBytes(block), 0);
  const speed = pages.trusted === 0 ? rate(present, result.time) : "";
  return aligned([
    ["A", sideText(result.a)],
    ["B", sideText(result.b)],
    ["pages", `${parts.join(", ")}, of ${count(pages.total)}; ${plural(pages.extents, "run")}`],
    ["not read", pages.trusted === 0 ? null : `${plural(pages.trusted, "page")} whose digests agree in both seals`],
    ["devices", `${count(devices.different.length)} of ${count(Math.max(devices.a, devices.b))} differ`],
    ["list", result.pagesOut === null ? null : safe(result.pagesOut)],
    ["time", `${duration(result.time)}${speed === "" ? "" : `, ${speed}`}`],
  ]);
}

function presentBytes({ a, b }: BlockDiff): number {
  const bytes = (side: BlockDiff["a"]) => (side === null ? 0 : side.present * side.pageSize);
  return Math.max(bytes(a), bytes(b));
}

function sideText({ container, machine, id }: DiffResult["a"]): string {
  return `${container}, ${printable(machine)}${id === null ? "" : `, id ${id.slice(0, 16)}`}`;
}

function factText(value: string | null): string {
  if (value === null) return "none";
  const text = printable(value);
  return text.length > 60 ? `${text.slice(0, 60)}... (${count(text.length)} characters)` : text;
}

function deviceLine({ name, instance, kind, a, b, bytes }: DeviceDifference, colors: Colors): string {
  const title = `  ${printable(name)}${instance === 0 ? "" : ` #${instance}`}`;
  if (a === null || b === null) return `${title}: ${kind}, ${plural(bytes, "byte")}`;
  const version = a.version === b.version ? "" : `, version ${a.version} ${colors.dim("->")} ${b.version}`;
  const length = a.size === b.size ? ` of ${count(a.size)}` : `, ${count(a.size)} ${colors.dim("->")} ${count(b.size)}`;
  return `${title}: ${plural(bytes, "byte")}${length} differ${version}`;
}

/** Fields of a device before the rest is only counted. */
const mostFields = 16;

function fieldLines({ fields }: DeviceDifference, colors: Colors): string[] {
  if (fields === null) return [];
  const side = (value: FieldDifference["a"]) => (value === undefined ? "none" : valueText(value, false));
  const lines = fields
    .slice(0, mostFields)
    .map(({ path, a, b }) => `    ${printable(path)}: ${side(a)} ${colors.dim("->")} ${side(b)}`);
  const left = fields.length - lines.length;
  return left === 0 ? lines : [...lines, colors.dim(`    and ${plural(left, "more field")}`)];
}

function blockDiffers({ a, b, extents }: BlockDiff): boolean {
  return extents > 0 || a?.length !== b?.length;
}

function blockTable(blocks: readonly BlockDiff[], colors: Colors): string {
  const unknown = blocks.some(({ pages }) => pages.unknown > 0);
  const head = ["block", "size", "changed", "added", "gone", ...(unknown ? ["not in both"] : []), "runs"];
  const rows = blocks.map(({ name, a, b, pages, extents }) => [
    printable(name),
    a?.length === b?.length ? size(a?.length ?? 0) : `${sizeOf(a)} -> ${sizeOf(b)}`,
    count(pages.changed),
    count(pages.added),
    count(pages.gone),
    ...(unknown ? [count(pages.unknown)] : []),
    count(extents),
  ]);
  return plainTable(head, [1, 2, 3, 4, 5, 6], rows, colors);
}

function sizeOf(side: BlockDiff["a"]): string {
  return side === null ? "none" : size(side.length);
}
