import { FixedramError } from "../../errors.ts";
import type { SaveOptions } from "../save.ts";
import type { PlanFacts } from "./plan.ts";

/** How pages come out of QEMU. */
export type SaveTransport = "stream" | "multifd";

export interface TransportChoice {
  readonly transport: SaveTransport;
  /** One sentence. */
  readonly reason: string;
  /** Multifd channels; 0 without. */
  readonly channels: number;
}

/** Two threads keep up with what QEMU sends and with what a disk takes; more only cost memory. */
const CHANNELS = 2;

/** Bytes of RAM below which what two threads take to start is more than they save. */
export const MULTIFD_FROM = 2 ** 30;

const backgroundWay = "QEMU takes background snapshots on one connection only";

/**
 * The way that was asked for; left to us, multifd where it can be and is worth its threads: docs/decisions/0008.
 *
 * @throws FixedramError `usage.transport` when what was asked for cannot be
 */
export function chooseTransport(options: SaveOptions, facts: PlanFacts): TransportChoice {
  const { transport = "auto", mode } = options;
  if (transport === "stream") return { transport, reason: "asked for", channels: 0 };
  const obstacle = multifdObstacle(options, facts);
  const several = `QEMU ${facts.version.text} sends on ${CHANNELS} channels at once`;
  if (transport === "multifd") {
    if (obstacle === null) return { transport, reason: `asked for; ${several}`, channels: CHANNELS };
    throw new FixedramError("usage.transport", `--transport multifd cannot be used: ${obstacle}`, {
      found: `QEMU ${facts.version.text}, --mode ${mode ?? "stop"}`,
      hint: "Leave --transport out: one connection always works.",
    });
  }
  if (obstacle !== null) return { transport: "stream", reason: obstacle, channels: 0 };
  if (facts.ramBytes < MULTIFD_FROM)
    return { transport: "stream", reason: "one connection is quicker for a guest with little memory", channels: 0 };
  return { transport: "multifd", reason: several, channels: CHANNELS };
}

/** Why pages cannot come on several channels, in words; null: they can. */
function multifdObstacle(options: SaveOptions, facts: PlanFacts): string | null {
  if (options.mode === "background") return backgroundWay;
  if (!facts.capabilities.has("multifd")) return `QEMU ${facts.version.text} does not know multifd`;
  if (options.maxBandwidth !== undefined) return "a bandwidth limit is kept by reading one connection slowly";
  if (!facts.channelsTakeable)
    return "this Node does not show the descriptors of its sockets, or runs this in a thread";
  return null;
}
