/** Unpacking what libvirt packed: gzip by Node, the others by the programs that libvirt itself runs. */
import { spawn } from "node:child_process";
import { pipeline, Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { FixedramError } from "../errors.ts";
import type { LibvirtFormat } from "./header.ts";

export type CompressedFormat = Exclude<LibvirtFormat, "raw" | "sparse">;

const outputPiece = 256 * 1024;
/** Bytes of a program's complaints that are kept. */
const maxSaid = 4096;

interface Tool {
  readonly program: string;
  readonly args: readonly string[];
  /** Debian's name of the package. */
  readonly package: string;
}

/** xz would take 4 GiB if the file asks for it (its own -9 needs 65 MiB); zstd and bzip2 have small limits of their own. */
const tools: Readonly<Record<Exclude<CompressedFormat, "gzip">, Tool>> = {
  bzip2: { program: "bzip2", args: ["-dc"], package: "bzip2" },
  xz: { program: "xz", args: ["-dc", "--memlimit-decompress=512MiB"], package: "xz-utils" },
  lzop: { program: "lzop", args: ["-dc"], package: "lzop" },
  zstd: { program: "zstd", args: ["-dcq"], package: "zstd" },
};

/**
 * Unpacks `input` to its end. The program, if there is one, has ended when the generator has, however that comes.
 *
 * @throws `file.libvirt-compressed` when the packed bytes are damaged or cut; `system.program-missing`,
 *   `system.program-failed`; the signal's reason; what `input` throws
 */
export function decompress(
  format: CompressedFormat,
  input: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  return format === "gzip" ? gunzip(input, signal) : throughProgram(tools[format], input, signal);
}

async function* gunzip(input: AsyncIterable<Uint8Array>, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const unpacked = createGunzip({ chunkSize: outputPiece });
  const source = sourceOf(input);
  pipeline(source.readable, unpacked, () => {});
  try {
    for await (const chunk of unpacked) {
      signal?.throwIfAborted();
      yield chunk as Uint8Array;
    }
  } catch (error) {
    signal?.throwIfAborted();
    source.rethrow();
    const { code = "", message } = error as NodeJS.ErrnoException;
    if (!code.startsWith("Z_")) throw error;
    throw damaged("gzip", message);
  } finally {
    unpacked.destroy();
  }
}

async function* throughProgram(
  tool: Tool,
  input: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  const child = spawn(tool.program, tool.args, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, LC_ALL: "C" },
  });
  const kill = () => void child.kill("SIGKILL");
  signal?.addEventListener("abort", kill, { once: true });
  let said = "";
  child.stderr.setEncoding("latin1").on("data", (text: string) => {
    said = (said + text).slice(0, maxSaid);
  });
  const ended = new Promise<{
    readonly error: Error | null;
    readonly code: number | null;
    readonly signal: string | null;
  }>((resolve) => {
    child.once("error", (error) => resolve({ error, code: null, signal: null }));
    child.once("close", (code, killer) => resolve({ error: null, code, signal: killer }));
  });
  const source = sourceOf(input);
  // A program that ends early makes writing fail; why it ended is told by its exit status.
  pipeline(source.readable, child.stdin, () => {});
  try {
    for await (const chunk of child.stdout) yield chunk as Uint8Array;
    const end = await ended;
    signal?.throwIfAborted();
    source.rethrow();
    if (end.error !== null) throw notStarted(tool, end.error);
    if (end.signal !== null) {
      throw new FixedramError(
        "system.program-failed",
        `${tool.program} was ended by ${end.signal}`,
        said === "" ? {} : { said },
      );
    }
    if (end.code !== 0) throw damaged(tool.program, said.trim());
  } finally {
    signal?.removeEventListener("abort", kill);
    kill();
    await ended;
  }
}

/** The input as a stream, and its own failure to be thrown again: streams wrap or lose it on the way. */
function sourceOf(input: AsyncIterable<Uint8Array>): { readonly readable: Readable; rethrow(): void } {
  let failure: { readonly error: unknown } | null = null;
  async function* watched(): AsyncGenerator<Uint8Array> {
    try {
      yield* input;
    } catch (error) {
      failure = { error };
      throw error;
    }
  }
  return {
    readable: Readable.from(watched(), { highWaterMark: 2 }),
    rethrow: () => {
      if (failure !== null) throw failure.error;
    },
  };
}

function notStarted(tool: Tool, error: NodeJS.ErrnoException): FixedramError {
  if (error.code !== "ENOENT") {
    return new FixedramError(
      "system.program-failed",
      `${tool.program} could not be started`,
      { said: error.message },
      { cause: error },
    );
  }
  return new FixedramError(
    "system.program-missing",
    `${tool.program} is needed to read this save image, and is not installed`,
    { expected: `${tool.program} on PATH`, hint: `Install it (Debian's package: ${tool.package}).` },
    { cause: error },
  );
}

function damaged(program: string, said: string): FixedramError {
  return new FixedramError(
    "file.libvirt-compressed",
    `the save image's compressed part is damaged or cut, says ${program}`,
    {
      ...(said === "" ? {} : { said }),
      hint: "Take the file from its source again.",
    },
  );
}
