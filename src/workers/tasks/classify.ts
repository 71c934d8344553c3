import { readSync } from "node:fs";
import { classify } from "../../bytes/content.ts";
import { systemError } from "../../errors.ts";
import type { TaskContext } from "../protocol.ts";

export interface ClassifyInput {
  /** Pages in the order of their answers: file (place in `files`) and offset (bytes). */
  readonly files: readonly { readonly fd: number; readonly name: string }[];
  readonly file: Uint16Array<ArrayBuffer>;
  readonly offset: Float64Array<ArrayBuffer>;
  readonly pageSize: number;
}

/** Bytes read at once where pages lie side by side. */
const piece = 512 * 1024;
let buffer = new Uint8Array(piece);

/** What each page looks like: numbers of ContentClass. Pages past the file's end are none, 0. */
export function run({ files, file, offset, pageSize }: ClassifyInput, context: TaskContext): Uint8Array<ArrayBuffer> {
  const classes = new Uint8Array(offset.length);
  if (buffer.length < pageSize) buffer = new Uint8Array(pageSize);
  for (let i = 0; i < offset.length && !context.cancelled(); ) {
    const start = offset[i] ?? 0;
    const from = file[i] ?? 0;
    let count = 1;
    while (
      i + count < offset.length &&
      (count + 1) * pageSize <= buffer.length &&
      file[i + count] === from &&
      offset[i + count] === start + count * pageSize
    )
      count++;
    const read = readHere(files[from], buffer.subarray(0, count * pageSize), start);
    for (let k = 0; (k + 1) * pageSize <= read; k++)
      classes[i + k] = classify(buffer, k * pageSize, (k + 1) * pageSize);
    i += count;
  }
  return classes;
}

function readHere(file: ClassifyInput["files"][number] | undefined, into: Uint8Array, position: number): number {
  if (file === undefined) throw new RangeError("no such file");
  try {
    return readSync(file.fd, into, 0, into.length, position);
  } catch (error) {
    throw systemError(error, file.name, `reading at byte ${position}`);
  }
}
