import { randomUUID } from "node:crypto";
import { chmodSync, constants, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, isAbsolute, join, resolve } from "node:path";
import { FixedramError, systemError } from "../../errors.ts";
import type { RecordedDisk } from "../../fixedram/meta.ts";
import type { Overlay } from "../../qemu/disk-arguments.ts";
import { onPath, Running } from "../../qemu/start.ts";
import { abortError } from "../../qmp/errors.ts";

export interface OverlayPlan {
  /** The snapshot, whose name the overlays get. */
  readonly file: string;
  readonly disks: readonly RecordedDisk[];
  readonly count: number;
  /** Where they are made, and stay; undefined: a temporary folder, which goes when the last clone has ended. */
  readonly folder: string | undefined;
}

/** Disks that need an overlay: those the guest writes to, and which do not end with its QEMU anyway. */
export function writableDisks(disks: readonly RecordedDisk[]): readonly RecordedDisk[] {
  return disks.filter(({ readOnly, temporary, path }) => !readOnly && temporary !== true && isAbsolute(path));
}

/**
 * A qcow2 file for each disk of each clone, with the recorded image as its backing file, which is only read. `qemu-img` makes
 * one for each disk; the clones' are copies of it, for they are the same byte for byte.
 */
export class Overlays {
  readonly folder: string;
  /** They stay when the clones have ended. */
  readonly kept: boolean;
  readonly #plan: OverlayPlan;
  readonly #made: string[] = [];
  #madeFolder: boolean;

  private constructor(plan: OverlayPlan, folder: string, madeFolder: boolean) {
    this.#plan = plan;
    this.folder = folder;
    this.kept = plan.folder !== undefined;
    this.#madeFolder = madeFolder;
  }

  /** @throws FixedramError `usage.overlay-exists`, `system.qemu-img`, `system.*`; nothing is left behind then */
  static async make(plan: OverlayPlan, program: string, signal?: AbortSignal): Promise<Overlays> {
    const { folder, made } = folderFor(plan.folder);
    const overlays = new Overlays(plan, folder, made);
    try {
      const image = qemuImgBeside(program);
      for (const disk of plan.disks) await overlays.#disk(image, disk, signal);
      return overlays;
    } catch (error) {
      overlays.remove();
      throw error;
    }
  }

  /** Those of a clone, from 1. */
  of(n: number): readonly Overlay[] {
    return this.#plan.disks.map((disk) => ({ image: disk.path, overlay: this.#path(disk, n) }));
  }

  /** Takes them away, with the folder if that is ours and nothing else lies in it. */
  remove(): void {
    for (const path of this.#made.splice(0)) rmSync(path, { force: true });
    if (!this.#madeFolder) return;
    this.#madeFolder = false;
    try {
      rmdirSync(this.folder);
    } catch {
      // Somebody put something into it.
    }
  }

  #path(disk: RecordedDisk, n: number): string {
    const guest = basename(this.#plan.file).replace(/\.fram$/, "");
    return join(this.folder, `${guest}-${n}-${disk.device.replace(/[^A-Za-z0-9._-]+/g, "_")}.qcow2`);
  }

  async #disk(qemuImg: string, disk: RecordedDisk, signal: AbortSignal | undefined): Promise<void> {
    const paths = Array.from({ length: this.#plan.count }, (_, i) => this.#path(disk, i + 1));
    const there = paths.find((path) => existsSync(path));
    if (there !== undefined) throw overlayExists(there);
    // qemu-img overwrites what is there: under a name that nobody else can have had, it is ours to take away again.
    const draft = join(this.folder, `.${randomUUID()}.qcow2`);
    try {
      await createOverlay(qemuImg, draft, disk, signal);
      chmodSync(draft, 0o600);
      this.#copy(draft, paths);
    } finally {
      rmSync(draft, { force: true });
    }
  }

  #copy(draft: string, paths: readonly string[]): void {
    for (const path of paths) {
      try {
        copyFileSync(draft, path, constants.COPYFILE_EXCL);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EEXIST") throw overlayExists(path);
        throw systemError(error, path, "making an overlay");
      }
      this.#made.push(path);
    }
  }
}

function folderFor(given: string | undefined): { readonly folder: string; readonly made: boolean } {
  const folder = given === undefined ? null : resolve(given);
  try {
    if (folder === null) return { folder: mkdtempSync(join(tmpdir(), "fixedram-clones-")), made: true };
    return { folder, made: makeFolder(folder) };
  } catch (error) {
    throw systemError(
      error,
      folder ?? tmpdir(),
      "making the folder for overlays",
      "Name another one with --overlay-dir.",
    );
  }
}

/** false: it was there, or somebody else made it just now. */
function makeFolder(folder: string): boolean {
  try {
    mkdirSync(folder, { mode: 0o700 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

async function createOverlay(
  qemuImg: string,
  overlay: string,
  { path, format, device }: RecordedDisk,
  signal: AbortSignal | undefined,
): Promise<void> {
  const aborted = () => signal?.aborted === true;
  if (aborted()) throw abortError(signal, "making overlays");
  const running = new Running([qemuImg, "create", "-q", "-f", "qcow2", "-b", path, "-F", format, overlay], {});
  const abort = () => void running.child.kill("SIGKILL");
  signal?.addEventListener("abort", abort, { once: true });
  const end = await running.ended;
  signal?.removeEventListener("abort", abort);
  if (aborted()) throw abortError(signal, "making overlays");
  if (end.code === 0) return;
  const said = running.failure?.message ?? running.words();
  throw new FixedramError("system.qemu-img", `qemu-img could not make an overlay for disk ${device}`, {
    path,
    ...(said === "" ? {} : { said }),
    hint: "qemu-img comes with QEMU (Debian: qemu-utils). The disk must be there, and no other QEMU may be writing to it.",
  });
}

/** The qemu-img that came with a QEMU, else the one on PATH. */
function qemuImgBeside(program: string): string {
  const found = program.includes("/") ? program : onPath(program);
  const beside = found === null ? null : join(dirname(found), "qemu-img");
  return beside !== null && existsSync(beside) ? beside : "qemu-img";
}

function overlayExists(path: string): FixedramError {
  return new FixedramError(
    "usage.overlay-exists",
    "there is an overlay of that name already, which may hold what a guest wrote",
    {
      path,
      hint: "Name another folder with --overlay-dir, or remove it. An overlay of an earlier clone belongs to that clone's memory.",
    },
  );
}
