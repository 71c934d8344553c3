import { ExitCode } from "../../errors.ts";
import type { Invocation } from "../command.ts";
import { repairText } from "../render/seal.ts";

export async function run(invocation: Invocation): Promise<number> {
  const { operations } = invocation.around;
  const result = await operations.repair({ file: invocation.word(0), ...(await invocation.context()) });
  invocation.answer(result, (colors) => repairText(result, colors));
  return ExitCode.ok;
}
