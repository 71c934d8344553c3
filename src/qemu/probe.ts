/** What this machine really can do: tried, not assumed. */

import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exitCode, exitPort, probeFirmware } from "./probe-firmware.ts";
import { Running } from "./start.ts";

export interface Probe {
  readonly works: boolean;
  /** One sentence. */
  readonly why: string;
}

/**
 * Whether an accelerator really runs a guest: a machine whose firmware goes into long mode and writes to a port has to end
 * QEMU. That /dev/kvm opens says little: there are hosts where it does and guests hang.
 *
 * @param qemu a system emulator for x86_64
 * @param timeout milliseconds the guest has, default 3000
 * @param signal ends it early, without a word
 */
export async function probeAccelerator(
  qemu: string,
  accelerator: "kvm" | "tcg",
  { timeout = 3000, signal }: { readonly timeout?: number; readonly signal?: AbortSignal | undefined } = {},
): Promise<Probe> {
  if (accelerator === "kvm" && !canOpen("/dev/kvm")) {
    return { works: false, why: "/dev/kvm is missing or may not be opened" };
  }
  const folder = mkdtempSync(join(tmpdir(), "fixedram-probe-"));
  try {
    const firmware = join(folder, "probe.bin");
    writeFileSync(firmware, probeFirmware());
    return await runProbe(qemu, accelerator, firmware, timeout, signal);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runProbe(
  qemu: string,
  accelerator: string,
  firmware: string,
  timeout: number,
  signal: AbortSignal | undefined,
): Promise<Probe> {
  const fixed = `-machine pc -m 16 -nodefaults -no-user-config -display none -no-reboot -device isa-debug-exit,iobase=${exitPort},iosize=1`;
  const running = new Running([qemu, ...fixed.split(" "), "-accel", accelerator, "-bios", firmware], {});
  const started = performance.now();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    running.child.kill("SIGKILL");
  }, timeout);
  const abort = () => running.child.kill("SIGKILL");
  signal?.addEventListener("abort", abort);
  if (signal?.aborted === true) abort();
  const end = await running.ended;
  signal?.removeEventListener("abort", abort);
  clearTimeout(timer);
  const name = accelerator.toUpperCase();
  if (end.code === exitCode) {
    return { works: true, why: `a guest ran under ${name} (${Math.round(performance.now() - started)} ms)` };
  }
  if (late) return { works: false, why: `a guest under ${name} did nothing within ${timeout / 1000} s` };
  const said = running.failure?.message ?? running.words();
  return { works: false, why: said === "" ? `QEMU ended with ${end.signal ?? end.code}` : said };
}

export interface UserfaultfdRights extends Probe {
  /** vm.unprivileged_userfaultfd; null: no such sysctl. */
  readonly sysctl: boolean | null;
  /** /dev/userfaultfd can be opened. QEMU 10 and newer use it. */
  readonly device: boolean;
  /** CAP_SYS_PTRACE of this process. */
  readonly capability: boolean;
}

/** Whether a QEMU that we start may use userfaultfd, which lazy resume and background snapshots need. */
export function probeUserfaultfd(): UserfaultfdRights {
  const text = readText("/proc/sys/vm/unprivileged_userfaultfd").trim();
  const sysctl = text === "" ? null : text === "1";
  const device = canOpen("/dev/userfaultfd");
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(readText("/proc/self/status"))?.[1] ?? "";
  // CAP_SYS_PTRACE is bit 19: the fifth hexadecimal digit from the right, its highest bit.
  const capability = (Number.parseInt(effective.at(-5) ?? "0", 16) & 8) !== 0;
  const base = { sysctl, device, capability };
  if (sysctl === true || capability)
    return { ...base, works: true, why: capability ? "CAP_SYS_PTRACE" : "vm.unprivileged_userfaultfd = 1" };
  if (device)
    return {
      ...base,
      works: true,
      why: "/dev/userfaultfd, which QEMU 10 and newer use; older ones need CAP_SYS_PTRACE",
    };
  return {
    ...base,
    works: false,
    why: "it needs CAP_SYS_PTRACE, access to /dev/userfaultfd, or vm.unprivileged_userfaultfd = 1",
  };
}

