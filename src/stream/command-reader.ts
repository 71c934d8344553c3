import { getU64, viewOf } from "../bytes/cursor.ts";
import { Command, commandLengths } from "./constants.ts";
import type { Limits } from "./events.ts";
import type { PageOutput } from "./page-output.ts";
import type { PushCore, Step } from "./push.ts";

/** Parses COMMAND sections and remembers what POSTCOPY_ADVISE says about page sizes. */
export class CommandReader {
  readonly #core: PushCore;
  readonly #out: PageOutput;
  readonly #limits: Limits;
  readonly #hostPageSize: number;
  readonly #done: () => void;
  #hugePageSizes: readonly number[] = [];

  constructor(core: PushCore, out: PageOutput, limits: Limits, hostPageSize: number, done: () => void) {
    this.#core = core;
    this.#out = out;
    this.#limits = limits;
    this.#hostPageSize = hostPageSize;
    this.#done = done;
  }

  /** Page sizes (bytes) above the host's that POSTCOPY_ADVISE announced. */
  get hugePageSizes(): readonly number[] {
    return this.#hugePageSizes;
  }

  readonly step: Step = (buf, view, off) => {
    const core = this.#core;
    if (!core.has(5)) return 0;
    const command = view.getUint16(off + 1);
    const length = view.getUint16(off + 3);
    const allowed = commandLengths[command];
    if (allowed === undefined) {
      throw core.error("stream.unknown-command", "a command is not known", { found: String(command) });
    }
    if (allowed !== null && !allowed.includes(length)) {
      const details = { expected: `${allowed.join(" or ")} bytes`, found: `${length} bytes` };
      throw core.error("stream.command-length", `command ${command} has a wrong length`, details, 3);
    }
    if (!core.has(5 + length)) return 0;
    let end = 5 + length;
    let packaged: Uint8Array | null = null;
    if (command === Command.packaged) {
      const size = view.getUint32(off + 5);
      if (size > this.#limits.maxDeviceState) {
        const details = { expected: `at most ${this.#limits.maxDeviceState} bytes`, found: `${size} bytes` };
        throw core.error("stream.packaged-too-large", "a packaged command is larger than the limit", details, 5);
      }
      if (!core.has(end + size)) return 0;
      packaged = buf.slice(off + end, off + end + size);
      end += size;
    }
    const data = buf.slice(off + 5, off + 5 + length);
    if (command === Command.postcopyAdvise && length === 16) this.#advise(data);
    this.#out.record({ kind: "command", command, data, packaged });
    this.#done();
    return end;
  };

  /** The first word is the OR of every block's page size. */
  #advise(data: Uint8Array): void {
    const summary = getU64(viewOf(data), 0);
    if (!Number.isSafeInteger(summary)) {
      throw this.#core.error("stream.number-too-large", "a page size is larger than 2^53 - 1", {}, 5);
    }
    const sizes: number[] = [];
    for (let size = this.#hostPageSize * 2; size <= summary; size *= 2) {
      if (Math.floor(summary / size) % 2 === 1) sizes.push(size);
    }
    this.#hugePageSizes = sizes;
  }
}
