/**
 * Names in streams and files are bytes. They are kept as latin1 strings, one character a byte, so that nothing is lost,
 * and escaped only where a person reads them.
 */

const PIECE = 8192;

/** The bytes [start, end) as a string, one character a byte. */
export function latin1(bytes: Uint8Array, start = 0, end = bytes.length): string {
  let text = "";
  for (let at = start; at < end; at += PIECE) {
    // Not spread out into arguments: that goes through an iterator, byte by byte.
    text += Reflect.apply(String.fromCharCode, null, bytes.subarray(at, Math.min(at + PIECE, end)));
  }
  return text;
}

/** The reverse of {@link latin1}. Throws a RangeError for a character above U+00FF: such a string never came from bytes. */
export function fromLatin1(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0xff) throw new RangeError(`character ${i} is not a byte`);
    bytes[i] = code;
  }
  return bytes;
}

/** A name as it may be shown on a terminal: control characters, non-ASCII, backslash and quotes escaped. Reversible by eye. */
export function printable(name: string): string {
  return name.replace(/[^\x20-\x7e]|["'\\]/g, (character) => {
    const code = character.charCodeAt(0);
    if (code >= 0x20 && code <= 0x7e) return `\\${character}`;
    return code <= 0xff ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/**
 * Text from elsewhere (paths, QEMU's words, recorded arguments) with everything escaped that could move a cursor, change a
 * colour or hide what follows: control characters, line and direction marks, lone surrogates. Names that are bytes go through
 * {@link printable} instead.
 */
export function safe(text: string): string {
  return text.replace(unsafe, (character) => {
    const known = short[character];
    if (known !== undefined) return known;
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** Everything that moves a cursor, changes a colour, or hides or turns what follows. */
export const unsafe = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu;

const short: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** An address or offset as people read it: hexadecimal, a `_` before every four digits, at least eight of them. */
export function hexAddress(value: number | bigint): string {
  const digits = value.toString(16);
  // Most are short, and a list of strings has a million.
  if (digits.length <= 4) return `0x0000_${digits.padStart(4, "0")}`;
  if (digits.length <= 8) return `0x${digits.slice(0, -4).padStart(4, "0")}_${digits.slice(-4)}`;
  const padded = digits.padStart(Math.ceil(digits.length / 4) * 4, "0");
  return `0x${padded.replace(/(?<=.)(?=(?:.{4})+$)/g, "_")}`;
}

/** A register's value or a word of 8 bytes: `0xffff_ffff_8100_0000`, all 16 digits. */
export function hexWord(value: bigint): string {
  const digits = value.toString(16).padStart(16, "0");
  return `0x${digits.replace(/....(?=.)/g, "$&_")}`;
}
