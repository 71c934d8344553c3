import { readFileSync } from "node:fs";
import { FixedramError, systemError } from "../errors.ts";
import { type ConvertResult, convert } from "../operations/convert.ts";
import { type GdbResult, gdb } from "../operations/gdb.ts";
import type { ConvertCall, GdbCall } from "./operations.ts";

/** `fixedram convert` with `-` for this process's own standard input and output. */
export async function convertHere(call: ConvertCall): Promise<ConvertResult> {
  const { input, output, xml, ...rest } = call;
  if (input === "-") refuseTerminal(process.stdin.isTTY, "standard input", "qemu ... | fixedram convert - OUT.fram");
  if (output === "-") refuseTerminal(process.stdout.isTTY, "standard output", "fixedram convert IN - | ...");
  const definition = xml === undefined ? {} : { xml: readXml(xml) };
  try {
    return await convert({
      input: input === "-" ? process.stdin : input,
      output: output === "-" ? process.stdout : output,
      ...rest,
      ...definition,
    });
  } finally {
    // Left open it would keep this process, waiting for what nobody reads.
    if (input === "-") process.stdin.destroy();
  }
}

/** `fixedram gdb`, with --stdio on this process's own standard input and output. */
export async function gdbHere({ stdio, ...call }: GdbCall): Promise<GdbResult> {
  if (!stdio) return await gdb(call);
  refuseTerminal(process.stdin.isTTY, "standard input", "target remote | fixedram gdb FILE --stdio");
  try {
    return await gdb({ ...call, stdio: { input: process.stdin, output: process.stdout } });
  } finally {
    process.stdin.destroy();
  }
}

function refuseTerminal(isTerminal: boolean | undefined, what: string, example: string): void {
  if (isTerminal !== true) return;
  throw new FixedramError("usage.terminal", `${what} is a terminal, not a stream`, {
    hint: `Use a pipe or a file: ${example}`,
  });
}

function readXml(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw systemError(error, path, "reading the domain's definition");
  }
}
