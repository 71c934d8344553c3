/** Numbers of QEMU's migration stream: docs/format.md, and QEMU's docs/devel/migration. All integers are big-endian. */

/** "QEVM" */
export const STREAM_MAGIC = 0x5145564d;
export const STREAM_VERSION = 3;
export const RAM_VERSION = 4;
export const DIRTY_BITMAP_VERSION = 1;

export const SectionType = {
  eof: 0x00,
  start: 0x01,
  part: 0x02,
  end: 0x03,
  full: 0x04,
  subsection: 0x05,
  vmdesc: 0x06,
  configuration: 0x07,
  command: 0x08,
  footer: 0x7e,
} as const;

export const RamFlag = {
  full: 0x001,
  zero: 0x002,
  memSize: 0x004,
  page: 0x008,
  eos: 0x010,
  continue: 0x020,
  xbzrle: 0x040,
  hook: 0x080,
  compressPage: 0x100,
  multifdFlush: 0x200,
} as const;

export const DirtyBitmapFlag = {
  eos: 0x01,
  zeroes: 0x02,
  bitmapName: 0x04,
  nodeName: 0x08,
  start: 0x10,
  complete: 0x20,
  bits: 0x40,
  extended: 0x80,
} as const;

export const Command = {
  openReturnPath: 1,
  ping: 2,
  postcopyAdvise: 3,
  postcopyListen: 4,
  postcopyRun: 5,
  ramDiscard: 6,
  packaged: 7,
  enableColo: 8,
  postcopyResume: 9,
  recvBitmap: 10,
  switchoverStart: 11,
} as const;

/** Data lengths that each command may have, bytes; null = any. */
export const commandLengths: Readonly<Record<number, readonly number[] | null>> = {
  [Command.openReturnPath]: [0],
  [Command.ping]: [4],
  [Command.postcopyAdvise]: [0, 16],
  [Command.postcopyListen]: [0],
  [Command.postcopyRun]: [0],
  [Command.ramDiscard]: null,
  [Command.packaged]: [4],
  [Command.enableColo]: [0],
  [Command.postcopyResume]: [0],
  [Command.recvBitmap]: null,
  [Command.switchoverStart]: [0],
};

/** u32 version, u64 page size, u64 bitmap offset, u64 pages offset. */
export const MAPPED_HEADER_SIZE = 28;
