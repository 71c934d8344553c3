import picocolors from "picocolors";
import { type Output, type Surroundings, wantsColor } from "../terminal.ts";

export type Colors = ReturnType<typeof picocolors.createColors>;

/** Colours for one output: standard output and standard error may go to different places. */
export function colorsFor(output: Output, env: Surroundings["env"]): Colors {
  return picocolors.createColors(wantsColor(output, env));
}
