import type { Notice, OperationContext } from "./progress.ts";
import { ResumeRun } from "./resume/run.ts";

export interface ResumeOptions extends OperationContext {
  readonly file: string;
  /** Attach to a QEMU that waits in `-incoming defer`: `PATH`, `unix:PATH` or `tcp:HOST:PORT` on loopback. */
  readonly qmp?: string;
  /** Start this QEMU: program and arguments, never through a shell. */
  readonly command?: readonly string[];
  /** Run the argv recorded in the snapshot. */
  readonly runRecorded?: boolean;
  /** Asked before the recorded argv is run when neither `qmp` nor `command` nor `runRecorded` is given; no answer means no. */
  readonly confirm?: (argv: readonly string[]) => Promise<boolean>;
  readonly paused?: boolean;
  /** Check every page before, as a deep verify does; the quick check is always made. A file that has no digests is refused then, but for `force`. */
  readonly verify?: boolean;
  /** The id that the snapshot must have, 64 hexadecimal digits. */
  readonly id?: string;
  /** A QEMU that is started gets our terminal, or (default) none: its output is kept for messages. */
  readonly console?: "terminal" | "captured";
  /** A QEMU that is started prints something; its console on a terminal then goes through this process. */
  readonly onOutput?: () => void;
  /** Folder for our sockets; the user of an attached QEMU must reach it. */
  readonly socketDir?: string;
  /** Where the stream begins in the file, bytes. */
  readonly offset?: number;
  /** The order of the words of a mapped-ram file's bitmaps, as for openSnapshot. Of a big-endian host's file QEMU gets a stream. */
  readonly bigEndian?: boolean;
  /** Go on although disks changed since the save, memory is another QEMU's too, or the check that `verify` asks for cannot be made. */
  readonly force?: boolean;
}

export interface ResumeResult {
  readonly path: string;
  readonly uuid: string | null;
  readonly qemuVersion: string;
  /** How the pages went in. */
  readonly transport: "mapped-ram" | "multifd" | "stream";
  readonly transportReason: string;
  readonly runState: string;
  /** Milliseconds. `ready`: QEMU started and answered; `load`: all RAM and devices in. */
  readonly times: { readonly ready: number; readonly load: number; readonly total: number };
  /** Milliseconds since the snapshot was taken, null when not recorded: the guest's clock jumps by this. */
  readonly age: number | null;
  readonly notices: readonly Notice[];
  /** The QEMU that was started; null when attached. `ended` settles with its exit code or signal. */
  readonly process: {
    readonly pid: number;
    readonly qmp: string;
    readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>;
    /** A terminal's signals do not reach it: Ctrl-C has to be passed on. */
    readonly ownSession?: boolean;
  } | null;
}

/**
 * Loads a snapshot into a QEMU and lets the guest go on as it was saved.
 *
 * The file is checked before QEMU sees it, and is only read. A QEMU of ours that cannot load it is ended; its own words come
 * with the error.
 *
 * @throws FixedramError `file.*`, `stream.*`, `seal.*` for the file; `usage.*`; `guest.disk-changed`, `guest.memory-in-use`; `qemu.*`, `qmp.*`
 */
export async function resume(options: ResumeOptions): Promise<ResumeResult> {
  return new ResumeRun(options).go();
}
