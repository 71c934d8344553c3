/** An address or offset as people read it: hexadecimal, a `_` before every four digits, at least eight of them. */
export function address(value: number | bigint): string {
  const digits = value.toString(16);
  const padded = digits.padStart(Math.max(8, Math.ceil(digits.length / 4) * 4), "0");
  return `0x${padded.replace(/(?<=.)(?=(?:.{4})+$)/g, "_")}`;
}
