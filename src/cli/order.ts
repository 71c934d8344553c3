import type { OpenSnapshotOptions } from "../operations/open.ts";
import type { Invocation } from "./command.ts";
import { together } from "./commands/read.ts";

/** What --big-endian and --little-endian say. @throws `usage.together` */
export function orderOf(invocation: Invocation): Pick<OpenSnapshotOptions, "bigEndian"> {
  const [big, little] = [invocation.flag("big-endian"), invocation.flag("little-endian")];
  if (big && little) throw together(["big-endian", "little-endian"]);
  return big || little ? { bigEndian: big } : {};
}
