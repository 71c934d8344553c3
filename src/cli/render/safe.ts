/**
 * Text from elsewhere (paths, QEMU's words, recorded arguments) with everything escaped that could move a cursor, change a
 * colour or hide what follows: control characters, line and direction marks, lone surrogates. Names that are bytes go through
 * printable() of bytes/text.ts instead.
 */
export function safe(text: string): string {
  return text.replace(unsafe, (character) => {
    const known = short[character];
    if (known !== undefined) return known;
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

const unsafe = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu;

const short: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** One argument of a command, so that where it begins and ends is seen; what a shell would take apart stands in quotes. */
export function argument(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  return `'${safe(text).replaceAll("'", "'\\''")}'`;
}
