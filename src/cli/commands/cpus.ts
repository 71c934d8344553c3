import { ExitCode } from "../../errors.ts";
import type { Invocation } from "../command.ts";
import { cpuNumber } from "../inside.ts";
import { cpusJson, cpusText } from "../render/cpus.ts";
import { lookOptions } from "./info.ts";

export async function run(invocation: Invocation): Promise<number> {
  const cpu = cpuNumber(invocation);
  const result = await invocation.around.operations.cpus({
    file: invocation.word(0),
    ...(cpu === undefined ? {} : { cpu }),
    ...lookOptions(invocation),
    ...(await invocation.context()),
  });
  invocation.answer(invocation.json ? cpusJson(result) : {}, (colors) => cpusText(result, colors));
  return ExitCode.ok;
}
