import { ExitCode } from "../../errors.ts";
import type { Invocation } from "../command.ts";
import { orderOf } from "../order.ts";
import { verifyText } from "../render/verify.ts";

export async function run(invocation: Invocation): Promise<number> {
  const id = invocation.text("id");
  const offset = invocation.size("offset");
  const result = await invocation.around.operations.verify({
    file: invocation.word(0),
    ...(invocation.flag("deep") ? { deep: true } : {}),
    ...(id === undefined ? {} : { id }),
    ...(offset === undefined ? {} : { offset }),
    ...orderOf(invocation),
    ...(await invocation.context()),
  });
  invocation.answer(result, (colors) => verifyText(result, colors));
  return result.ok ? ExitCode.ok : ExitCode.differs;
}
