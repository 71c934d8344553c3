import { FixedramError } from "../errors.ts";

/** What is looked for, as it goes to a thread. */
export type Scan =
  /** `bytes` where `mask` has its bits set; null: all of them. */
  | { readonly kind: "bytes"; readonly bytes: Uint8Array; readonly mask: Uint8Array | null }
  /** Over the bytes as latin1, one character a byte. */
  | { readonly kind: "regex"; readonly source: string; readonly flags: string }
  /** Runs of printable characters, so many at least. */
  | { readonly kind: "strings"; readonly least: number; readonly utf16: boolean };

export interface PatternOptions {
  /** `text` (default): the text's UTF-8; `hex`: bytes, `?` for any digit; `regex`: a regular expression over bytes. */
  readonly as?: "text" | "hex" | "regex";
  /** Text: as UTF-16, little-endian. */
  readonly utf16?: boolean;
  /** Text and regular expressions: ASCII letters in either case. */
  readonly ignoreCase?: boolean;
}

/** Bytes that a pattern, and a match of a regular expression that crosses pages, may have. */
export const mostPattern = 4096;
/** A string that crosses a window's end is told up to here. */
const mostString = 65536;

/** @throws `usage.bad-pattern` */
export function parsePattern(text: string, options: PatternOptions = {}): Scan {
  const { as = "text", utf16 = false, ignoreCase = false } = options;
  if (text === "") throw bad(text, "something to look for");
  if (as === "regex") return regex(text, ignoreCase);
  const scan = as === "hex" ? hexBytes(text) : textBytes(text, utf16, ignoreCase);
  if (scan.bytes.length <= mostPattern) return scan;
  throw bad(`${scan.bytes.length} bytes`, `at most ${mostPattern} bytes`);
}

type ByteScan = Extract<Scan, { kind: "bytes" }>;

function textBytes(text: string, utf16: boolean, ignoreCase: boolean): ByteScan {
  const bytes = utf16 ? utf16le(text) : new TextEncoder().encode(text);
  if (!ignoreCase) return { kind: "bytes", bytes, mask: null };
  // A letter's case is one bit. In UTF-16 only a character below 128 has a high byte of 0.
  const mask = bytes.map((byte, i) =>
    isLetter(byte) && (!utf16 || (i % 2 === 0 && bytes[i + 1] === 0)) ? 0xdf : 0xff,
  );
  return { kind: "bytes", bytes, mask };
}

function isLetter(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a);
}

function utf16le(text: string): Uint8Array {
  const bytes = new Uint8Array(2 * text.length);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < text.length; i++) view.setUint16(2 * i, text.charCodeAt(i), true);
  return bytes;
}

/** `de ad ?? 0?`: blanks may stand anywhere. */
function hexBytes(text: string): ByteScan {
  const digits = text.replace(/[\s_]/g, "").replace(/^0x/i, "");
  if (digits.length === 0 || digits.length % 2 === 1 || !/^[0-9a-fA-F?]*$/.test(digits)) {
    throw bad(text, "two hexadecimal digits a byte, ? for any digit");
  }
  const bytes = new Uint8Array(digits.length / 2);
  const mask = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) {
    const two = digits.slice(2 * i, 2 * i + 2);
    bytes[i] = Number.parseInt(two.replaceAll("?", "0"), 16);
    mask[i] = Number.parseInt(two.replace(/[^?]/g, "f").replaceAll("?", "0"), 16);
  }
  if (mask.every((bits) => bits === 0)) throw bad(text, "at least one digit that is not ?");
  return { kind: "bytes", bytes, mask: mask.every((bits) => bits === 0xff) ? null : mask };
}

function regex(source: string, ignoreCase: boolean): Scan {
  const flags = ignoreCase ? "gmsi" : "gms";
  // Characters beyond ASCII stand for their UTF-8 bytes.
  const bytes = Array.from(new TextEncoder().encode(source), (byte) => String.fromCharCode(byte)).join("");
  try {
    if (!new RegExp(bytes, flags).test("")) return { kind: "regex", source: bytes, flags };
  } catch (error) {
    throw bad(source, error instanceof Error ? error.message : String(error));
  }
  throw bad(source, "a regular expression that does not match nothing at all");
}

function bad(found: string, expected: string): FixedramError {
  return new FixedramError("usage.bad-pattern", "that can't be looked for", { found, expected });
}

/** How many bytes past its first a hit may reach, and how many before it have to be seen. */
export function reachOf(scan: Scan): { readonly after: number; readonly before: number } {
  if (scan.kind === "bytes") return { after: scan.bytes.length - 1, before: 0 };
  return scan.kind === "regex" ? { after: mostPattern, before: 1 } : { after: mostString, before: scan.utf16 ? 2 : 1 };
}
