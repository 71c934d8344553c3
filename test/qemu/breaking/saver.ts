/** One `fixedram save --json` as a user runs it, watched through what it says about its phases. */
import { type CliRun, startFixedram } from "../harness/index.ts";

/** The phases a save goes through, in their order (src/operations/progress.ts; a save has no phase `switchover` of its own). */
export const PHASES = ["preflight", "connect", "ram", "device-state", "sync", "commit", "finish"] as const;
/** The same, and what comes in between where QEMU writes the file itself. */
const ORDER = ["preflight", "connect", "ram", "device-state", "seal", "sync", "commit", "finish"] as const;
export type Phase = (typeof ORDER)[number];

export interface SaverEnd extends CliRun {
  /** The last phase it spoke of; null: none yet. */
  readonly phase: Phase | null;
  /** Codes of the notices it gave. */
  readonly notices: readonly string[];
  /** What it wrote as its answer, or the error in it. */
  readonly answer: Answer | null;
}

export interface Answer {
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string; readonly path?: string };
  readonly runState?: { readonly before: string; readonly after: string };
  readonly [name: string]: unknown;
}

export class Saver {
  readonly pid: number;
  readonly ended: Promise<SaverEnd>;
  #phase: Phase | null = null;
  readonly #notices: string[] = [];
  readonly #waiting: { readonly phase: Phase; readonly act: () => void }[] = [];
  #rest = "";

  constructor(args: readonly string[], env: Record<string, string>) {
    const { child, ended } = startFixedram(["save", ...args, "--json"], env);
    this.pid = child.pid ?? -1;
    child.stderr.on("data", (text: string) => this.#take(text));
    this.ended = ended.then((run) => ({
      ...run,
      phase: this.#phase,
      notices: this.#notices,
      answer: run.stdout.trim() === "" ? null : (JSON.parse(run.stdout) as Answer),
    }));
  }

  get phase(): Phase | null {
    return this.#phase;
  }

  /** Does `act` when the saver has said that it entered `phase` (or a later one), in the same turn. */
  when(phase: Phase, act: () => void): void {
    if (this.#phase !== null && ORDER.indexOf(this.#phase) >= ORDER.indexOf(phase)) act();
    else this.#waiting.push({ phase, act });
  }

  /** Resolves when the saver is in `phase` or past it; at its end too. */
  async reached(phase: Phase): Promise<void> {
    await Promise.race([new Promise<void>((resolve) => this.when(phase, resolve)), this.ended]);
  }

  signal(name: NodeJS.Signals): void {
    try {
      process.kill(this.pid, name);
    } catch {
      // It has ended.
    }
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("{")) continue;
      const said = JSON.parse(line) as { phase?: Phase; code?: string };
      if (said.code !== undefined) this.#notices.push(said.code);
      if (said.phase === undefined) continue;
      this.#phase = said.phase;
      for (const { phase, act } of this.#waiting.splice(0)) this.when(phase, act);
    }
  }
}
