import { systemError } from "../errors.ts";
import type { FileSystemCalls } from "./system-calls.ts";

/**
 * Reads up to target.length bytes at `position`, without leaving the thread; fewer only at the end of the file.
 *
 * @param path as the user knows the file, for errors
 * @param doing `reading`, or what else it is called in them
 * @throws `system.*`
 */
export function readUpTo(
  calls: Pick<FileSystemCalls, "readSync">,
  fd: number,
  path: string,
  target: Uint8Array,
  position: number,
  doing = "reading",
): number {
  let done = 0;
  try {
    while (done < target.length) {
      const count = calls.readSync(fd, target, done, target.length - done, position + done);
      if (count === 0) break;
      done += count;
    }
  } catch (error) {
    throw systemError(error, path, `${doing} at byte ${position + done}`);
  }
  return done;
}
