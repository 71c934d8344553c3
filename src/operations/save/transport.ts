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

const backgroundWay = "QEMU takes background snapshots on one connection only";

/**
 * The way that was asked for; left to us, one connection: docs/decisions/0008.
 *
 * @throws FixedramError `usage.transport` when what was asked for cannot be
 */
export function chooseTransport(options: SaveOptions, facts: PlanFacts): TransportChoice {
  const wanted = options.transport ?? "auto";
  const obstacle = multifdObstacle(options, facts);
  if (wanted === "stream") return { transport: "stream", reason: "asked for", channels: 0 };
  if (wanted === "multifd") {
    if (obstacle === null)
      return {
        transport: "multifd",
        reason: `asked for; QEMU ${facts.version.text} sends on ${CHANNELS} channels at once`,
        channels: CHANNELS,
      };
    throw new FixedramError("usage.transport", `--transport multifd cannot be used: ${obstacle}`, {
      found: `QEMU ${facts.version.text}, --mode ${options.mode ?? "stop"}`,
      hint: "Leave --transport out: one connection always works.",
    });
  }
  const why = options.mode === "background" ? backgroundWay : "one connection costs least";
  return { transport: "stream", reason: why, channels: 0 };
}

/** Why pages cannot come on several channels, in words; null: they can. */
function multifdObstacle(options: SaveOptions, facts: PlanFacts): string | null {
  if (options.mode === "background") return backgroundWay;
  if (!facts.capabilities.has("multifd")) return `QEMU ${facts.version.text} does not know multifd`;
  if (options.maxBandwidth !== undefined) return "a bandwidth limit is kept by reading one connection slowly";
  if (!facts.channelsTakeable) return "this Node does not show the descriptors of its sockets";
  return null;
}
