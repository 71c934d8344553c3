import { ExitCode, FixedramError } from "../../errors.ts";
import type { Invocation } from "../command.ts";
import { gdbText } from "../render/gdb.ts";
import { lookOptions } from "./info.ts";

export async function run(invocation: Invocation): Promise<number> {
  const port = invocation.count("port", 0, 65_535);
  const map = invocation.text("map");
  const stdio = invocation.flag("stdio");
  if (stdio && (port !== undefined || invocation.json)) {
    throw new FixedramError("usage.conflict", "with --stdio, gdb has standard output to itself, and there is no port", {
      found: invocation.json ? "--json" : "--port",
    });
  }
  const result = await invocation.around.operations.gdb({
    file: invocation.word(0),
    stdio,
    ...(port === undefined ? {} : { port }),
    ...(map === undefined ? {} : { map }),
    ...(invocation.flag("once") ? { once: true } : {}),
    ...lookOptions(invocation),
    ...(await invocation.context()),
  });
  if (stdio) invocation.settle();
  else invocation.answer(result, (colors) => gdbText(result, colors));
  return ExitCode.ok;
}
