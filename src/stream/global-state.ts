import type { DeviceRecord } from "./records.ts";

/**
 * The run state that was saved, in QEMU's words: from the `globalstate` section, whose payload is a u32 size, then the state's
 * name and a NUL in 100 bytes (QEMU's migration/global_state.c). Null when there is none.
 */
export function savedRunState(devices: readonly DeviceRecord[]): string | null {
  const payload = devices.find(({ name }) => name === "globalstate")?.payload;
  if (payload === undefined) return null;
  const text = payload.subarray(4);
  const end = text.indexOf(0);
  return String.fromCharCode(...text.subarray(0, Math.min(end === -1 ? text.length : end, 100))) || null;
}
