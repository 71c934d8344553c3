import { randomUUID } from "node:crypto";
import type { SnapshotMeta } from "../../fixedram/meta.ts";
import { toolVersion } from "../../installation.ts";
import { libvirtName } from "../../libvirt/name.ts";
import type { ConvertInput, InputFacts } from "./input.ts";

/**
 * What is recorded with a converted snapshot: the record it had, and how it was converted. Of a snapshot without one, what its
 * stream, its file's time and libvirt's header tell.
 *
 * @param forced whatever the input held was taken: what it was sealed with was not looked at
 */
export function convertedMeta(input: ConvertInput, facts: InputFacts, forced: boolean): SnapshotMeta {
  const { meta, runState, machine } = facts;
  const { libvirt } = input;
  const step = {
    from: libvirt === null ? input.container : `libvirt (${libvirt.format})`,
    at: new Date().toISOString(),
    tool: { name: "fixedram", version: toolVersion },
    ...(forced ? { unchecked: true } : {}),
  };
  const image =
    libvirt === null
      ? {}
      : {
          libvirt: {
            xml: base64(libvirt.xml),
            cookie: libvirt.cookie === null ? null : base64(libvirt.cookie),
            wasRunning: libvirt.wasRunning,
          },
        };
  if (meta !== null) {
    const earlier = Array.isArray(meta["converted"]) ? meta["converted"] : [];
    return { ...meta, ...image, converted: [...earlier, step] };
  }
  return {
    schema: 1,
    uuid: randomUUID(),
    created: savedAt(input).toISOString(),
    tool: step.tool,
    qemuVersion: null,
    accelerator: null,
    machine,
    guestName: libvirt === null ? null : libvirtName(libvirt.xml),
    cpu: null,
    // libvirt stops a guest before it saves it, and remembers whether it ran.
    runState: libvirt === null ? runState : libvirt.wasRunning ? "running" : "paused",
    argv: null,
    disks: [],
    memoryMap: [],
    ...image,
    converted: [step],
  };
}

/** The file's time is the best that is known of when it was saved. */
function savedAt({ file }: ConvertInput): Date {
  return file === null ? new Date() : new Date(Number(BigInt(file.identity.mtimeNs) / 1_000_000n));
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

/** The head of a libvirt image that a snapshot came from; null when its record has none. */
export function recordedImage(
  meta: SnapshotMeta | null,
): { readonly xml: Uint8Array; readonly cookie: Uint8Array | null; readonly wasRunning: boolean } | null {
  const found = meta?.["libvirt"];
  if (typeof found !== "object" || found === null || !("xml" in found) || typeof found.xml !== "string") return null;
  const cookie = "cookie" in found && typeof found.cookie === "string" ? Buffer.from(found.cookie, "base64") : null;
  const wasRunning = "wasRunning" in found && found.wasRunning === true;
  return { xml: Buffer.from(found.xml, "base64"), cookie, wasRunning };
}
