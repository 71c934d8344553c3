import { ExitCode, FixedramError } from "../../errors.ts";
import type { Invocation } from "../command.ts";
import type { ConvertCall } from "../operations.ts";
import { orderOf } from "../order.ts";
import { convertText } from "../render/convert.ts";

export async function run(invocation: Invocation): Promise<number> {
  const call = convertCall(invocation);
  const result = await invocation.around.operations.convert({ ...call, ...(await invocation.context()) });
  for (const notice of result.notices) invocation.notice(notice);
  // Standard output is the stream's alone.
  if (call.output === "-") invocation.settle();
  else invocation.answer(result, (colors) => convertText(result, colors));
  return ExitCode.ok;
}

function convertCall(invocation: Invocation): ConvertCall {
  const input = invocation.word(0);
  const output = invocation.word(1);
  const to = invocation.choice("to", ["fixed-ram", "stream", "libvirt-sparse", "raw"]);
  const xml = invocation.text("xml");
  const offset = invocation.size("offset");
  if (output === "-" && invocation.json) {
    throw new FixedramError("usage.conflict", "standard output cannot hold both the stream and the answer", {
      found: "--json and - as OUT",
      hint: "Write to a file, or leave --json out.",
    });
  }
  if (xml !== undefined && to !== "libvirt-sparse") {
    throw new FixedramError("usage.conflict", "--xml is for --to libvirt-sparse only", {
      found: to === undefined ? "no --to" : `--to ${to}`,
    });
  }
  return {
    input,
    output,
    ...(to === undefined ? {} : { to }),
    ...(xml === undefined ? {} : { xml }),
    ...(invocation.flag("force") ? { force: true } : {}),
    ...orderOf(invocation),
    ...(offset === undefined ? {} : { offset }),
  };
}
