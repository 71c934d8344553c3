import type { Invocation } from "../command.ts";
import { colorsFor } from "../render/colors.ts";
import { stringLine } from "../render/search.ts";
import { finding } from "./search.ts";

export async function run(invocation: Invocation): Promise<number> {
  const { around } = invocation;
  const least = invocation.count("min", 1, 65_536);
  const utf16 = invocation.flag("utf16");
  const colors = colorsFor(around.stdout, around.env);
  return await finding(
    invocation,
    (hit) => stringLine(hit, utf16, colors),
    async (shared) => around.operations.strings({ ...shared, ...(least === undefined ? {} : { least }), utf16 }),
  );
}
