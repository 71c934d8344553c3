import { ExitCode } from "../../errors.ts";
import type { Invocation } from "../command.ts";
import { infoText } from "../render/info.ts";

export async function run(invocation: Invocation): Promise<number> {
  const result = await invocation.around.operations.info(invocation.word(0), await invocation.context());
  invocation.answer(result, (colors, columns) => infoText(result, colors, columns));
  return ExitCode.ok;
}
