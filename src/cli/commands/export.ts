import { ExitCode } from "../../errors.ts";
import type { Invocation } from "../command.ts";
import { exportText } from "../render/export.ts";
import { lookOptions } from "./info.ts";

export async function run(invocation: Invocation): Promise<number> {
  const format = invocation.choice("format", ["elf", "kdump", "lime", "raw"]);
  const map = invocation.text("map");
  const result = await invocation.around.operations.exportSnapshot({
    file: invocation.word(0),
    output: invocation.word(1),
    ...(format === undefined ? {} : { format }),
    ...(map === undefined ? {} : { map }),
    ...(invocation.flag("force") ? { force: true } : {}),
    ...lookOptions(invocation),
    ...(await invocation.context()),
  });
  for (const notice of result.notices) invocation.notice(notice);
  invocation.answer(result, (colors) => exportText(result, colors));
  return ExitCode.ok;
}
