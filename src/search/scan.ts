import { expressionStart } from "./expression.ts";
import type { OnHit, ScanMemory } from "./memory.ts";
import type { Scan } from "./pattern.ts";

/**
 * Finds the hits that begin within [from, to) of the memory's window, of which the bytes below `end` are loaded; what lies around
 * them may be looked at.
 */
export type Scanner = (from: number, to: number, end: number, hit: OnHit) => void;

/** A scanner of windows in `memory`, whose needle is the scanner's from then on. */
export function scannerOf(scan: Scan, memory: ScanMemory): Scanner {
  if (scan.kind === "regex") return regexScanner(scan.source, scan.flags, memory);
  if (scan.kind === "strings") {
    const { least, utf16 } = scan;
    return (from, to, end, hit) => memory.runs(from, to, end, utf16 ? 2 * least : least, utf16, hit);
  }
  const { bytes } = scan;
  memory.look({ bytes, mask: scan.mask ?? new Uint8Array(bytes.length).fill(0xff) });
  return (from, to, end, hit) => memory.places(from, to, end, (at) => hit(at, bytes.length));
}

/** Places in a window above which an expression is rather let loose on all of it. */
const mostCandidates = 2000;

/** Where an expression can only match after known bytes, those are looked for, and it is tried where they stand. */
function regexScanner(source: string, flags: string, memory: ScanMemory): Scanner {
  const start = expressionStart(source, flags);
  const everywhere = regexEverywhere(source, flags, memory);
  if (start === null) return everywhere;
  memory.look(start);
  const regex = new RegExp(source, flags.replace("g", "y"));
  const candidates: number[] = [];
  return (from, to, end, hit) => {
    candidates.length = 0;
    memory.places(from, to, end, (at) => candidates.push(at) <= mostCandidates);
    if (candidates.length > mostCandidates) return everywhere(from, to, end, hit);
    if (candidates.length === 0) return;
    const text = memory.window.toString("latin1", 0, end);
    let free = from;
    for (const at of candidates) {
      if (at < free) continue;
      regex.lastIndex = at;
      const [found] = regex.exec(text) ?? [];
      if (found === undefined) continue;
      if (!hit(at, found.length)) return;
      free = at + found.length;
    }
  };
}

function regexEverywhere(source: string, flags: string, memory: ScanMemory): Scanner {
  const regex = new RegExp(source, flags);
  return (from, to, end, hit) => {
    const text = memory.window.toString("latin1", 0, end);
    regex.lastIndex = from;
    for (let match = regex.exec(text); match !== null && match.index < to; match = regex.exec(text)) {
      if (match[0] === "") regex.lastIndex++;
      else if (!hit(match.index, match[0].length)) return;
    }
  };
}
