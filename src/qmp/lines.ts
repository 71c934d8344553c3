import { FixedramError } from "../errors.ts";

/** QEMU's longest answers (query-qmp-schema) are some hundred KiB; a line past this is not QMP. */
export const maxLine = 64 * 1024 * 1024;

/** Cuts a byte stream into lines; a character split across chunks stays whole because lines are decoded whole. */
export class LineSplitter {
  #parts: Uint8Array[] = [];
  #held = 0;
  readonly #limit: number;
  readonly #decoder = new TextDecoder();

  /** @param limit bytes a line may have */
  constructor(limit = maxLine) {
    this.#limit = limit;
  }

  /** The beginning of a line whose end has not come. */
  get pending(): string {
    return this.#decoder.decode(join(this.#parts, this.#held));
  }

  /** Takes a chunk (kept until its last line is complete) and returns the lines it ends. Errors: `qmp.line-too-long`. */
  push(chunk: Uint8Array): string[] {
    const lines: string[] = [];
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      this.#hold(chunk.subarray(from, end));
      lines.push(this.pending);
      this.#parts = [];
      this.#held = 0;
      from = end + 1;
    }
    if (from < chunk.length) this.#hold(chunk.subarray(from));
    return lines;
  }

  #hold(part: Uint8Array): void {
    this.#held += part.length;
    if (this.#held > this.#limit) {
      this.#parts = [];
      this.#held = 0;
      throw new FixedramError("qmp.line-too-long", `the other side sent a line of more than ${this.#limit} bytes`, {
        hint: "This is not a QMP socket.",
      });
    }
    this.#parts.push(part);
  }
}

function join(parts: readonly Uint8Array[], length: number): Uint8Array {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
