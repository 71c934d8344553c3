import { FixedramError } from "../errors.ts";

const binary: Readonly<Record<string, number>> = { K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };
const decimal: Readonly<Record<string, number>> = { K: 1000, M: 1000 ** 2, G: 1000 ** 3, T: 1000 ** 4 };

/**
 * `500M`, `1.5GiB`, `64k`, `4096` in bytes, at least 1. K, KiB, M, MiB and so on count in 1024s as QEMU does; KB, MB, GB and
 * TB in 1000s, as coreutils does.
 *
 * @throws usage.bad-size
 */
export function parseSize(text: string, what: string): number {
  const match = /^(\d+(?:\.\d+)?)(?:([KMGT])(iB|B)?|B)?$/i.exec(text);
  const unit = (match?.[2] ?? "").toUpperCase();
  const factor = unit === "" ? 1 : (match?.[3]?.toUpperCase() === "B" ? decimal : binary)[unit];
  const bytes = match === null || factor === undefined ? Number.NaN : Math.round(Number(match[1]) * factor);
  // A fraction needs a unit: half a byte is a slip.
  const fraction = unit === "" && text.includes(".");
  if (Number.isSafeInteger(bytes) && bytes >= 1 && !fraction) return bytes;
  throw new FixedramError("usage.bad-size", `${what} is not a size`, {
    found: text,
    expected: "a number and a unit, such as 500M, 1.5GiB or 64K; at least one byte",
  });
}

const milliseconds: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

/**
 * `30s`, `5m`, `1h30m`, `1.5s`, `500ms` in milliseconds, at least 1; units in falling order, each once.
 *
 * @throws usage.bad-time
 */
export function parseTime(text: string, what: string): number {
  const match = /^(\d+(?:\.\d+)?h)?(\d+(?:\.\d+)?m(?!s))?(\d+(?:\.\d+)?s)?(\d+ms)?$/.exec(text);
  let total = 0;
  for (const part of match?.slice(1) ?? []) {
    if (part === undefined) continue;
    const unit = part.replace(/[\d.]+/, "");
    total += Number.parseFloat(part) * (milliseconds[unit] ?? Number.NaN);
  }
  total = Math.round(total);
  if (Number.isSafeInteger(total) && total >= 1) return total;
  throw new FixedramError("usage.bad-time", `${what} is not a length of time`, {
    found: text,
    expected: "numbers with units, such as 30s, 5m, 1h30m or 500ms; more than nothing",
  });
}

/**
 * A whole number within bounds.
 *
 * @throws usage.bad-number
 */
export function parseCount(text: string, what: string, least = 1, most = Number.MAX_SAFE_INTEGER): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  const upper = most === Number.MAX_SAFE_INTEGER ? "" : `, ${most} at most`;
  throw new FixedramError("usage.bad-number", `${what} is not a number that fits`, {
    found: text,
    expected: `a whole number, ${least} at least${upper}`,
  });
}

/**
 * An address or offset in bytes: decimal, or hexadecimal after 0x; `_` may stand between digits; K, M, G and T count in 1024s.
 *
 * @throws usage.not-an-address
 */
export function parseAddress(text: string, what: string): bigint {
  const match = /^(0[xX][0-9a-fA-F]+(?:_[0-9a-fA-F]+)*|[0-9]+(?:_[0-9]+)*)([KMGT]?)$/.exec(text.trim());
  const [, digits, unit = ""] = match ?? [];
  if (digits !== undefined) {
    const value = BigInt(digits.replaceAll("_", "")) * BigInt(binary[unit] ?? 1);
    if (value < 2n ** 64n) return value;
  }
  throw new FixedramError("usage.not-an-address", `${what} is not an address`, {
    found: text,
    expected: "a number, hexadecimal after 0x, such as 0xffff_8880_0000_1000, 4096 or 3G; 64 bits at most",
  });
}
