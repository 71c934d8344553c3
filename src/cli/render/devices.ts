import { printable } from "../../bytes/text.ts";
import { type DeviceField, type DeviceState, type DeviceValue, isArray, isState } from "../../devices/tree.ts";
import type { DeviceSection, DevicesResult } from "../../operations/inside/devices.ts";
import { escaped } from "./bytes.ts";
import type { Colors } from "./colors.ts";
import { count, plural } from "./format.ts";

export interface DevicesView {
  readonly colors: Colors;
  readonly columns: number;
  /** Long arrays and buffers whole. */
  readonly full: boolean;
}

/** Values on a line before the rest is only counted. */
const mostValues = 8;
const mostBytes = 16;
const mostStructs = 8;
const mostInLine = 4;

export function devicesText({ devices }: DevicesResult, view: DevicesView): string {
  return `${devices.map((device) => deviceText(device, view)).join("\n")}`;
}

function deviceText(device: DeviceSection, view: DevicesView): string {
  const { colors } = view;
  const { name, instance, version, size, tree, problem } = device;
  const head = `${colors.bold(printable(name))}  instance ${instance}, version ${version}, ${plural(size, "byte")}`;
  if (tree !== null) return [head, ...stateLines(tree.state, "  ", view), ""].join("\n");
  const words = [problem?.message, problem?.said].filter((text) => text !== undefined);
  return `${head}\n  ${colors.red("can't be decoded:")} ${words.join(": ")}\n`;
}

function stateLines(state: DeviceState, indent: string, view: DevicesView): string[] {
  const names = state.fields.map(({ name }) => printable(name));
  // One long name does not push all values to the right.
  const width = names.reduce((most, name) => Math.min(32, Math.max(most, name.length)), 0);
  return [
    ...state.fields.flatMap((field, i) => fieldLines(field, names[i]?.padEnd(width) ?? "", indent, view)),
    ...state.subsections.flatMap((each) => [
      `${indent}${view.colors.cyan(printable(each.name))}  version ${each.version ?? "?"}`,
      ...stateLines(each, `${indent}  `, view),
    ]),
  ];
}

function fieldLines(field: DeviceField, label: string, indent: string, view: DevicesView): string[] {
  const { colors } = view;
  const { value } = field;
  const type = colors.dim(printable(isArray(value) ? field.type.replace("[]", `[${value.length}]`) : field.type));
  if (isState(value)) {
    const line = oneLine(value);
    if (line !== null) return [`${indent}${label}  ${type}  ${line}`];
    return [`${indent}${label}  ${type}`, ...stateLines(value, `${indent}  `, view)];
  }
  if (isArray(value) && value.some(isState)) return structLines(value, `${indent}${label}  ${type}`, indent, view);
  return [`${indent}${label}  ${type}  ${valueText(value, view.full)}`];
}

function structLines(values: readonly DeviceValue[], head: string, indent: string, view: DevicesView): string[] {
  const shown = view.full ? values : values.slice(0, mostStructs);
  const lines = shown.flatMap((each, i) => {
    const line = isState(each) ? oneLine(each) : valueText(each, view.full);
    if (line !== null) return [`${indent}  [${i}]  ${line}`];
    return [`${indent}  [${i}]`, ...(isState(each) ? stateLines(each, `${indent}    `, view) : [])];
  });
  const left = values.length - shown.length;
  return [head, ...lines, ...(left === 0 ? [] : [`${indent}  and ${count(left)} more`])];
}

/** A small struct of plain values, as `{name value, ...}`; null for others. */
function oneLine({ fields, subsections }: DeviceState): string | null {
  const plain = fields.every(({ value }) => ["number", "bigint", "boolean"].includes(typeof value));
  if (!plain || subsections.length > 0 || fields.length > mostInLine) return null;
  return `{${fields.map(({ name, value }) => `${printable(name)} ${valueText(value, false)}`).join(", ")}}`;
}

/** One value in one line. @param full long arrays and buffers whole */
export function valueText(value: DeviceValue, full: boolean): string {
  if (value === null) return "nullptr";
  if (typeof value === "boolean") return String(value);
  if (typeof value === "number" || typeof value === "bigint") return integerText(value);
  if (value instanceof Uint8Array) return bytesText(value, full);
  if (isState(value)) return "{}";
  const shown = full ? value : value.slice(0, mostValues);
  const left = value.length - shown.length;
  return `${shown.map((each) => valueText(each, full)).join(" ")}${left === 0 ? "" : ` and ${count(left)} more`}`;
}

/** What is small is a count, what is large is a mask or an address. */
function integerText(value: number | bigint): string {
  return value > -10 && value < 10
    ? String(value)
    : value < 0
      ? `-0x${(-value).toString(16)}`
      : `0x${value.toString(16)}`;
}

function bytesText(bytes: Uint8Array, full: boolean): string {
  if (bytes.every((byte) => byte === 0)) return `${plural(bytes.length, "byte")} of zeros`;
  const text = bytes.subarray(0, bytes.indexOf(0) === -1 ? bytes.length : bytes.indexOf(0));
  // A name in a field of fixed length.
  if (text.length > 1 && isText(text) && bytes.subarray(text.length).every((byte) => byte === 0))
    return `"${escaped(text)}"`;
  const shown = full ? bytes : bytes.subarray(0, mostBytes);
  const left = bytes.length - shown.length;
  const hex = Buffer.from(shown)
    .toString("hex")
    .replace(/..(?=.)/g, "$& ");
  return left === 0 ? hex : `${hex} and ${plural(left, "byte")} more`;
}

function isText(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte >= 0x20 && byte <= 0x7e);
}

/** The tree as JSON: integers of 8 bytes as texts `0x...` (JSON's end at 2^53), bytes in hexadecimal. */
export function devicesJson({ devices, ...result }: DevicesResult): object {
  return {
    ...result,
    devices: devices.map(({ tree, ...rest }) => ({ ...rest, state: tree === null ? null : stateJson(tree.state) })),
  };
}

function stateJson({ fields, subsections, ...rest }: DeviceState): object {
  return {
    ...rest,
    fields: fields.map(({ value, ...field }) => ({ ...field, value: valueJson(value) })),
    subsections: subsections.map(stateJson),
  };
}

/** 64-bit integers in hexadecimal, bytes too. */
export function valueJson(value: DeviceValue): unknown {
  if (typeof value === "bigint") return value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (isArray(value)) return value.map(valueJson);
  return isState(value) ? stateJson(value) : value;
}
