import { ExitCode } from "../../errors.ts";
import type { Invocation } from "../command.ts";
import { orderOf } from "../order.ts";
import { diffJson, diffText } from "../render/diff.ts";

export async function run(invocation: Invocation): Promise<number> {
  const hex = invocation.count("hex", 0, 1000);
  const pagesOut = invocation.text("pages-out");
  const result = await invocation.around.operations.diff({
    a: invocation.word(0),
    b: invocation.word(1),
    ...(hex === undefined ? {} : { hex }),
    ...(pagesOut === undefined ? {} : { pagesOut }),
    ...(invocation.flag("trust-seals") ? { trustSeals: true } : {}),
    ...(invocation.flag("keep-index") ? { keepIndex: true } : {}),
    ...orderOf(invocation),
    ...(await invocation.context()),
  });
  invocation.answer(invocation.json ? diffJson(result) : {}, (colors, columns) => diffText(result, colors, columns));
  return result.same ? ExitCode.ok : ExitCode.differs;
}
