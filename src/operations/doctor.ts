import { userInfo } from "node:os";
import { findQemuPrograms, probeQemu, type QemuProgram } from "../qemu/find.ts";
import {
  type FolderFacts,
  type Probe,
  probeAccelerator,
  probeFolder,
  probeUserfaultfd,
  type UserfaultfdRights,
} from "../qemu/probe.ts";

export interface DoctorOptions {
  /** Where snapshots would go. */
  readonly folder: string;
  /** QEMUs besides those on PATH: names or paths. */
  readonly qemus?: readonly string[];
  readonly signal?: AbortSignal;
}

/** What `fixedram doctor` shows: JSON throughout. */
export interface DoctorReport {
  readonly node: string;
  readonly platform: string;
  readonly user: { readonly uid: number; readonly name: string };
  readonly qemus: readonly QemuReport[];
  /** Tried with the first x86 QEMU that answers; works false with the reason when there is none. */
  readonly kvm: Probe;
  readonly userfaultfd: UserfaultfdRights;
  readonly folder: FolderFacts;
  /** What does not work or is worth knowing, in sentences; empty when all is well. */
  readonly problems: readonly string[];
}

export interface QemuReport extends QemuProgram {
  readonly modes: {
    readonly stop: boolean;
    readonly live: boolean;
    readonly background: boolean;
  };
  /** It loads a fixed-ram file itself; others get a stream from us. */
  readonly mappedRam: boolean;
  readonly multifd: boolean;
  readonly returnPath: boolean;
}

/**
 * Looks at this machine and a folder; starts each QEMU found for a moment. Never throws for what it finds.
 *
 * @throws the signal's reason, when the QEMU that was being asked has ended
 */
export async function doctor(options: DoctorOptions): Promise<DoctorReport> {
  const { signal } = options;
  const qemus: QemuReport[] = [];
  for (const path of findQemuPrograms(options.qemus)) {
    qemus.push(report(await probeQemu(path, { signal })));
    signal?.throwIfAborted();
  }
  const x86 = qemus.find((qemu) => qemu.problem === null && (qemu.target === "x86_64" || qemu.target === null));
  const kvm =
    x86 === undefined
      ? { works: false, why: "there is no x86 QEMU to try it with" }
      : await probeAccelerator(x86.path, "kvm", { signal });
  signal?.throwIfAborted();
  const partial = {
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    user: { uid: process.getuid?.() ?? -1, name: userName() },
    qemus,
    kvm,
    userfaultfd: probeUserfaultfd(),
    folder: probeFolder(options.folder),
  };
  return { ...partial, problems: problemsOf(partial) };
}

function report(qemu: QemuProgram): QemuReport {
  const has = (name: string) => qemu.capabilities.includes(name);
  const answers = qemu.problem === null;
  return {
    ...qemu,
    modes: { stop: answers, live: answers, background: has("background-snapshot") },
    mappedRam: has("mapped-ram"),
    multifd: has("multifd"),
    returnPath: has("return-path"),
  };
}

function problemsOf(report: Omit<DoctorReport, "problems">): readonly string[] {
  const problems: string[] = [];
  const { qemus, folder } = report;
  if (qemus.every((qemu) => qemu.problem !== null)) {
    problems.push("No QEMU was found on PATH: install qemu-system-x86, or the package for your guests.");
  }
  for (const qemu of qemus) {
    if (qemu.problem !== null) problems.push(`${qemu.path} does not answer: ${qemu.problem}`);
  }
  if (!report.kvm.works) problems.push(`Guests cannot run under KVM: ${report.kvm.why}.`);
  if (!report.userfaultfd.works) {
    problems.push(`Background snapshots cannot be taken of QEMUs started by this user: ${report.userfaultfd.why}.`);
  }
  if (!folder.writable) problems.push(`${folder.path} cannot be written: ${folder.sparse.why}`);
  else if (!folder.sparse.works)
    problems.push(`Snapshots in ${folder.path} take the room of the whole RAM: ${folder.sparse.why}.`);
  return problems;
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return "";
  }
}
