import type { Scan } from "./pattern.ts";

/** Takes the place and length of every hit that begins within [from, to) of a buffer. */
export type OnHit = (at: number, length: number) => void;
/** Finds the hits that begin within [from, to) of `bytes`; what lies around them may be looked at. */
export type Scanner = (bytes: Buffer, from: number, to: number, hit: OnHit) => void;

export function scannerOf(scan: Scan): Scanner {
  if (scan.kind === "regex") return regexScanner(scan.source, scan.flags);
  if (scan.kind === "strings") return scan.utf16 ? wideStrings(scan.least) : stringScanner(scan.least);
  return scan.mask === null ? literalScanner(scan.bytes) : maskedScanner(scan.bytes, scan.mask);
}

function literalScanner(needle: Uint8Array): Scanner {
  return (bytes, from, to, hit) => {
    const part = bytes.subarray(0, Math.min(bytes.length, to + needle.length - 1));
    for (let at = part.indexOf(needle, from); at !== -1; at = part.indexOf(needle, at + 1)) hit(at, needle.length);
  };
}

/** Looks for the longest run of bytes that are wholly known, then at the rest. */
function maskedScanner(needle: Uint8Array, mask: Uint8Array): Scanner {
  const [start, end] = longestKnown(mask);
  const anchor = needle.subarray(start, end);
  const matches = (bytes: Buffer, at: number): boolean => {
    for (let i = 0; i < needle.length; i++) {
      if ((((bytes[at + i] ?? 0) ^ (needle[i] ?? 0)) & (mask[i] ?? 0)) !== 0) return false;
    }
    return true;
  };
  if (anchor.length === 0) {
    return (bytes, from, to, hit) => {
      const last = Math.min(to, bytes.length - needle.length + 1);
      for (let at = from; at < last; at++) if (matches(bytes, at)) hit(at, needle.length);
    };
  }
  return (bytes, from, to, hit) => {
    const last = Math.min(to, bytes.length - needle.length + 1);
    for (let found = bytes.indexOf(anchor, from + start); found !== -1; found = bytes.indexOf(anchor, found + 1)) {
      const at = found - start;
      if (at >= last) return;
      if (matches(bytes, at)) hit(at, needle.length);
    }
  };
}

function longestKnown(mask: Uint8Array): [number, number] {
  let best: [number, number] = [0, 0];
  for (let start = 0; start < mask.length; start++) {
    let end = start;
    while (end < mask.length && mask[end] === 0xff) end++;
    if (end - start > best[1] - best[0]) best = [start, end];
    start = Math.max(start, end);
  }
  return best;
}

function regexScanner(source: string, flags: string): Scanner {
  const regex = new RegExp(source, flags);
  return (bytes, from, to, hit) => {
    const text = bytes.toString("latin1");
    regex.lastIndex = from;
    for (let match = regex.exec(text); match !== null && match.index < to; match = regex.exec(text)) {
      if (match[0] === "") regex.lastIndex++;
      else hit(match.index, match[0].length);
    }
  };
}

/** Printable ASCII and tabs, as strings(1) has it. */
const printable = new Uint8Array(256).map((_, byte) => ((byte >= 0x20 && byte <= 0x7e) || byte === 9 ? 1 : 0));

function stringScanner(least: number): Scanner {
  return (bytes, from, to, hit) => {
    let at = from;
    // What began before is the part's that it began in.
    if (from > 0 && printable[bytes[from - 1] ?? 0] === 1) while (printable[bytes[at] ?? 0] === 1) at++;
    while (at < to) {
      if (printable[bytes[at] ?? 0] === 0) {
        at++;
        continue;
      }
      const begin = at;
      while (printable[bytes[at] ?? 0] === 1) at++;
      if (at - begin >= least) hit(begin, at - begin);
    }
  };
}

/** The same in UTF-16, little-endian, at any byte: a printable byte and a 0. */
function wideStrings(least: number): Scanner {
  const isOne = (bytes: Buffer, at: number) => printable[bytes[at] ?? 0] === 1 && bytes[at + 1] === 0;
  return (bytes, from, to, hit) => {
    let at = from;
    if (from > 1 && isOne(bytes, from - 2)) while (isOne(bytes, at)) at += 2;
    while (at < to) {
      if (!isOne(bytes, at)) {
        at++;
        continue;
      }
      const begin = at;
      while (isOne(bytes, at)) at += 2;
      if (at - begin >= 2 * least) hit(begin, at - begin);
    }
  };
}
