/** What `fixedram doctor` is given in tests. */
import type { DoctorReport } from "../../../src/operations/doctor.ts";
import { MiB } from "./guests.ts";

export const examined: DoctorReport = {
  node: "v20.20.2",
  platform: "linux-x64",
  user: { uid: 1000, name: "me" },
  qemus: [
    {
      path: "/usr/bin/qemu-system-x86_64",
      target: "x86_64",
      version: { major: 10, minor: 0, micro: 2, package: "Debian 1:10.0.2", text: "10.0.2" },
      capabilities: ["return-path", "multifd", "mapped-ram", "background-snapshot"],
      problem: null,
      modes: { stop: true, live: true, background: true },
      mappedRam: true,
      multifd: true,
      returnPath: true,
    },
    {
      path: "/opt/qemu/bin/qemu-system-x86_64",
      target: null,
      version: null,
      capabilities: [],
      problem: "it ended with code 127",
      modes: { stop: false, live: false, background: false },
      mappedRam: false,
      multifd: false,
      returnPath: false,
    },
  ],
  kvm: { works: false, why: "a guest under KVM did nothing within 3 s" },
  userfaultfd: { works: true, why: "CAP_SYS_PTRACE", sysctl: false, device: true, capability: true },
  folder: {
    path: "/here",
    fileSystem: "ext4",
    free: 78.5 * 1024 * MiB,
    writable: true,
    sparse: { works: true, why: "files have holes" },
    direct: { works: true, why: "4096 bytes written past the page cache" },
  },
  problems: ["/opt/qemu/bin/qemu-system-x86_64 does not answer: it ended with code 127"],
};
