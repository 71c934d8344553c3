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

/**
 * The fastest way that this QEMU, mode and machine allow, or the one that was asked for.
 *
 * @throws FixedramError `usage.transport` when what was asked for cannot be
 */
export function chooseTransport(options: SaveOptions, facts: PlanFacts): TransportChoice {
  const wanted = options.transport ?? "auto";
  const obstacle = multifdObstacle(options, facts);
  if (wanted === "stream") return { transport: "stream", reason: "asked for", channels: 0 };
  if (wanted === "multifd") {
    if (obstacle === null) return { transport: "multifd", reason: "asked for", channels: CHANNELS };
    throw new FixedramError("usage.transport", `--transport multifd cannot be used: ${obstacle}`, {
      found: `QEMU ${facts.version.text}, --mode ${options.mode ?? "stop"}`,
      hint: "Leave --transport out: the fastest way there is will be used.",
    });
  }
  if (obstacle !== null) return { transport: "stream", reason: obstacle, channels: 0 };
  return {
    transport: "multifd",
    reason: `QEMU ${facts.version.text} sends on ${CHANNELS} channels at once`,
    channels: CHANNELS,
  };
}

/** Why pages cannot come on several channels, in words; null: they can. */
function multifdObstacle(options: SaveOptions, facts: PlanFacts): string | null {
  if (options.mode === "background") return "QEMU takes background snapshots on one connection only";
  if (!facts.capabilities.has("multifd")) return `QEMU ${facts.version.text} does not know multifd`;
  if (options.maxBandwidth !== undefined) return "a bandwidth limit is kept by reading one connection slowly";
  if (!facts.channelsTakeable) return "this Node does not show the descriptors of its sockets";
  return null;
}
