import { ExitCode } from "../../errors.ts";
import type { Invocation } from "../command.ts";
import { orderOf } from "../order.ts";
import { recoverText } from "../render/resume-lazy.ts";

export async function run(invocation: Invocation): Promise<number> {
  const { operations } = invocation.around;
  const around = invocation.count("around", 1, 1024);
  const pushRate = invocation.size("push-rate");
  const result = await operations.recover({
    file: invocation.word(0),
    qmp: invocation.required("qmp"),
    ...(invocation.flag("verify") ? { verify: true } : {}),
    ...(invocation.flag("force") ? { force: true } : {}),
    ...(around === undefined ? {} : { around }),
    ...(pushRate === undefined ? {} : { pushRate }),
    ...orderOf(invocation),
    ...(await invocation.context()),
  });
  for (const notice of result.notices) invocation.notice(notice);
  invocation.answer(result, (colors) => recoverText(result, colors));
  return ExitCode.ok;
}
