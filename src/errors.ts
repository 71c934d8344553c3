/**
 * Every failure that fixedram reports is a {@link FixedramError}: a stable code, one sentence, where it was found and what to do.
 *
 * The codes are listed with their meaning in docs/errors/; a test holds that list complete. An error survives structured
 * cloning between threads and processes through {@link FixedramError.toJSON} and {@link FixedramError.from}.
 */

/** Exit codes of the command line, as documented in docs/cli.md. */
export const ExitCode = {
  ok: 0,
  /** The answer is "differs" or "damaged". */
  differs: 1,
  usage: 2,
  /** Not a snapshot that can be read: damaged structure, another format, an unknown version. */
  notReadable: 3,
  /** QEMU or QMP refused or failed. */
  qemu: 4,
  /** The system refused: permission, disk full, missing program. */
  system: 5,
  interrupted: 130,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/**
 * The part of a code before the dot says who is at fault, and with it the exit code.
 *
 * `usage` the caller; `stream`, `file`, `seal` the input's bytes; `qmp`, `qemu`, `guest` the other side; `system` the machine.
 */
const exitCodeOfArea: Readonly<Record<string, ExitCode>> = {
  usage: ExitCode.usage,
  stream: ExitCode.notReadable,
  file: ExitCode.notReadable,
  seal: ExitCode.notReadable,
  qmp: ExitCode.qemu,
  qemu: ExitCode.qemu,
  guest: ExitCode.qemu,
  system: ExitCode.system,
  interrupted: ExitCode.interrupted,
};

/** Where an error was found and what was found there; only the fields that apply are set. */
export interface ErrorDetails {
  /** File, socket or folder as the user named it. */
  readonly path?: string;
  /** Byte offset in the file or stream. */
  readonly offset?: number;
  /** RAM block name (bytes as latin1; escaped only when shown). */
  readonly block?: string;
  /** Page index in the block. */
  readonly page?: number;
  readonly expected?: string;
  readonly found?: string;
  /** What the user can do about it: whole sentences. */
  readonly hint?: string;
  /** The other side's own words: QEMU's or the system's message, unchanged. */
  readonly said?: string;
}

export interface ErrorJson extends ErrorDetails {
  readonly code: string;
  readonly message: string;
}

export class FixedramError extends Error {
  override readonly name = "FixedramError";
  /** `area.what`, for example `stream.bad-magic`. */
  readonly code: string;
  readonly details: ErrorDetails;

  /**
   * @param code `area.what`, listed in docs/errors/
   * @param message one sentence that stands without the details
   */
  constructor(code: string, message: string, details: ErrorDetails = {}, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.details = details;
  }

  get exitCode(): ExitCode {
    return exitCodeOfArea[this.code.split(".", 1)[0] ?? ""] ?? ExitCode.system;
  }

  toJSON(): ErrorJson {
    return { code: this.code, message: this.message, ...this.details };
  }

  static from(json: ErrorJson): FixedramError {
    const { code, message, ...details } = json;
    return new FixedramError(code, message, details);
  }
}

/**
 * Wraps what Node's file and socket calls throw, so that the path and the system's own word (ENOSPC, EACCES) are kept.
 *
 * @param doing what was tried, as the beginning of the message: `opening the file`
 * @param hint where more is known than what goes for every such error
 */
export function systemError(error: unknown, path: string, doing: string, hint?: string): FixedramError {
  if (error instanceof FixedramError) return error;
  const errno = error as NodeJS.ErrnoException;
  const name = errno.code ?? "unknown";
  const code = systemCodes[name] ?? "system.io";
  const advice = hint ?? hints[code];
  return new FixedramError(
    code,
    `${doing} failed: ${name}`,
    { path, said: errno.message ?? String(error), ...(advice === undefined ? {} : { hint: advice }) },
    { cause: error },
  );
}

const hints: Readonly<Record<string, string>> = {
  "system.disk-full": "Free some space, or save to another filesystem.",
  "system.permission": "Look at the permissions of that path, or run this as its owner.",
  "system.not-found": "Look whether the name is right.",
};

const systemCodes: Readonly<Record<string, string>> = {
  ENOSPC: "system.disk-full",
  EDQUOT: "system.disk-full",
  EACCES: "system.permission",
  EPERM: "system.permission",
  EROFS: "system.permission",
  ENOENT: "system.not-found",
  ENOTDIR: "system.not-found",
};

/** The same error with a path, unless it names one: parsers know offsets, not files. */
export function withPath(error: unknown, path: string): unknown {
  if (!(error instanceof FixedramError) || error.details.path !== undefined) return error;
  return new FixedramError(error.code, error.message, { path, ...error.details }, { cause: error.cause });
}
