import { ExitCode } from "../../errors.ts";
import type { Invocation } from "../command.ts";
import { doctorText } from "../render/doctor.ts";

export async function run(invocation: Invocation): Promise<number> {
  const { operations, folder, signals } = invocation.around;
  const report = await operations.doctor({ folder, signal: signals.abort });
  invocation.answer(report, (colors, columns) => doctorText(report, colors, columns));
  return ExitCode.ok;
}
