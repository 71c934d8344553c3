import { ExitCode } from "../../errors.ts";
import type { Invocation } from "../command.ts";
import { doctorText } from "../render/doctor.ts";

export async function run(invocation: Invocation): Promise<number> {
  const { operations, folder } = invocation.around;
  const report = await invocation.unlessAborted(operations.doctor({ folder }));
  invocation.answer(report, (colors, columns) => doctorText(report, colors, columns));
  return ExitCode.ok;
}
