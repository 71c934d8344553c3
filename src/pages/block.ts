/** A RAM block as the stream and the file name it. */
export interface RamBlock {
  /** Place in the block list, from 0. */
  readonly index: number;
  /** The name's bytes as latin1, one character a byte: lossless, never shown unescaped (see bytes/text.ts). */
  readonly name: string;
  /** used_length, bytes; a multiple of `pageSize`. */
  readonly length: number;
  /** Target page size, bytes. */
  readonly pageSize: number;
  /** length / pageSize. */
  readonly pages: number;
}
