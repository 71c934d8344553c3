import type { GdbResult } from "../../operations/gdb.ts";
import type { Colors } from "./colors.ts";
import { duration, plural } from "./format.ts";
import { safe } from "./safe.ts";

/** What was served, when it is over. */
export function gdbText({ path, sessions, packets, time }: GdbResult, colors: Colors): string {
  return `Served ${colors.bold(safe(path))} to ${plural(sessions, "gdb")}: ${plural(packets, "packet")} in ${duration(time)}\n`;
}
