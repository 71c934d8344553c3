import type { Site } from "./instrument.ts";

/** Checks whose deletion no vector can show, and why. By file, and the beginning of their text. */
const reasons: readonly (readonly [file: string, text: string, why: string])[] = [];

/** Why no vector misses a check; null when there is no reason. */
export function justified({ file, text }: Site): string | null {
  return reasons.find(([name, begin]) => file === name && text.startsWith(begin))?.[2] ?? null;
}