export interface FolderFacts {
  readonly path: string;
  /** Name of the file system where it is known, else its magic number. */
  readonly fileSystem: string;
  /** Bytes free for this user. */
  readonly free: number;
  readonly writable: boolean;
  /** Files have holes: a snapshot takes the room of its data, not of the RAM. */
  readonly sparse: Probe;
  readonly direct: Probe;
}

/** Tries a folder with a file of its own, unlinked at once. Errors of the system are answers here, not thrown. */
export function probeFolder(path: string): FolderFacts {
  let fileSystem = "unknown";
  let free = 0;
  try {
    const facts = statfsSync(path);
    fileSystem = fileSystems[facts.type] ?? `0x${facts.type.toString(16)}`;
    free = facts.bavail * facts.bsize;
  } catch (error) {
    const no = { works: false, why: message(error) };
    return { path, fileSystem, free, writable: false, sparse: no, direct: no };
  }
  const file = join(path, `.fixedram-probe-${randomBytes(6).toString("hex")}`);
  const sparse = probeWith(file, constants.O_RDWR, checkSparse);
  const direct = probeWith(file, constants.O_RDWR | constants.O_DIRECT, checkDirect);
  return { path, fileSystem, free, writable: sparse.opened, sparse: sparse.probe, direct: direct.probe };
}

function probeWith(
  file: string,
  flags: number,
  check: (fd: number) => Probe,
): { readonly opened: boolean; readonly probe: Probe } {
  let fd: number;
  try {
    fd = openSync(file, flags | constants.O_CREAT | constants.O_EXCL, 0o600);
  } catch (error) {
    // O_DIRECT is refused after the file has been made.
    if ((error as NodeJS.ErrnoException).code === "EINVAL") rmSync(file, { force: true });
    return { opened: false, probe: { works: false, why: message(error) } };
  }
  try {
    unlinkSync(file);
    return { opened: true, probe: check(fd) };
  } catch (error) {
    return { opened: true, probe: { works: false, why: message(error) } };
  } finally {
    closeSync(fd);
  }
}

function checkSparse(fd: number): Probe {
  const size = 64 * 1024 * 1024;
  ftruncateSync(fd, size);
  writeSync(fd, new Uint8Array(4096).fill(1), 0, 4096, size / 2);
  const allocated = fstatSync(fd).blocks * 512;
  const works = allocated < size / 8;
  return { works, why: works ? "files have holes" : `a file of ${size} bytes with 4096 written takes ${allocated}` };
}

/** Node has it; the types of a library without a DOM do not. */
type MemoryConstructor = new (descriptor: { initial: number }) => { readonly buffer: ArrayBuffer };

function checkDirect(fd: number): Probe {
  // WebAssembly memory begins on a page, which O_DIRECT asks for.
  const { WebAssembly } = globalThis as unknown as { WebAssembly: { Memory: MemoryConstructor } };
  const memory = new Uint8Array(new WebAssembly.Memory({ initial: 1 }).buffer);
  const written = writeSync(fd, memory, 0, 4096, 0);
  return {
    works: written === 4096,
    why: written === 4096 ? "4096 bytes written past the page cache" : "a short write",
  };
}

const fileSystems: Readonly<Record<number, string>> = {
  61267: "ext4",
  16914836: "tmpfs",
  1481003842: "xfs",
  2435016766: "btrfs",
  801189825: "zfs",
  26985: "nfs",
  2035054128: "overlayfs",
  1702057286: "fuse",
  16914839: "9p",
  4076150800: "f2fs",
};

function canOpen(path: string): boolean {
  try {
    closeSync(openSync(path, constants.O_RDWR));
    return true;
  } catch {
    return false;
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
