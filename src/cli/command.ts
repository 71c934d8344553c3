import { FixedramError } from "../errors.ts";
import type { Notice, OperationContext } from "../operations/progress.ts";
import type { CommandDefinition } from "./definitions/index.ts";
import { type Colors, colorsFor } from "./render/colors.ts";
import { writeJson, writeJsonNotice, writeJsonProgress } from "./render/json.ts";
import { noProgress, type ProgressView, progressBar, progressLines } from "./render/progress.ts";
import { safe } from "./render/safe.ts";
import { columnsOf, type Surroundings } from "./terminal.ts";
import { parseCount, parseSize, parseTime } from "./values.ts";

/** What was given on the command line, checked and typed as it is asked for. */
export interface Given {
  /** The words that are not options. */
  readonly words: readonly string[];
  /** Option values by their name without dashes; a switch is true. */
  readonly options: Readonly<Record<string, unknown>>;
  /** What stood after `--`; null when there was no `--`. */
  readonly tail: readonly string[] | null;
}

/** One run of one command: its arguments, and the ways it may answer. */
export class Invocation {
  readonly definition: CommandDefinition;
  readonly around: Surroundings;
  readonly tail: readonly string[] | null;
  readonly #given: Given;
  readonly #told = new Set<string>();
  #view: ProgressView = noProgress;

  constructor(definition: CommandDefinition, given: Given, around: Surroundings) {
    this.definition = definition;
    this.around = around;
    this.tail = given.tail;
    this.#given = given;
  }

  get json(): boolean {
    return this.flag("json");
  }

  get quiet(): boolean {
    return this.flag("quiet");
  }

  word(index: number): string {
    const word = this.#given.words[index];
    if (word === undefined) throw new FixedramError("usage.missing-argument", "an argument is missing");
    if (word === "") throw empty(this.definition.arguments[index]?.name ?? "");
    return word;
  }

  /** A word that may be left out. */
  wordIf(index: number): string | undefined {
    return this.#given.words[index] === undefined ? undefined : this.word(index);
  }

  flag(name: string): boolean {
    return this.#given.options[name] === true;
  }

  text(name: string): string | undefined {
    const value = this.#given.options[name];
    if (value === "") throw empty(`--${name}`);
    return typeof value === "string" ? value : undefined;
  }

  /** An option that must be there. */
  required(name: string): string {
    const value = this.text(name);
    if (value !== undefined) return value;
    const wanted = this.definition.options.find((option) => option.name === name)?.value?.name ?? "";
    throw new FixedramError("usage.missing-option", `--${name} is missing`, {
      expected: `--${name} ${wanted}`,
      hint: this.definition.examples[0]?.command ?? `fixedram ${this.definition.name} --help`,
    });
  }

  choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const chosen = choices.find((choice) => choice === value);
    if (chosen === undefined) throw badChoice(`--${name}`, value, choices);
    return chosen;
  }

  size(name: string): number | undefined {
    const value = this.text(name);
    return value === undefined ? undefined : parseSize(value, `--${name}`);
  }

  time(name: string): number | undefined {
    const value = this.text(name);
    return value === undefined ? undefined : parseTime(value, `--${name}`);
  }

  count(name: string, least?: number, most?: number): number | undefined {
    const value = this.text(name);
    return value === undefined ? undefined : parseCount(value, `--${name}`, least, most);
  }

  /** Progress, notices and the signal for an operation. */
  async context(): Promise<Required<OperationContext>> {
    const { stderr, signals } = this.around;
    if (this.quiet) this.#view = noProgress;
    else if (this.json) this.#view = progressLines((p) => writeJsonProgress(stderr, this.definition.name, p));
    else if (stderr.isTTY === true) this.#view = await progressBar(stderr);
    return {
      signal: signals.abort,
      onProgress: (progress) => this.#view.show(progress),
      onNotice: (notice) => this.notice(notice),
    };
  }

  /** Something else than progress is shown on the terminal; notices are written above it. */
  watch(view: ProgressView): void {
    this.#view = view;
  }

  /** Says something that is not the answer on standard error; each notice once. */
  notice(notice: Notice): void {
    const key = `${notice.code} ${notice.message}`;
    if (this.#told.has(key) || (this.quiet && notice.level === "note")) return;
    this.#told.add(key);
    this.#view.pause();
    const { stderr, env } = this.around;
    if (this.json) {
      writeJsonNotice(stderr, this.definition.name, notice);
      return;
    }
    const colors = colorsFor(stderr, env);
    const label = notice.level === "warning" ? colors.yellow("warning:") : colors.dim("note:");
    stderr.write(`${label} ${safe(notice.message)}\n`);
  }

  /** Takes the progress off the terminal. */
  settle(): void {
    this.#view.pause();
  }

  /** The answer, as `--json` or as text for a person; with `--quiet` no text. */
  answer(json: object, text: (colors: Colors, columns: number) => string, schema = this.definition.name): void {
    this.settle();
    const { stdout, env } = this.around;
    if (this.json) writeJson(stdout, schema, json);
    else if (!this.quiet) stdout.write(text(colorsFor(stdout, env), columnsOf(stdout)));
  }
}

export function badChoice(what: string, found: string, choices: readonly string[]): FixedramError {
  return new FixedramError("usage.bad-choice", `${what} knows no such value`, { found, expected: choices.join(", ") });
}

/** A command's own part: does it, answers, and gives the exit code. */
export type Run = (invocation: Invocation) => Promise<number>;

function empty(name: string): FixedramError {
  return new FixedramError("usage.empty", `${name} is empty`, {
    hint: "Often a variable of the shell's that is not set: give a real value.",
  });
}
