/** One entry that was looked at on the way through the page tables. */
export interface WalkStep {
  /** 5 to 1 on x86 (PML5 to page table), 0 to 3 on ARM, as the manuals count. */
  readonly level: number;
  /** The table's name in the manuals: PML4, PDPT, PD, PT; on ARM `level 1`. */
  readonly name: string;
  /** Guest-physical address of the entry. */
  readonly at: number;
  readonly index: number;
  readonly entry: bigint;
}

/** What the guest may do with a page: all levels taken together. */
export interface PageRights {
  readonly write: boolean;
  /** By code of the lowest privilege. */
  readonly user: boolean;
  readonly execute: boolean;
}

export interface Mapped {
  readonly mapped: true;
  /** The virtual address that was asked for. */
  readonly virtual: bigint;
  /** Guest-physical address of that byte. */
  readonly physical: number;
  /** Bytes of the page that holds it; 0 where there is no paging. */
  readonly pageSize: number;
  readonly rights: PageRights;
  /** The leaf's own marks, short names: `global`, `accessed`, `dirty`, `write-through`, `cache-disable`, ... */
  readonly marks: readonly string[];
  readonly steps: readonly WalkStep[];
}

export interface NotMapped {
  readonly mapped: false;
  readonly virtual: bigint;
  /** As the messages of errors: small, without a full stop. */
  readonly reason: string;
  readonly steps: readonly WalkStep[];
}

export type Translation = Mapped | NotMapped;
