/**
 * How files that are no snapshot of QEMU's begin, so that they can be refused by name. Sources: each format's own
 * documentation or header file; for VMware and LiME also the readers in Volatility 3.
 */

export interface Magic {
  /** With its article, to stand after "this is". */
  readonly what: string;
  readonly offset: number;
  /** Each character a byte; `?` any byte. */
  readonly bytes: string;
  /** What to do instead, whole sentences. */
  readonly hint?: string;
}

const disk = "A snapshot's memory is not in it; if QEMU's savevm put a snapshot into it, load that with -loadvm.";
const noMemory = "A disk image holds nothing of a guest's memory.";
const core = "It holds memory, but not the state of the guest's devices, so it can't be resumed.";
const otherVmm = "It belongs to another virtual machine monitor; QEMU can't load it.";

export const magics: readonly Magic[] = [
  { what: "a qcow2 disk image", offset: 0, bytes: "QFI\xfb", hint: disk },
  { what: "a QED disk image", offset: 0, bytes: "QED\0", hint: disk },
  { what: "a VMDK disk image", offset: 0, bytes: "KDMV", hint: noMemory },
  { what: "a VMDK disk image's description", offset: 0, bytes: "# Disk DescriptorFile", hint: noMemory },
  { what: "a VHDX disk image", offset: 0, bytes: "vhdxfile", hint: noMemory },
  { what: "a VHD disk image", offset: 0, bytes: "conectix", hint: noMemory },
  { what: "a VirtualBox disk image", offset: 64, bytes: "\x7f\x10\xda\xbe", hint: noMemory },
  { what: "an ELF core (64-bit)", offset: 0, bytes: "\x7fELF\x02\x01??????????\x04\0", hint: core },
  { what: "an ELF core (64-bit, big-endian)", offset: 0, bytes: "\x7fELF\x02\x02??????????\0\x04", hint: core },
  { what: "an ELF core (32-bit)", offset: 0, bytes: "\x7fELF\x01\x01??????????\x04\0", hint: core },
  { what: "an ELF core (32-bit, big-endian)", offset: 0, bytes: "\x7fELF\x01\x02??????????\0\x04", hint: core },
  { what: "an ELF program or library", offset: 0, bytes: "\x7fELF" },
  { what: "a kdump-compressed dump", offset: 0, bytes: "KDUMP   ", hint: core },
  { what: "a diskdump", offset: 0, bytes: "DISKDUMP", hint: core },
  { what: "a flattened makedumpfile dump", offset: 0, bytes: "makedumpfile\0", hint: core },
  { what: "a Windows crash dump", offset: 0, bytes: "PAGEDU", hint: core },
  { what: "a LiME memory dump", offset: 0, bytes: "EMiL", hint: core },
  { what: "an AVML memory dump", offset: 0, bytes: "LMVA", hint: core },
  { what: "a Firecracker snapshot (x86-64)", offset: 0, bytes: "??\x64\x86\x84\x19\x10\x07", hint: otherVmm },
  { what: "a Firecracker snapshot (aarch64)", offset: 0, bytes: "??\xaa\xaa\x84\x19\x10\x07", hint: otherVmm },
  { what: "a CRIU image", offset: 0, bytes: "\x19\x43\x56\x54", hint: "It holds a process, not a virtual machine." },
  { what: "a CRIU image", offset: 0, bytes: "\x40\x59\x10\x55", hint: "It holds a process, not a virtual machine." },
  { what: "a CRIU image", offset: 0, bytes: "\x16\x31\x31\x58", hint: "It holds a process, not a virtual machine." },
  { what: "a VMware saved state", offset: 0, bytes: "\xd0\xbe\xd2\xbe", hint: otherVmm },
  { what: "a VMware saved state", offset: 0, bytes: "\xd1\xba\xd1\xba", hint: otherVmm },
  { what: "a VMware saved state", offset: 0, bytes: "\xd2\xbe\xd2\xbe", hint: otherVmm },
  { what: "a VMware saved state", offset: 0, bytes: "\xd3\xbe\xd3\xbe", hint: otherVmm },
  { what: "a VirtualBox saved state", offset: 0, bytes: "\x7fVirtualBox SavedState ", hint: otherVmm },
  { what: "a Xen saved domain", offset: 0, bytes: "\xff\xff\xff\xff\xff\xff\xff\xffXENF", hint: otherVmm },
  { what: "a Xen saved domain", offset: 0, bytes: "Xen saved domain, xl format", hint: otherVmm },
  {
    what: "an index of a migration stream",
    offset: 0,
    bytes: "FRAMINDX",
    hint: "Open the file that it is the index of.",
  },
  { what: "a tar archive", offset: 257, bytes: "ustar", hint: "Unpack it first." },
  { what: "a zip archive", offset: 0, bytes: "PK\x03\x04", hint: "Unpack it first." },
  { what: "an ISO 9660 image", offset: 32769, bytes: "CD001" },
];

/** Compressed files: with the command that unpacks them. */
export const compressions: readonly (Magic & { readonly tool: string })[] = [
  { what: "gzip", offset: 0, bytes: "\x1f\x8b", tool: "gzip -dc" },
  { what: "bzip2", offset: 0, bytes: "BZh?1AY&SY", tool: "bzip2 -dc" },
  { what: "bzip2", offset: 0, bytes: "BZh?\x17\x72\x45\x38\x50\x90", tool: "bzip2 -dc" },
  { what: "xz", offset: 0, bytes: "\xfd7zXZ\0", tool: "xz -dc" },
  { what: "lzop", offset: 0, bytes: "\x89LZO\0\r\n\x1a\n", tool: "lzop -dc" },
  { what: "zstd", offset: 0, bytes: "\x28\xb5\x2f\xfd", tool: "zstd -dc" },
  { what: "lz4", offset: 0, bytes: "\x04\x22\x4d\x18", tool: "lz4 -dc" },
];

export function matches(head: Uint8Array, { offset, bytes }: Magic): boolean {
  if (head.length < offset + bytes.length) return false;
  for (let i = 0; i < bytes.length; i++) {
    const wanted = bytes[i];
    if (wanted !== "?" && head[offset + i] !== bytes.charCodeAt(i)) return false;
  }
  return true;
}
