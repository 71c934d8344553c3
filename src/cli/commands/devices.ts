import { ExitCode } from "../../errors.ts";
import type { Invocation } from "../command.ts";
import { cpuNumber } from "../inside.ts";
import { devicesJson, devicesText } from "../render/devices.ts";
import { lookOptions } from "./info.ts";

export async function run(invocation: Invocation): Promise<number> {
  const name = invocation.wordIf(1);
  const instance = cpuNumber(invocation, "instance");
  const result = await invocation.around.operations.devices({
    file: invocation.word(0),
    ...(name === undefined ? {} : { name }),
    ...(instance === undefined ? {} : { instance }),
    ...lookOptions(invocation),
    ...(await invocation.context()),
  });
  const full = invocation.flag("full");
  invocation.answer(invocation.json ? devicesJson(result) : {}, (colors, columns) =>
    devicesText(result, { colors, columns, full }),
  );
  return result.devices.every(({ problem }) => problem === null) ? ExitCode.ok : ExitCode.differs;
}
