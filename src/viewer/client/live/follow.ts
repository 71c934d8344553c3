import { notice } from "../state.ts";
import { live, takeChunk } from "./record.ts";

/** Follows what goes on until it is over, or the viewer ends. */
export async function followLive(): Promise<void> {
  try {
    const response = await fetch("api/live");
    const stream = response.body?.getReader();
    if (!response.ok || stream === undefined) return;
    for (;;) {
      const { done, value } = await stream.read();
      if (done) break;
      takeChunk(value);
    }
  } catch {
    // Told below.
  }
  if (live.value?.end === null) notice.value = "The viewer has ended: what is shown is as far as it came.";
}
