import { hexAddress } from "../../bytes/text.ts";
import type { Colors } from "./colors.ts";

const perLine = 16;
const digits = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** `0xffff_8880_0000_1000`, padded to the width of an address of so many digits. */
function address(value: bigint, width: number): string {
  return hexAddress(value).padStart(width);
}

/** Width that the longest address of a dump of up to 1 TiB from here takes. */
function widthAt(start: bigint): number {
  return hexAddress(start + 2n ** 40n > 2n ** 64n ? 2n ** 64n - 1n : start).length;
}

/**
 * Bytes and characters side by side, 16 a line, as `hexdump -C` does; lines like the one before become one `*`. Fed piece by
 * piece: pieces but the last end where a line does.
 */
export class HexDump {
  readonly #colors: Colors;
  #last: string | null = null;
  #starred = false;
  #end = 0n;
  #width = 0;

  constructor(colors: Colors) {
    this.#colors = colors;
  }

  lines(bytes: Uint8Array, start: bigint): string {
    if (this.#width === 0) this.#width = widthAt(start);
    let text = "";
    for (let at = 0; at < bytes.length; at += perLine)
      text += this.#line(bytes.subarray(at, at + perLine), start + BigInt(at));
    this.#end = start + BigInt(bytes.length);
    return text;
  }

  /** Where the dump ends, when the last lines were left out. */
  end(): string {
    return this.#starred ? `${this.#colors.cyan(address(this.#end, this.#width))}\n` : "";
  }

  #line(bytes: Uint8Array, at: bigint): string {
    const shown = hexText(bytes, this.#colors);
    if (shown === this.#last && bytes.length === perLine) {
      if (this.#starred) return "";
      this.#starred = true;
      return "*\n";
    }
    this.#starred = false;
    this.#last = shown;
    return `${this.#colors.cyan(address(at, this.#width))}  ${shown}\n`;
  }
}

function hexText(bytes: Uint8Array, colors: Colors): string {
  let hex = "";
  let characters = "";
  for (let i = 0; i < perLine; i++) {
    if (i === perLine / 2) hex += " ";
    const byte = bytes[i];
    hex += byte === undefined ? "   " : `${digits[byte]} `;
    if (byte !== undefined) characters += byte >= 0x20 && byte <= 0x7e ? String.fromCharCode(byte) : ".";
  }
  return `${hex} ${colors.dim("|")}${characters}${colors.dim("|")}`;
}

/** Little-endian words of 8 bytes, two a line. */
export function wordLines(bytes: Uint8Array, start: bigint): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let text = "";
  for (let at = 0; at < bytes.length; at += 16) {
    const words = [at, at + 8].filter((each) => each < bytes.length).map((each) => view.getBigUint64(each, true));
    text += `${hexAddress(start + BigInt(at))}  ${words.map((word) => word.toString(16).padStart(16, "0")).join(" ")}\n`;
  }
  return text;
}

/** The text up to the first NUL: printable ASCII as it is, what else there is as `\xNN`. */
export function stringText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return escaped(end === -1 ? bytes : bytes.subarray(0, end));
}

/** Bytes as text on one line: printable ASCII as it is, but for the backslash; the rest escaped. */
export function escaped(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) {
    if (byte === 0x5c) text += "\\\\";
    else text += byte >= 0x20 && byte <= 0x7e ? String.fromCharCode(byte) : `\\x${digits[byte]}`;
  }
  return text;
}
