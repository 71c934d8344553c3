/**
 * Firmware for one question: does a guest really run here? From reset through protected mode and paging into long mode, some
 * work on memory, then a write to isa-debug-exit, which ends QEMU. Source: test/qemu-unit/probe-firmware.asm (a test compares).
 *
 * It has to go as far as long mode: hosts were seen whose KVM runs real mode and hangs there.
 */
const code =
  "fa2e0f0116b8000f20c00c010f22c066ea17000f00080066b810008ed88ec08ed0bf00100000b9000c000031c0f3abc7" +
  "050010000003200000c7050020000003300000c70500300000830000000f20e083c8200f22e0b8001000000f22d8b980" +
  "0000c00f320d000100000f300f20c00d010000800f22c0ea7e000f001800b90000010048010c2500800000e2f6b00166" +
  "baf400eef40000000000000000000000ffff0000009acf00ffff00000092cf00ffff0000009aaf001f0098000f";
/** At the reset vector, 16 bytes before the end: a near jump to the image's first byte. */
const reset = "e90d";

/** The port of isa-debug-exit, and QEMU's exit code after the guest wrote 1 there: (1 << 1) | 1. */
export const exitPort = 0xf4;
export const exitCode = 3;

/** An image of 64 KiB for `-bios`. */
export function probeFirmware(): Uint8Array {
  const image = new Uint8Array(0x10000);
  image.set(Buffer.from(code, "hex"), 0);
  image.set(Buffer.from(reset, "hex"), 0xfff0);
  return image;
}
