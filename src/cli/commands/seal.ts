import { ExitCode } from "../../errors.ts";
import type { Invocation } from "../command.ts";
import { orderOf } from "../order.ts";
import { sealText } from "../render/seal.ts";

export async function run(invocation: Invocation): Promise<number> {
  const { operations } = invocation.around;
  const offset = invocation.size("offset");
  const result = await operations.seal({
    file: invocation.word(0),
    ...(offset === undefined ? {} : { offset }),
    ...orderOf(invocation),
    ...(await invocation.context()),
  });
  invocation.answer(result, (colors) => sealText(result, colors));
  return ExitCode.ok;
}
