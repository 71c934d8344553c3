import type { TargetPlace } from "../../storage/target-path.ts";
import type { Reporter } from "../reporter.ts";
import type { PlanFacts, SavePlan } from "./plan.ts";

/** What lies beside the target from earlier saves. */
export function warnOfTarget({ leftovers }: TargetPlace, reporter: Reporter): void {
  for (const { path, size } of leftovers) {
    reporter.note(
      "warning",
      "left-over",
      `an earlier save left ${path} behind${size === null ? "" : ` (${mebibytes(size)})`}; it can be removed`,
    );
  }
}

/** What the user should know of this save before it begins. */
export function warnOfPlan(
  plan: SavePlan,
  { ramBytes, version, runState }: Pick<PlanFacts, "ramBytes" | "version" | "runState">,
  { free }: TargetPlace,
  reporter: Reporter,
): void {
  if (free !== null && free < ramBytes) {
    reporter.note(
      "warning",
      "little-space",
      `the target's filesystem has ${mebibytes(free)} free; a guest with all of its memory in use needs ${mebibytes(ramBytes)}`,
    );
  }
  if (runState !== "running" && version.major < 8) {
    reporter.note("note", "paused-guest", "this QEMU will leave the paused guest in state postmigrate");
  }
  if (plan.breakFreezes) {
    reporter.note(
      "note",
      "background-fragile",
      "QEMU before 8.1 freezes the guest for ever when a background save breaks off. A guard process keeps it from that; do not kill both.",
    );
  }
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20).toLocaleString("en")} MiB`;
}
