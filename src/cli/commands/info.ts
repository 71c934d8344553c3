import { ExitCode } from "../../errors.ts";
import type { LookOptions } from "../../operations/inspect.ts";
import type { Invocation } from "../command.ts";
import { orderOf } from "../order.ts";
import { infoText } from "../render/info.ts";

/** What `info` and `map` have in common. */
export function lookOptions(invocation: Invocation): Pick<LookOptions, "keepIndex" | "bigEndian" | "offset"> {
  const offset = invocation.size("offset");
  return {
    ...(offset === undefined ? {} : { offset }),
    ...(invocation.flag("keep-index") ? { keepIndex: true } : {}),
    ...orderOf(invocation),
  };
}

export async function run(invocation: Invocation): Promise<number> {
  const { info } = invocation.around.operations;
  const result = await info(invocation.word(0), { ...lookOptions(invocation), ...(await invocation.context()) });
  invocation.answer(result, (colors, columns) => infoText(result, colors, columns));
  return ExitCode.ok;
}
