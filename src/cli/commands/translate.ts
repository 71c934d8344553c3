import { ExitCode } from "../../errors.ts";
import type { Invocation } from "../command.ts";
import { cpuNumber } from "../inside.ts";
import { translateText } from "../render/translate.ts";
import { parseAddress } from "../values.ts";
import { lookOptions } from "./info.ts";

export async function run(invocation: Invocation): Promise<number> {
  const map = invocation.text("map");
  const cpu = cpuNumber(invocation);
  const result = await invocation.around.operations.translateAddress({
    file: invocation.word(0),
    virtual: parseAddress(invocation.word(1), "VADDR"),
    ...(map === undefined ? {} : { map }),
    ...(cpu === undefined ? {} : { cpu }),
    ...lookOptions(invocation),
    ...(await invocation.context()),
  });
  invocation.answer(result, (colors) => translateText(result, colors));
  return result.mapped ? ExitCode.ok : ExitCode.differs;
}
