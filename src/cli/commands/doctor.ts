import { ExitCode } from "../../errors.ts";
import type { Invocation } from "../command.ts";
import { doctorText } from "../render/doctor.ts";

export async function run(invocation: Invocation): Promise<number> {
  const report = await invocation.around.operations.doctor({ folder: invocation.around.folder });
  invocation.answer(report, (colors) => doctorText(report, colors));
  return ExitCode.ok;
}
