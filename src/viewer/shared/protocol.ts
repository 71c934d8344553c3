/** What the page and its server say to each other (docs/viewer.md). */
import type { Order } from "./grid.ts";

/** Layers of the map that come as tiles. */
export const layers = ["data", "absent", "changed", "added", "gone", "damaged", "entropy"] as const;
export type LayerName = (typeof layers)[number];

/** What the bytes of a page look like; a tile of the layer `entropy` has these numbers. */
export const contentClasses = ["none", "zero", "text", "code", "structured", "packed", "random", "absent"] as const;
export type ContentClass = (typeof contentClasses)[number];

/** Kinds of a page, as GET api/pages tells them: the numbers of ExtentKind. */
export const PageKind = { zero: 0, data: 1, absent: 2 } as const;

/** A name from the file, as bytes and as it may be shown. */
export interface Named {
  /** Bytes as latin1, one character a byte. */
  readonly name: string;
  /** Control characters and everything beyond ASCII escaped. */
  readonly label: string;
}

export interface ViewBlock extends Named {
  readonly index: number;
  /** Bytes. */
  readonly length: number;
  readonly pageSize: number;
  readonly pages: number;
  /** Pages that hold data, and pages that the file says nothing about. */
  readonly present: number;
  readonly absent: number;
  /** Where its pages lie in the file, bytes; null where they have no fixed place. */
  readonly pagesOffset: number | null;
}

export interface ViewRange {
  /** Guest-physical address and length, bytes. */
  readonly start: number;
  readonly length: number;
  /** Index of the RAM block, and the byte in it that `start` stands for. */
  readonly block: number;
  readonly offset: number;
  readonly readOnly: boolean;
}

export interface ViewMemoryMap {
  readonly ranges: readonly ViewRange[];
  /** Where it comes from, a sentence. */
  readonly note: string;
}

export interface ViewSeal {
  readonly state: "sealed" | "none" | "half" | "damaged" | "stale";
  readonly id: string | null;
  /** Why it cannot be relied on. */
  readonly reason: string | null;
}

export interface ViewFile {
  readonly path: string;
  readonly container: string;
  /** Bytes. */
  readonly size: number;
  readonly allocated: number | null;
  readonly ram: number;
  readonly machine: string;
  readonly runState: string | null;
  readonly blocks: readonly ViewBlock[];
  readonly memory: ViewMemoryMap | null;
  readonly seal: ViewSeal;
  readonly devices: number;
  readonly cpus: number;
  /** What was recorded at the save, label and value. */
  readonly facts: readonly (readonly [label: string, value: string])[];
  readonly disks: readonly ViewDisk[];
}

export interface ViewDisk {
  readonly device: string;
  readonly path: string;
  readonly format: string;
  readonly size: number | null;
  readonly mtime: string | null;
  readonly readOnly: boolean;
}

/** GET api/snapshot */
export interface ViewSnapshot {
  readonly version: string;
  readonly file: ViewFile;
  /** What it is compared with. */
  readonly other: ViewFile | null;
  /** What is watched, or was. */
  readonly live: "resume" | "save" | null;
  /** The file is still being written: only its blocks are known, if they are. */
  readonly pending: boolean;
}

/** GET api/tile */
export interface TileQuery {
  readonly block: number;
  readonly order: Order;
  readonly level: number;
  readonly x: number;
  readonly y: number;
  readonly layers: readonly LayerName[];
}

/** Largest GET api/pages. */
export const mostPages = 256;

/** What GET api/check ends with. */
export interface ViewCheck {
  readonly ok: boolean;
  readonly deep: boolean;
  readonly state: ViewSeal["state"];
  /** Bytes by what holds them; null without a seal to go by. */
  readonly coverage: {
    readonly pages: number;
    readonly regions: number;
    readonly tables: number;
    readonly seal: number;
    readonly uncovered: number;
  } | null;
  readonly size: number;
  readonly problems: readonly ViewProblem[];
  readonly left: number;
  readonly unchecked: readonly string[];
  /** Milliseconds. */
  readonly time: number;
}

export interface ViewProblem {
  readonly code: string;
  readonly message: string;
  readonly block: number | null;
  readonly label: string | null;
  readonly page: number | null;
  readonly pages: number | null;
  readonly offset: number | null;
  readonly length: number | null;
}

/** Hits that GET api/search tells at most. */
export const mostHits = 1000;

/** GET api/search: the event `hits` has an array of these. */
export interface ViewHit {
  readonly block: number;
  readonly label: string;
  /** Bytes: the place in the block, and of the match. */
  readonly offset: number;
  readonly length: number;
  readonly physical: number | null;
  /** What stands there, hexadecimal; `before` bytes of it before the match, of which the first 128 bytes are in it at most. */
  readonly bytes: string;
  readonly before: number;
}

/** The events `progress` and `result`. */
export interface ViewSearch {
  readonly hits: number;
  /** There are more than are told. */
  readonly more: boolean;
  /** Bytes of pages with data. */
  readonly searched: number;
  readonly total: number;
  /** Milliseconds. */
  readonly time: number;
}

/** Header of an answer with status 200 that tells what the snapshot cannot answer: a {@link ViewError}. */
export const problemHeader = "fixedram-problem";

/** Any answer that is no success. */
export interface ViewError {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}

/** The event `compare`: how far the comparison with OTHER is. */
export interface ViewComparison {
  readonly done: boolean;
  /** Bytes of pages. */
  readonly bytes: number;
  readonly total: number;
  /** `added`: only in the file; `gone`: only in OTHER; `unknown`: not in one of the files. */
  readonly pages: { readonly changed: number; readonly added: number; readonly gone: number; readonly unknown: number };
  readonly failed: string | null;
}

/** GET api/devices */
export interface ViewDevice {
  readonly label: string;
  readonly instance: number;
  readonly version: number | null;
  /** Bytes. */
  readonly size: number;
  /** Against OTHER; null where there is none. */
  readonly differs: "same" | "changed" | "added" | "gone" | null;
}

/** GET api/device: a line of a device's tree. */
export interface ViewField {
  readonly depth: number;
  readonly name: string;
  readonly type: string;
  /** Null for a heading. */
  readonly value: string | null;
  /** The value in OTHER, where it is another one. */
  readonly other: string | null;
}

export interface ViewDeviceTree {
  readonly fields: readonly ViewField[];
  /** Lines that were left out. */
  readonly left: number;
}

/** GET api/cpus */
export interface ViewCpu {
  readonly index: number;
  readonly state: readonly string[];
  readonly groups: readonly ViewRegisters[];
}

export interface ViewRegisters {
  readonly title: string;
  /** Name, value, and the value in OTHER where it is another one. */
  readonly registers: readonly (readonly [name: string, value: string, other: string | null])[];
}

/** GET api/translate */
export interface ViewTranslation {
  readonly block: number;
  /** Bytes from the block's start. */
  readonly offset: number;
  readonly physical: number;
  readonly pageSize: number;
  readonly rights: string;
}
