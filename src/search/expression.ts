import type { Needle } from "./memory.ts";
import { mostPattern } from "./pattern.ts";

/**
 * The bytes that every match of an expression begins with; null where none are sure. Only what is plainly so is seen: characters
 * that stand for themselves, `\.` and `\x2e`, up to the first that does not.
 *
 * @param source over bytes as latin1. @param flags as RegExp has them, without u and v
 */
export function expressionStart(source: string, flags: string): Needle | null {
  if (hasAlternatives(source)) return null;
  const ignoreCase = flags.includes("i");
  const bytes: number[] = [];
  for (let at = 0; at < source.length && bytes.length < mostPattern; ) {
    const taken = literalAt(source, at);
    if (taken === null) break;
    // Beyond ASCII, the other case of a character may be another byte.
    if (ignoreCase && taken.byte > 0x7f) break;
    at += taken.length;
    const next = source[at];
    if (next === "*" || next === "?" || next === "{") break;
    bytes.push(taken.byte);
    if (next === "+") break;
  }
  if (bytes.length === 0) return null;
  const isLetter = (byte: number) => (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a);
  const mask = bytes.map((byte) => (ignoreCase && isLetter(byte) ? 0xdf : 0xff));
  return { bytes: Uint8Array.from(bytes), mask: Uint8Array.from(mask) };
}

/** A character at `at` that stands for one byte, and how long it is in the source. */
function literalAt(source: string, at: number): { readonly byte: number; readonly length: number } | null {
  const letter = source[at] ?? "";
  if (letter !== "\\") return "^$.*+?()[]{}|".includes(letter) ? null : { byte: letter.charCodeAt(0), length: 1 };
  const [, digits] = /^\\x([0-9a-fA-F]{2})/.exec(source.slice(at, at + 4)) ?? [];
  if (digits !== undefined) return { byte: Number.parseInt(digits, 16), length: 4 };
  const escaped = source[at + 1] ?? "";
  return /^[!-/:-@[-`{-~]$/.test(escaped) ? { byte: escaped.charCodeAt(0), length: 2 } : null;
}

/** Whether a `|` stands outside of every group. */
function hasAlternatives(source: string): boolean {
  let depth = 0;
  let inClass = false;
  for (let at = 0; at < source.length; at++) {
    const letter = source[at];
    if (letter === "\\") at++;
    else if (inClass) inClass = letter !== "]";
    else if (letter === "[") inClass = true;
    else if (letter === "(") depth++;
    else if (letter === ")") depth--;
    else if (letter === "|" && depth === 0) return true;
  }
  return false;
}
