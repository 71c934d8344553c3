/** From what a test wants to QEMU's command line. */
import { join } from "node:path";
import { type BootParameters, bootImage, copyDisk, linuxImages } from "./images.ts";
import type { Qemu } from "./qemus.ts";

export interface GuestOptions {
  readonly qemu: Qemu;
  readonly kind: "boot" | "linux";
  /** `pc` and `q35` mean their 7.2 versions, which both QEMUs have; anything else goes to `-machine` as it is. Default `pc`. */
  readonly machine?: string;
  /** MiB; default 64 for the boot guest, 256 for Linux. */
  readonly memory?: number;
  /** MiB that memory may be plugged up to. */
  readonly maxMemory?: number;
  readonly smp?: number;
  /**
   * MiB a second that the guest rewrites (and verifies). Infinity: as fast as it goes. Default 64 for the boot guest, 0 for Linux
   * (no dirtier there). A boot guest always rewrites at least one page a tick of 4 ms.
   */
  readonly dirtyRate?: number;
  /** MiB that are rewritten; default 16. */
  readonly dirty?: number;
  /** MiB that are written once and verified: default 16 for the boot guest, 32 (random data with a digest) for Linux. */
  readonly still?: number;
  /** Boot guest: an eighth of the pages is zero, others each time. (The Linux dirtier always does so.) */
  readonly zeroing?: boolean;
  /** Boot guest: its pages lie scattered over all the memory instead of side by side. */
  readonly spread?: boolean;
  /** Linux: true (default) makes a disk in the guest's folder, a path uses that qcow2, false gives none. */
  readonly disk?: boolean | string;
  /** Linux: keeps writing files on the disk. */
  readonly diskLoad?: boolean;
  /** Linux: a process holds known bytes at known addresses (test/guests/linux/holder.c). */
  readonly holder?: boolean;
  /**
   * Linux: instead of the guest's own init, a process on each CPU that holds known bytes at known virtual addresses and spins
   * (test/guests/linux/spinners.c). It says `ready` and answers nothing.
   */
  readonly spinners?: boolean;
  /** Linux: virtio-net on a user network; default true. */
  readonly net?: boolean;
  /** Default `none`. */
  readonly vga?: "none" | "std";
  /** Value of `-incoming`: such as `defer` or `exec:cat FILE`. */
  readonly incoming?: string;
  readonly extraArgs?: readonly string[];
}

/** Options with everything settled: start the other side of a migration with `{ ...guest.options, qemu, incoming }`. */
export type SettledOptions = GuestOptions & { readonly machine: string; readonly memory: number; readonly smp: number };

export interface Sockets {
  /** For fixedram. */
  readonly qmpPath: string;
  /** For the test itself: QMP serves one client a socket. */
  readonly testQmpPath: string;
  readonly serialPath: string;
}

export function socketsIn(folder: string): Sockets {
  return { qmpPath: join(folder, "qmp"), testQmpPath: join(folder, "qmp-test"), serialPath: join(folder, "serial") };
}

const MACHINES: Record<string, string> = { pc: "pc-i440fx-7.2", q35: "pc-q35-7.2" };

export function settle(options: GuestOptions, folder: string): SettledOptions {
  const { machine = "pc", kind, smp = 1, disk = true } = options;
  return {
    ...options,
    machine: MACHINES[machine] ?? machine,
    memory: options.memory ?? (kind === "boot" ? 64 : 256),
    smp,
    disk: kind === "boot" ? false : disk === true ? copyDisk(join(folder, "disk.qcow2")) : disk,
  };
}

