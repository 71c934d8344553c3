/** What a guest starts from: the boot guest's floppy with its parameters patched in, the Linux guest's kernel, initramfs and disk. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CACHE, ROOT } from "./qemus.ts";

/** Parameters of test/guests/boot/boot.asm, in its order; sizes in bytes, counts in pages. */
export interface BootParameters {
  readonly base: number;
  readonly stride: number;
  readonly moving: number;
  readonly still: number;
  readonly perTick: number;
  readonly zeroing: boolean;
  readonly holeStart: number | null;
  readonly holeSize: number;
}

const MAGIC = "FRAMBOOT";
const FLOPPY = 1_474_560;

/** Path of a read-only floppy image with these parameters; the same parameters give the same file. */
export function bootImage(parameters: BootParameters): string {
  const image = Buffer.concat([readFileSync(join(built("boot"), "boot.bin"))], FLOPPY);
  const at = image.indexOf(MAGIC, 0, "latin1");
  if (at < 0) throw new Error("the boot guest has no parameter block");
  const { base, stride, moving, still, perTick, zeroing, holeStart, holeSize } = parameters;
  const words = [base, stride, moving, still, perTick, zeroing ? 1 : 0, holeStart ?? -1, holeSize];
  for (const [index, word] of words.entries()) image.writeBigInt64LE(BigInt(word), at + 8 + 8 * index);
  const folder = join(CACHE, "guests", "boot-images");
  const path = join(folder, `${createHash("sha256").update(image).digest("hex").slice(0, 16)}.img`);
  if (!existsSync(path)) {
    mkdirSync(folder, { recursive: true });
    const unfinished = `${path}.${process.pid}`;
    writeFileSync(unfinished, image, { mode: 0o444 });
    renameSync(unfinished, path);
  }
  return path;
}

export interface LinuxImages {
  readonly kernel: string;
  readonly initrd: string;
}

/** What is laid over the Linux guest's initramfs. */
export type Overlay = "dirtier" | "holder" | "spinners";

/** vmlinux of the Linux guest's kernel, with its symbols; fetched (280 MB) when it is not there. */
export function debugKernel(): string {
  return join(built("debug"), "vmlinux");
}

/** Kernel and initramfs, with these overlays. */
export function linuxImages(overlays: readonly Overlay[]): LinuxImages {
  const folder = built("linux");
  const kernel = join(folder, "vmlinuz");
  if (overlays.length === 0) return { kernel, initrd: join(folder, "initrd") };
  const parts = [join(folder, "initrd"), ...overlays.map((name) => join(built(name), `${name}.cpio`))];
  const all = Buffer.concat(parts.map((path) => readFileSync(path)));
  const initrd = join(folder, `initrd-${createHash("sha256").update(all).digest("hex").slice(0, 16)}`);
  if (!existsSync(initrd)) {
    writeFileSync(`${initrd}.${process.pid}`, all);
    renameSync(`${initrd}.${process.pid}`, initrd);
  }
  return { kernel, initrd };
}

/** A fresh copy of the Linux guest's disk (qcow2, ext4 in it) at `path`. */
export function copyDisk(path: string): string {
  copyFileSync(join(built("linux"), "disk.qcow2"), path);
  return path;
}

const done = new Set<string>();

/** Folder of a guest's build; builds it when it is missing or out of date. */
function built(guest: "boot" | "linux" | "debug" | Overlay): string {
  if (!done.has(guest)) {
    execFileSync(join(ROOT, "test", "guests", "build"), [guest], { stdio: ["ignore", "inherit", "inherit"] });
    done.add(guest);
  }
  return join(CACHE, "guests", guest);
}
