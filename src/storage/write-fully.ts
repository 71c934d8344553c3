import { FixedramError, systemError } from "../errors.ts";
import type { FileSystemCalls } from "./system-calls.ts";

/** Most views the system takes in one writev. */
const maxViews = 1024;

/** A file that is written at any place; `path` is for errors. */
export interface WriteTarget {
  readonly calls: Pick<FileSystemCalls, "writeSync" | "writevSync">;
  readonly fd: number;
  readonly path: string;
}

/** Writes all of `bytes` at `position`. @throws FixedramError `system.*` */
export function writeFully({ calls, fd, path }: WriteTarget, bytes: Uint8Array, position: number): void {
  let done = 0;
  try {
    while (done < bytes.length) {
      const count = calls.writeSync(fd, bytes, done, bytes.length - done, position + done);
      if (count <= 0) throw noProgress(path, position + done);
      done += count;
    }
  } catch (error) {
    throw writeError(error, path, position + done);
  }
}

/** Writes all of `views`, one after the other, from `position`; any number of them. Returns the bytes. @throws `system.*` */
export function writevFully(target: WriteTarget, views: readonly Uint8Array[], position: number): number {
  let written = 0;
  for (let first = 0; first < views.length; first += maxViews) {
    const group = views.length <= maxViews ? views : views.slice(first, first + maxViews);
    written += writeGroup(target, group, position + written);
  }
  return written;
}

function writeGroup(target: WriteTarget, group: readonly Uint8Array[], position: number): number {
  let length = 0;
  for (const view of group) length += view.length;
  let done = 0;
  try {
    if (length > 0) done = target.calls.writevSync(target.fd, group, position);
  } catch (error) {
    throw writeError(error, target.path, position);
  }
  // A short write is rare (a disk that fills, a signal): the rest goes view by view.
  let start = 0;
  for (const view of group) {
    if (done >= length) break;
    const end = start + view.length;
    if (end > done) {
      const skip = Math.max(0, done - start);
      writeFully(target, view.subarray(skip), position + start + skip);
    }
    start = end;
  }
  return length;
}

export function writeError(error: unknown, path: string, position: number): FixedramError {
  return systemError(error, path, `writing at byte ${position}`);
}

function noProgress(path: string, offset: number): FixedramError {
  return new FixedramError("system.io", "the system wrote nothing and named no error", { path, offset });
}