/** The whole command line, QEMU's path first, without `-incoming`, QMP and serial when `bare` (what follows `--` of `fixedram resume`). */
export function guestArgv(options: SettledOptions, sockets: Sockets | undefined): string[] {
  const { qemu, kind, machine, memory, maxMemory, smp, vga = "none", incoming, extraArgs = [] } = options;
  const argv = [qemu.path, "-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg", "-machine", machine];
  argv.push(
    "-m",
    maxMemory === undefined ? String(memory) : `${memory},maxmem=${maxMemory}M,slots=4`,
    "-smp",
    String(smp),
    "-vga",
    vga,
  );
  argv.push(...(kind === "boot" ? bootArgs(options) : linuxArgs(options)));
  if (sockets !== undefined) {
    for (const path of [sockets.qmpPath, sockets.testQmpPath]) argv.push("-qmp", `unix:${path},server=on,wait=off`);
    argv.push(...serialArgs(sockets.serialPath));
  }
  if (incoming !== undefined) argv.push("-incoming", incoming);
  return [...argv, ...extraArgs];
}

/** A serial line on a unix socket, for `Serial.connect(path)`. */
export function serialArgs(path: string): string[] {
  return ["-chardev", `socket,id=serial0,path=${path},server=on,wait=off`, "-serial", "chardev:serial0"];
}

const MIB = 1024 * 1024;
const PAGES_PER_MIB = 256;
const TICKS_PER_SECOND = 250;
const BASE = 4 * MIB;

/** Where the boot guest's pages are and how fast it rewrites them. */
export function bootParameters(options: SettledOptions): BootParameters {
  const { memory, dirty = 16, still = 16, dirtyRate = 64, zeroing = false, spread = false, machine } = options;
  const bytes = memory * MIB;
  const moving = dirty * PAGES_PER_MIB;
  const fixed = still * PAGES_PER_MIB;
  const room = Math.floor((bytes - BASE - MIB) / 4096);
  if (moving + fixed > room)
    throw new Error(`${dirty} + ${still} MiB of pages do not fit into ${memory} MiB of memory`);
  const below = lowMemory(machine, bytes);
  return {
    base: BASE,
    stride: spread ? 4096 * Math.max(1, Math.floor(room / (moving + fixed))) : 4096,
    moving,
    still: fixed,
    perTick: dirtyRate === Infinity ? 0 : Math.max(1, Math.round((dirtyRate * PAGES_PER_MIB) / TICKS_PER_SECOND)),
    zeroing,
    holeStart: below < bytes ? below : null,
    holeSize: below < bytes ? 4096 * MIB - below : 0,
  };
}

/** Bytes of RAM below 4 GiB: the rest lies above (QEMU's own split for pc and q35). */
function lowMemory(machine: string, bytes: number): number {
  const [largest, split] = machine.includes("q35") ? [0xb0000000, 0x80000000] : [0xe0000000, 0xc0000000];
  return bytes >= largest ? split : bytes;
}

function bootArgs(options: SettledOptions): string[] {
  const image = bootImage(bootParameters(options));
  return ["-drive", `if=floppy,format=raw,readonly=on,file=${image}`, "-boot", "a"];
}

function linuxArgs(options: SettledOptions): string[] {
  const {
    smp,
    dirty = 16,
    dirtyRate = 0,
    still = 32,
    disk,
    diskLoad = false,
    net = true,
    holder = false,
    spinners = false,
  } = options;
  const { kernel, initrd } = linuxImages([
    ...(dirtyRate > 0 ? ["dirtier" as const] : []),
    ...(holder ? ["holder" as const] : []),
    ...(spinners ? ["spinners" as const] : []),
  ]);
  const parameters = [
    "console=ttyS0 loglevel=1 no_timer_check mitigations=off random.trust_cpu=on cryptomgr.notests",
    `fr.mem=${still}`,
  ];
  if (dirtyRate > 0)
    parameters.push(`fr.dirty=${dirty} fr.threads=${smp} fr.rate=${dirtyRate === Infinity ? 0 : dirtyRate}`);
  if (spinners) parameters.push("rdinit=/bin/spinners");
  if (disk !== false) parameters.push("fr.disk=1");
  if (diskLoad) parameters.push("fr.diskload=1");
  const argv = ["-kernel", kernel, "-initrd", initrd, "-append", parameters.join(" ")];
  if (typeof disk === "string")
    argv.push("-drive", `if=none,id=disk0,format=qcow2,file=${disk}`, "-device", "virtio-blk-pci,drive=disk0");
  if (net) argv.push("-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0");
  return argv;
}
