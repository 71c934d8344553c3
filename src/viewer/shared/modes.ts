import type { SwatchName } from "./palette.ts";
import type { LayerName } from "./protocol.ts";

/** What the map's colours say. */
export const modeNames = ["state", "content", "changes", "seal", "live", "rewrites"] as const;
export type ModeName = (typeof modeNames)[number];

/** A line of a legend; `key` is what the filter switches. */
export interface LegendEntry {
  readonly key: string;
  readonly swatch: SwatchName;
  readonly label: string;
  readonly tells: string;
}

export interface Mode {
  readonly title: string;
  readonly tells: string;
  /** What comes from the server. */
  readonly layers: readonly LayerName[];
  readonly legend: readonly LegendEntry[];
}

const zero: LegendEntry = {
  key: "zero",
  swatch: "zero",
  label: "zero",
  tells: "Every byte is 0; the file has a hole.",
};
const absent: LegendEntry = {
  key: "absent",
  swatch: "absent",
  label: "not in the file",
  tells: "Left out when the guest was saved.",
};
const damaged: LegendEntry = {
  key: "damaged",
  swatch: "damaged",
  label: "damaged",
  tells: "Not as it was when the snapshot was sealed.",
};

export const modes: Readonly<Record<ModeName, Mode>> = {
  state: {
    title: "State",
    tells: "which pages the file holds",
    layers: ["data", "absent", "damaged"],
    legend: [zero, { key: "data", swatch: "data", label: "data", tells: "Stored in the file." }, absent, damaged],
  },
  content: {
    title: "Content",
    tells: "what the bytes look like; above one page a cell, of one page in each",
    layers: ["entropy"],
    legend: [
      zero,
      { key: "text", swatch: "text", label: "text", tells: "Nine of ten bytes are printable." },
      { key: "code", swatch: "code", label: "code", tells: "Looks like x86 machine code." },
      { key: "structured", swatch: "structured", label: "structured", tells: "Other data with a pattern to it." },
      { key: "packed", swatch: "packed", label: "compressed", tells: "Entropy above 7.2 bits a byte, uneven." },
      { key: "random", swatch: "random", label: "random", tells: "As even as chance: encrypted, or random." },
      absent,
    ],
  },
  changes: {
    title: "Changes",
    tells: "what differs from the other snapshot",
    layers: ["data", "changed", "added", "gone"],
    legend: [
      { ...zero, label: "zero in both" },
      { key: "unchanged", swatch: "unchanged", label: "the same", tells: "The same bytes in both." },
      { key: "changed", swatch: "changed", label: "changed", tells: "Other bytes than in the other snapshot." },
      { key: "added", swatch: "added", label: "only here", tells: "Zero in the other snapshot." },
      { key: "gone", swatch: "gone", label: "only there", tells: "Zero here, not in the other snapshot." },
    ],
  },
  seal: {
    title: "Seal",
    tells: "what the seal's digests cover, and what a check found",
    layers: ["data", "damaged"],
    legend: [
      zero,
      { key: "uncovered", swatch: "uncovered", label: "no digest", tells: "The file has no seal that covers it." },
      { key: "covered", swatch: "covered", label: "has a digest", tells: "Not read yet: run the deep check." },
      { key: "intact", swatch: "intact", label: "as sealed", tells: "Read, and the same as its digest." },
      damaged,
    ],
  },
  live: {
    title: "Live",
    tells: "how pages came into the guest",
    layers: ["data"],
    legend: [
      zero,
      { key: "waiting", swatch: "waiting", label: "not in yet", tells: "Has data, and is still on its way." },
      { key: "faulted", swatch: "faulted", label: "faulted", tells: "The guest wanted it and waited." },
      { key: "along", swatch: "along", label: "brought along", tells: "Sent with a neighbour that was faulted." },
      {
        key: "prefetched",
        swatch: "prefetched",
        label: "prefetched",
        tells: "Sent ahead, as the guest used it before.",
      },
      { key: "pushed", swatch: "pushed", label: "pushed", tells: "Sent in the background." },
    ],
  },
  rewrites: {
    title: "Rewrites",
    tells: "how often a page came again while the guest was saved",
    layers: [],
    legend: [
      { ...zero, tells: "Every byte is 0." },
      { key: "waiting", swatch: "waiting", label: "not here yet", tells: "No word of it yet." },
      { key: "cold", swatch: "cold", label: "once", tells: "Written once." },
      { key: "hot", swatch: "hot", label: "again and again", tells: "The guest kept writing to it." },
    ],
  },
};
