/** What a command line is made of: what the tables beside this file are written in. */

export interface ArgumentDefinition {
  readonly name: string;
  readonly kind: ValueKind;
  readonly required: boolean;
  readonly text: string;
  readonly choices?: readonly string[];
}

/** What a value is: decides how it is checked and what a shell completes. */
export type ValueKind = "size" | "time" | "count" | "text" | "snapshot" | "file" | "folder" | "socket" | "choice";

export interface OptionDefinition {
  /** Without the dashes. */
  readonly name: string;
  readonly short?: string;
  /** Absent: a switch. */
  readonly value?: { readonly name: string; readonly kind: ValueKind; readonly choices?: readonly string[] };
  readonly text: string;
  readonly required?: boolean;
}

export interface Example {
  readonly command: string;
  readonly text: string;
}

export interface CommandDefinition {
  readonly name: string;
  readonly summary: string;
  /** Paragraphs. */
  readonly description: readonly string[];
  readonly arguments: readonly ArgumentDefinition[];
  /** What may follow `--`. */
  readonly tail?: { readonly name: string; readonly text: string };
  readonly options: readonly OptionDefinition[];
  readonly examples: readonly Example[];
}
