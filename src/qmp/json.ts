/**
 * JSON as QMP writes it: integers go up to 2^64 - 1, beyond what a double holds. Those come as bigint, and bigint is written
 * as an integer, so that a value read can be put back exactly (libvirt sets max-bandwidth to 9223372036853727232).
 */
import { randomUUID } from "node:crypto";

/** Stands before the digits of a large integer while it is a string; what the other side cannot guess, it cannot send. */
const mark = `int ${randomUUID()} `;

/** Parses one QMP message. Integers past 2^53 - 1 become bigint. Throws SyntaxError. */
export function parseQmpJson(text: string): unknown {
  if (!/[0-9]{16}/.test(text)) return JSON.parse(text);
  const { marked, found } = markLarge(text);
  if (!found) return JSON.parse(text);
  // What is not JSON is so with and without marks, but only without them are its own words told.
  JSON.parse(text);
  return JSON.parse(marked, (_key, value) =>
    typeof value === "string" && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value,
  );
}

/** Puts integers that a double does not hold in quotes, behind a mark. Strings are passed over, whatever is in them. */
function markLarge(text: string): { readonly marked: string; readonly found: boolean } {
  let marked = "";
  let copied = 0;
  const token = /"|-?[0-9][0-9.eE+-]*/g;
  for (let match = token.exec(text); match !== null; match = token.exec(text)) {
    const [word] = match;
    if (word === '"') {
      token.lastIndex = endOfString(text, match.index + 1);
      continue;
    }
    if (!/^-?[0-9]{16,}$/.test(word) || Number.isSafeInteger(Number(word))) continue;
    marked += `${text.slice(copied, match.index)}"${mark}${word}"`;
    copied = match.index + word.length;
  }
  return { marked: marked + text.slice(copied), found: copied > 0 };
}

/** The place behind the quote that ends a string. */
function endOfString(text: string, from: number): number {
  let at = from;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

/** Writes one QMP message on one line; bigint as an integer. */
export function formatQmpJson(value: unknown): string {
  let marked = false;
  const text = JSON.stringify(value, (_key, item) => {
    if (typeof item !== "bigint") return item;
    marked = true;
    return `${mark}${item}`;
  });
  return marked ? text.replace(new RegExp(`"${mark}(-?[0-9]+)"`, "g"), "$1") : text;
}
