/** Longest part of a name that is kept; with what is added it stays below the 255 bytes of file systems. */
const most = 180;

/**
 * A RAM block's name as a file name: letters, digits, `_`, `-` and inner dots stay, every other byte is `%XX`. Names that would
 * be too long or empty are cut and end in `~` and the block's index, so no two blocks share a file.
 *
 * @param name bytes as latin1
 * @param index the block's place in the block list
 */
export function rawFileName(name: string, index: number): string {
  const safe = [...name].map((letter, at) => (isSafe(letter, at) ? letter : escaped(letter))).join("");
  return safe === "" || safe.length > most ? `${safe.slice(0, most)}~${index}.raw` : `${safe}.raw`;
}

function isSafe(letter: string, at: number): boolean {
  return /[A-Za-z0-9_-]/.test(letter) || (letter === "." && at > 0);
}

function escaped(letter: string): string {
  return `%${letter.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}
