import type { Notice, OperationContext, Progress } from "./progress.ts";

/** Milliseconds between two reports of progress in one phase. */
const REPORT = 100;

/** What an operation tells on its way: progress, not too often, and notices, which also come with its result. */
export class Reporter {
  readonly notices: Notice[] = [];
  readonly #context: OperationContext;
  readonly #began = performance.now();
  readonly #state: () => Pick<Progress, "bytes" | "total" | "round">;
  #phase: Progress["phase"] | null = null;
  #reported = 0;

  /** @param state how far the operation is; asked when a report is due */
  constructor(context: OperationContext, state: () => Pick<Progress, "bytes" | "total" | "round">) {
    this.#context = context;
    this.#state = state;
  }

  /** Milliseconds since the operation began. */
  get elapsed(): number {
    return performance.now() - this.#began;
  }

  /** A phase begins; it is reported at once. Entering it again does nothing. */
  enter(phase: Progress["phase"]): void {
    if (phase === this.#phase) return;
    this.#phase = phase;
    this.#reported = 0;
    this.report();
  }

  /** Something has moved. */
  report(): void {
    const { onProgress } = this.#context;
    const now = performance.now();
    if (onProgress === undefined || this.#phase === null || now - this.#reported < REPORT) return;
    this.#reported = now;
    onProgress({ phase: this.#phase, ...this.#state(), elapsed: this.elapsed });
  }

  readonly notice = (notice: Notice): void => {
    this.notices.push(notice);
    this.#context.onNotice?.(notice);
  };

  note(level: Notice["level"], code: string, message: string): void {
    this.notice({ level, code, message });
  }
}
