/**
 * Is a page zero? Plain JavaScript over 32-bit words, without allocating a view for each page. (64-bit floats would take
 * -0 for 0, BigInts allocate.)
 */

let cachedBuffer: ArrayBufferLike | undefined;
let cachedWords: Uint32Array = new Uint32Array(0);

function wordsOf(buffer: ArrayBufferLike): Uint32Array {
  if (buffer !== cachedBuffer) {
    cachedBuffer = buffer;
    cachedWords = new Uint32Array(buffer, 0, Math.floor(buffer.byteLength / 4));
  }
  return cachedWords;
}

/** True when bytes[from .. to) are all 0; true for an empty range. */
export function isZero(bytes: Uint8Array, from = 0, to = bytes.length): boolean {
  let at = from;
  while (at < to && (bytes.byteOffset + at) % 4 !== 0) if (bytes[at++] !== 0) return false;
  const words = wordsOf(bytes.buffer);
  let word = (bytes.byteOffset + at) / 4;
  const end = word + Math.floor((to - at) / 4);
  for (; word + 8 <= end; word += 8) {
    const low = (words[word] ?? 0) | (words[word + 1] ?? 0) | (words[word + 2] ?? 0) | (words[word + 3] ?? 0);
    const high = (words[word + 4] ?? 0) | (words[word + 5] ?? 0) | (words[word + 6] ?? 0) | (words[word + 7] ?? 0);
    if ((low | high) !== 0) return false;
  }
  for (; word < end; word++) if (words[word] !== 0) return false;
  for (at = to - ((to - at) % 4); at < to; at++) if (bytes[at] !== 0) return false;
  return true;
}
