import { hexAddress, printable } from "../../bytes/text.ts";
import type { SearchHit } from "../../operations/inside/search.ts";
import { escaped } from "./bytes.ts";
import type { Colors } from "./colors.ts";

/** Bytes of a long hit that are shown. */
const mostShown = 96;

/** `0x0130_4010  pc.ram+0x0130_4010  ...before[hit]after...`, on one line. */
export function hitText({ block, offset, length, physical, context, before }: SearchHit, colors: Colors): string {
  const end = before + length;
  const shown = context.subarray(before, Math.min(end, before + mostShown));
  const cut = shown.length < length ? `... (${length} bytes)` : "";
  const text = [
    dotted(context.subarray(0, before)),
    colors.bold(colors.red(dotted(shown))),
    cut,
    dotted(context.subarray(end)),
  ].join("");
  return `${placeText(block, offset, physical, colors)}  ${text}\n`;
}

export function stringLine({ block, offset, physical, context }: SearchHit, utf16: boolean, colors: Colors): string {
  const bytes = utf16 ? context.filter((_, i) => i % 2 === 0) : context;
  return `${placeText(block, offset, physical, colors)}  ${escaped(bytes)}\n`;
}

function placeText(block: string, offset: number, physical: number | null, colors: Colors): string {
  const address = physical === null ? "-".padEnd(11) : hexAddress(physical);
  return `${colors.cyan(address)}  ${colors.dim(`${printable(block)}+${hexAddress(offset)}`)}`;
}

function dotted(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte >= 0x20 && byte <= 0x7e ? String.fromCharCode(byte) : ".";
  return text;
}
