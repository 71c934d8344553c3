import { hexAddress as address, printable } from "../../bytes/text.ts";
import type { HexPage, HexRow } from "../../operations/diff/hex.ts";
import type { Colors } from "./colors.ts";
import { count, plural } from "./format.ts";

/** One page: of each row of 16 bytes that differs what A has (-), what B has (+), and below it a mark under each changed byte. */
export function hexText(page: HexPage, colors: Colors): string[] {
  const where = `${printable(page.block)} page ${count(page.page)}, ${address(page.offset)}`;
  const lines = [`  ${colors.bold(where)}: ${page.kind}, ${plural(page.bytes, "byte")} differ`];
  for (const row of page.rows) lines.push(...rowLines(page, row, colors));
  return lines;
}

function rowLines(page: HexPage, row: HexRow, colors: Colors): string[] {
  const [a, b] = [bytesOf(row.a), bytesOf(row.b)];
  const changed = a.map((byte, i) => byte !== b[i]);
  const line = (bytes: readonly string[], paint: (text: string) => string) => {
    const hex = bytes.map((byte, i) => (changed[i] ? paint(byte) : byte)).join(" ");
    const text = bytes.map((byte, i) => (changed[i] ? paint(character(byte)) : character(byte))).join("");
    return `${hex}  |${text}|`;
  };
  const label = address(page.offset + row.offset);
  const marks = changed.map((is) => (is ? "^^" : "  ")).join(" ");
  return [
    `    ${label} - ${line(a, colors.red)}`,
    `    ${" ".repeat(label.length)} + ${line(b, colors.green)}`,
    `    ${" ".repeat(label.length)}   ${marks.trimEnd()}`,
  ];
}

function bytesOf(hex: string): string[] {
  return hex.match(/../g) ?? [];
}

function character(hex: string): string {
  const code = Number.parseInt(hex, 16);
  return code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : ".";
}
