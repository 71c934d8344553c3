import type { Colors } from "./colors.ts";
import { safe } from "./safe.ts";

export function doctorText(report: object, _colors: Colors): string {
  return `${safe(JSON.stringify(report))}\n`;
}
