import { commandLengths, SectionType } from "./constants.ts";

/** Longest early device section that is looked for, bytes of payload. */
export const MAX_EARLY = 2 ** 20;

/**
 * An early FULL (virtio-mem writes one between the STARTs and the first PART) is not self-delimiting, and the vmdesc that
 * knows its length comes last. Its end is taken to be the first footer with its id that is followed by a valid section
 * header; the vmdesc confirms or refuses that when it arrives.
 *
 * @param known ids of the sections that a PART or END may continue
 * @returns the place of the footer relative to `off`; or -1 - n when that needs more bytes, n being where to look again
 */
export function findEarlyFooter(
  bytes: Uint8Array,
  view: DataView,
  off: number,
  end: number,
  from: number,
  sectionId: number,
  known: (id: number) => boolean,
): number {
  const within = bytes.subarray(0, end);
  let at = off + from;
  for (;;) {
    at = within.indexOf(SectionType.footer, at);
    if (at === -1) return -1 - (end - off);
    if (at + 5 > end) return -1 - (at - off);
    if (view.getUint32(at + 1) === sectionId) {
      const verdict = looksLikeSection(within, view, at + 5, end, sectionId, known);
      if (verdict === "yes") return at - off;
      if (verdict === "more") return -1 - (at - off);
    }
    at++;
  }
}

type Verdict = "yes" | "no" | "more";

function looksLikeSection(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  end: number,
  sectionId: number,
  known: (id: number) => boolean,
): Verdict {
  if (at + 1 > end) return "more";
  switch (bytes[at]) {
    case SectionType.part:
    case SectionType.end:
      if (at + 5 > end) return "more";
      return known(view.getUint32(at + 1)) ? "yes" : "no";
    case SectionType.start:
    case SectionType.full:
      return looksLikeHeader(view, at, end, sectionId, known);
    case SectionType.command: {
      if (at + 5 > end) return "more";
      const lengths = commandLengths[view.getUint16(at + 1)];
      if (lengths === undefined) return "no";
      return lengths === null || lengths.includes(view.getUint16(at + 3)) ? "yes" : "no";
    }
    default:
      return "no";
  }
}

function looksLikeHeader(
  view: DataView,
  at: number,
  end: number,
  sectionId: number,
  known: (id: number) => boolean,
): Verdict {
  if (at + 6 > end) return "more";
  const id = view.getUint32(at + 1);
  const length = view.getUint8(at + 5);
  if (id === sectionId || known(id) || length === 0) return "no";
  if (at + 6 + length > end) return "more";
  for (let i = at + 6; i < at + 6 + length; i++) {
    const byte = view.getUint8(i);
    if (byte < 0x20 || byte > 0x7e) return "no";
  }
  return "yes";
}
