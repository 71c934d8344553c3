/** One progress model; the command line renders it as a bar or as NDJSON, a library caller as it likes. */
export interface Progress {
  /** What is going on now, in the order of the operation. */
  readonly phase:
    | "preflight"
    | "connect"
    | "ram"
    | "switchover"
    | "device-state"
    | "sync"
    | "commit"
    | "start"
    | "load"
    | "verify"
    | "compare"
    | "search"
    | "seal"
    | "finish";
  /** Bytes of page data moved so far in this phase, and how many are expected (0: not known). */
  readonly bytes: number;
  readonly total: number;
  /** Dirty rounds begun, from 1; 0 before the first. */
  readonly round: number;
  /** Milliseconds since the operation began. */
  readonly elapsed: number;
}

/** Something the user should know that is not the answer: one sentence, with a stable code for tools. */
export interface Notice {
  readonly level: "note" | "warning";
  readonly code: string;
  readonly message: string;
}

/** What every operation takes besides its own options. */
export interface OperationContext {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  readonly onNotice?: (notice: Notice) => void;
}
