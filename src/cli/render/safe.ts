import { safe } from "../../bytes/text.ts";

export { safe };

/** One argument of a command, so that where it begins and ends is seen; what a shell would take apart stands in quotes. */
export function argument(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  return `'${safe(text).replaceAll("'", "'\\''")}'`;
}
