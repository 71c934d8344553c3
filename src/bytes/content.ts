/** What the bytes of a page look like, by how often each byte comes; a guess, good for a picture. */
export const ContentClass = { zero: 1, text: 2, code: 3, structured: 4, packed: 5, random: 6 } as const;

const counts = new Uint32Array(256);
/** Bytes by what they are to the guess: 1 printable, 2 an x86 prefix of 64-bit code, 4 an opcode that is common in it. */
const roles = new Uint8Array(256);
for (let byte = 0x20; byte < 0x7f; byte++) roles[byte] = 1;
for (const byte of [0x09, 0x0a, 0x0d]) roles[byte] = 1;
for (const byte of [0x41, 0x44, 0x48, 0x49, 0x4c, 0x4d]) roles[byte] = (roles[byte] ?? 0) + 2;
for (const byte of [0x0f, 0x31, 0x39, 0x83, 0x84, 0x85, 0x89, 0x8b, 0x8d, 0xc0, 0xc3, 0xe8, 0xe9, 0xeb, 0xff])
  roles[byte] = (roles[byte] ?? 0) + 4;

/**
 * Guesses what bytes [from, to) are: zero, text, machine code (x86), structured data, compressed, or random (encrypted looks the
 * same). By Shannon's entropy over the bytes; random bytes are told from compressed ones by the chi-squared test.
 *
 * @returns a number of {@link ContentClass}
 */
export function classify(bytes: Uint8Array, from: number, to: number): number {
  counts.fill(0);
  for (let i = from; i < to; i++) {
    const byte = bytes[i] ?? 0;
    counts[byte] = (counts[byte] ?? 0) + 1;
  }
  const length = to - from;
  const zeros = counts[0] ?? 0;
  const filled = length - zeros;
  if (filled === 0) return ContentClass.zero;
  let entropy = 0;
  let chi = 0;
  let printable = 0;
  let prefixes = 0;
  let opcodes = 0;
  const even = length / 256;
  for (let byte = 0; byte < 256; byte++) {
    const count = counts[byte] ?? 0;
    chi += (count - even) ** 2 / even;
    if (count === 0) continue;
    entropy -= (count / length) * Math.log2(count / length);
    const role = roles[byte] ?? 0;
    if (role % 2 === 1) printable += count;
    if (role % 4 >= 2) prefixes += count;
    if (role >= 4) opcodes += count;
  }
  if (printable >= 0.9 * filled && filled >= length / 8) return ContentClass.text;
  // Of 4096 random bytes chi-squared is 255 with a deviation of 23.
  if (entropy > 7.2) return chi < 350 ? ContentClass.random : ContentClass.packed;
  if (entropy > 4.5 && prefixes >= 0.05 * filled && opcodes >= 0.13 * filled) return ContentClass.code;
  return ContentClass.structured;
}
