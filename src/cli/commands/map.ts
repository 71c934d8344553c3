import { ExitCode } from "../../errors.ts";
import type { Invocation } from "../command.ts";
import { mapText } from "../render/map.ts";
import { safe } from "../render/safe.ts";
import { columnsOf } from "../terminal.ts";
import { lookOptions } from "./info.ts";

export async function run(invocation: Invocation): Promise<number> {
  const path = invocation.word(0);
  const block = invocation.text("block");
  const out = invocation.text("export");
  // Two columns for the bars.
  const width = invocation.count("width", 10, 10_000) ?? Math.max(10, columnsOf(invocation.around.stdout) - 2);
  const { mapOf } = invocation.around.operations;
  const { keepIndex, ...place } = lookOptions(invocation);
  const blocks = await mapOf(path, {
    // Block names are bytes, kept as latin1.
    ...(block === undefined ? {} : { block: Buffer.from(block, "utf8").toString("latin1") }),
    width,
    ...place,
    ...(keepIndex === undefined ? {} : { keepIndex }),
    ...(await invocation.context()),
  });
  if (out !== undefined) {
    const { exportMap } = invocation.around.operations;
    await exportMap({ file: path, out, ...place, signal: invocation.around.signals.abort });
  }
  invocation.answer({ path, exported: out ?? null, blocks }, (colors) =>
    out === undefined ? mapText(blocks, colors) : `${safe(out)}\n`,
  );
  return ExitCode.ok;
}
