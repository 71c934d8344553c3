/**
 * JSON as QMP writes it: integers go up to 2^64 - 1, beyond what a double holds. Those come as bigint, and bigint is written
 * as an integer, so that a value read can be put back exactly (libvirt sets max-bandwidth to 9223372036853727232).
 */

const mark = "\0int:";

/** Parses one QMP message. Integers past 2^53 - 1 become bigint. Throws SyntaxError. */
export function parseQmpJson(text: string): unknown {
  if (!/[0-9]{16}/.test(text)) return JSON.parse(text);
  // Strings and numbers are matched whole, so that digits inside strings and fractions stay as they are.
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*/g, (token) =>
    /^-?[0-9]{16,}$/.test(token) && !Number.isSafeInteger(Number(token)) ? `"\\u0000int:${token}"` : token,
  );
  return JSON.parse(marked, (_key, value) =>
    typeof value === "string" && /^\0int:-?[0-9]+$/.test(value) ? BigInt(value.slice(mark.length)) : value,
  );
}

/** Writes one QMP message on one line; bigint as an integer. */
export function formatQmpJson(value: unknown): string {
  let marked = false;
  const text = JSON.stringify(value, (_key, item) => {
    if (typeof item !== "bigint") return item;
    marked = true;
    return `${mark}${item}`;
  });
  return marked ? text.replace(/"\\u0000int:(-?[0-9]+)"/g, "$1") : text;
}
