/**
 * Guests of a few instructions: they turn paging on, with tables that are made here, fill their registers, and stay at one
 * place. What they end as is known to the last bit.
 */

/** One page, or block of pages, of a guest's virtual memory. */
export interface Mapping {
  readonly virtual: bigint;
  readonly physical: number;
  /** Bytes. */
  readonly size: number;
  /** The entry's bits besides its address and kind. */
  readonly bits: bigint;
}

/** Page tables in memory, by the manuals' rules: `index` says where an address stands in a level's table. */
class Tables {
  readonly bytes: Buffer;
  readonly #at: number;
  readonly #entry: 4 | 8;
  #next = 0;

  constructor(at: number, room: number, entry: 4 | 8) {
    this.bytes = Buffer.alloc(room);
    this.#at = at;
    this.#entry = entry;
  }

  /** A new table's address. */
  table(size: number): number {
    const align = Math.max(size, 32);
    this.#next = Math.ceil(this.#next / align) * align;
    const at = this.#at + this.#next;
    this.#next += size;
    if (this.#next > this.bytes.length) throw new RangeError("no room for tables");
    return at;
  }

  entry(table: number, index: number): bigint {
    const at = table - this.#at + index * this.#entry;
    return this.#entry === 4 ? BigInt(this.bytes.readUInt32LE(at)) : this.bytes.readBigUInt64LE(at);
  }

  set(table: number, index: number, value: bigint): void {
    const at = table - this.#at + index * this.#entry;
    if (this.#entry === 4) this.bytes.writeUInt32LE(Number(value), at);
    else this.bytes.writeBigUInt64LE(value, at);
  }
}

const indexOf = (virtual: bigint, shift: number, bits: number): number =>
  Number((virtual >> BigInt(shift)) & ((1n << BigInt(bits)) - 1n));

// ---- aarch64 -----------------------------------------------------------------------------------------------------------

export interface ArmPaging {
  /** log2 of the granule's bytes. */
  readonly granule: 12 | 14 | 16;
  /** Bits of virtual address in each half. */
  readonly bits: number;
}

const armAt = 0x4200_0000;
/** Where the guest stays, by its upper half's tables; its code lies at the image's first byte. */
const armHome = (bits: number): bigint => 2n ** 64n - 2n ** BigInt(bits) + 0x1230_0000n;

export interface Bare {
  /** To be put at `at` in guest memory. */
  readonly image: Buffer;
  readonly at: number;
  /** Where it stays, virtual. */
  readonly home: bigint;
  readonly mappings: readonly Mapping[];
}

/** General register n of an ARM guest. */
export const armRegister = (n: number): bigint => 0x0123_4567_89ab_0000n + BigInt(n) * 0x1111_0000_0000_0101n;
export const armStack = 0xffff_1234_5678_9ab0n;

export interface ArmSystem {
  readonly ttbr0_el1: bigint;
  readonly ttbr1_el1: bigint;
  readonly tcr_el1: bigint;
  readonly mair_el1: bigint;
  readonly tpidr_el1: bigint;
  readonly vbar_el1: bigint;
}

/** Attributes of a page: accessed, inner shareable, the first memory type. */
const armPage = (1n << 10n) | (3n << 8n);
const armReadOnly = 1n << 7n;
const armUser = 1n << 6n;
const armNever = (1n << 54n) | (1n << 53n);

export function armGuest({ granule, bits }: ArmPaging): Bare & { readonly system: ArmSystem } {
  const page = 2 ** granule;
  const block = 2 ** (granule + granule - 3);
  const home = armHome(bits);
  const top = 2n ** 64n - 2n ** BigInt(bits);
  const tables = new Tables(armAt + 0x4_0000, 0x40_0000, 8);
  const code = Math.floor(armAt / page) * page;
  const lower: Mapping[] = [
    { virtual: BigInt(code), physical: code, size: page, bits: armPage },
    // A page for user code, one read-only, one not to be executed, all away from their physical place.
    { virtual: 0x7_0000_0000n, physical: 0x4300_0000, size: page, bits: armPage | armUser | armReadOnly },
    { virtual: 0x7_0000_0000n + BigInt(page), physical: 0x4310_0000, size: page, bits: armPage | armNever | armUser },
    { virtual: 0x2_0000_0000n, physical: 0x4000_0000, size: block, bits: armPage | armNever },
  ];
  const upper: Mapping[] = [
    { virtual: home, physical: code, size: page, bits: armPage },
    { virtual: top, physical: 0x4300_0000, size: page, bits: armPage | armNever | armReadOnly },
    { virtual: 2n ** 64n - BigInt(page), physical: 0x4320_0000, size: page, bits: armPage | armNever | (1n << 11n) },
  ];
  const root0 = armTables(tables, lower, { granule, bits });
  const root1 = armTables(tables, upper, { granule, bits });
  const sizeBits = BigInt(64 - bits);
  const tg0 = { 12: 0n, 16: 1n, 14: 2n }[granule];
  const tg1 = { 14: 1n, 12: 2n, 16: 3n }[granule];
  const system: ArmSystem = {
    ttbr0_el1: BigInt(root0),
    ttbr1_el1: BigInt(root1),
    // 40 bits of physical address; tables are read through the caches.
    tcr_el1: sizeBits | (sizeBits << 16n) | (tg0 << 14n) | (tg1 << 30n) | (2n << 32n) | 0x3500_3500n,
    mair_el1: 0xffn,
    tpidr_el1: 0x0bad_cafe_0000_0001n,
    vbar_el1: home + 0x800n,
  };
  const image = Buffer.alloc(0x4_0000 + tables.bytes.length);
  armCode(system, home).forEach((word, i) => {
    image.writeUInt32LE(word, i * 4);
  });
  tables.bytes.copy(image, 0x4_0000);
  const mappings = [...lower, ...upper];
  // The guest's last instruction stands behind its others.
  return { image, at: armAt, home: home + BigInt(armHomeOffset), mappings, system };
}

/** Tables for one half of the address space; gives the first one's address. */
function armTables(tables: Tables, mappings: readonly Mapping[], { granule, bits }: ArmPaging): number {
  const stride = granule - 3;
  const levels = Math.ceil((bits - granule) / stride);
  const widthAt = (level: number) => Math.min(stride, bits - granule - stride * (3 - level));
  const first = 4 - levels;
  const root = tables.table(2 ** widthAt(first) * 8);
  for (const { virtual, physical, size, bits: attributes } of mappings) {
    let table = root;
    for (let level = first; ; level++) {
      const shift = granule + stride * (3 - level);
      const index = indexOf(virtual, shift, widthAt(level));
      if (size === 2 ** shift) {
        tables.set(table, index, BigInt(physical) | attributes | (level === 3 ? 3n : 1n));
        break;
      }
      let below = tables.entry(table, index);
      if (below === 0n) {
        below = BigInt(tables.table(2 ** granule)) | 3n;
        tables.set(table, index, below);
      }
      table = Number(below & 0xffff_ffff_f000n);
    }
  }
  return root;
}

/** A64, from the Arm manual's encodings. */
const movz = (register: number, value: number, half: number) => 0xd280_0000 + half * 2 ** 21 + value * 32 + register;
const movk = (register: number, value: number, half: number) => 0xf280_0000 + half * 2 ** 21 + value * 32 + register;
const msr = (op1: number, crn: number, crm: number, op2: number, register: number) =>
  0xd518_0000 + op1 * 2 ** 16 + crn * 2 ** 12 + crm * 2 ** 8 + op2 * 32 + register;
const isb = 0xd503_3fdf;
const dsb = 0xd503_3f9f;
const tlbi = 0xd508_871f;
const movSp = (register: number) => 0x9100_001f + register * 32;
const br = (register: number) => 0xd61f_0000 + register * 32;
const stay = 0x1400_0000;

const nop = 0xd503_201f;

/** In the code: registers are filled from here on, at home; the last instruction, where it stays. */
const armFill = 0x200;
const armHomeOffset = armFill + 31 * 16;

function armCode(system: ArmSystem, home: bigint): number[] {
  const load = (register: number, value: bigint) =>
    [0, 1, 2, 3].map((half) => (half === 0 ? movz : movk)(register, indexOf(value, 16 * half, 16), half));
  const set = (value: bigint, op1: number, crn: number, crm: number, op2: number) => [
    ...load(0, value),
    msr(op1, crn, crm, op2, 0),
  ];
  const code = [
    ...set(system.mair_el1, 0, 10, 2, 0),
    ...set(system.tcr_el1, 0, 2, 0, 2),
    ...set(system.ttbr0_el1, 0, 2, 0, 0),
    ...set(system.ttbr1_el1, 0, 2, 0, 1),
    ...set(system.tpidr_el1, 0, 13, 0, 4),
    ...set(system.vbar_el1, 0, 12, 0, 0),
    ...[dsb, tlbi, dsb, isb],
    // The MMU and the caches on; the rest is one always.
    ...set(0x30d0_0800n + 0x1005n, 0, 1, 0, 0),
    isb,
    ...load(0, armStack),
    movSp(0),
    ...load(30, home + BigInt(armFill)),
    br(30),
  ];
  if (code.length * 4 > armFill) throw new RangeError(`${code.length} instructions`);
  while (code.length * 4 < armFill) code.push(nop);
  for (let register = 0; register <= 30; register++) code.push(...load(register, armRegister(register)));
  return [...code, stay];
}

// ---- 32-bit x86 --------------------------------------------------------------------------------------------------------

export type X86Tables = "32-bit" | "PAE";

const x86At = 0x10_0000;
const x86Code = 0x40;
const present = 1n;
const writable = 2n;
const user = 4n;
const dirtied = 0x60n;
const large = 0x80n;
const global = 0x100n;
const noExecute = 1n << 63n;

/** eax, ecx, edx, ebx, esp, ebp, esi, edi: but ecx, which it jumps by. */
export const x86Registers = [
  0xa1a2_a3a4n,
  null,
  0xd1d2_d3d4n,
  0xb1b2_b3b4n,
  0x5151_5150n,
  0xe1e2_e3e4n,
  0x7172_7374n,
  0xf1f2_f3f4n,
] as const;

/** A kernel by the Multiboot specification 0.6.96, which QEMU puts into memory and starts in 32-bit protected mode. */
export function x86Guest(paging: X86Tables): Bare & { readonly cr3: bigint; readonly cr4: bigint } {
  const big = paging === "PAE" ? 2 ** 21 : 2 ** 22;
  const home = 0xc123_4000n;
  const nx = paging === "PAE" ? noExecute : 0n;
  const mappings: Mapping[] = [
    { virtual: 0n, physical: 0, size: big, bits: present | writable | large | dirtied },
    { virtual: home, physical: x86At, size: 4096, bits: present | 0x20n },
    { virtual: 0x4000_0000n, physical: 2 * big, size: big, bits: present | user | large | global | nx },
    // Every other page of the third large one, backwards.
    ...Array.from(
      { length: 40 },
      (_, i): Mapping => ({
        virtual: 0x8000_0000n + BigInt(i) * 0x2000n,
        physical: 4 * big - (i + 1) * 4096,
        size: 4096,
        bits: present | user | (i % 2 === 0 ? writable | dirtied : nx),
      }),
    ),
    { virtual: 0xffff_f000n, physical: 3 * big, size: 4096, bits: present | writable },
  ];
  const tables = new Tables(x86At + 0x1000, 0x1_0000, paging === "PAE" ? 8 : 4);
  const cr3 = BigInt(x86Tables(tables, mappings, paging));
  // PSE; with PAE, PAE and PGE.
  const cr4 = paging === "PAE" ? 0xa0n : 0x10n;
  const code = x86Instructions({ cr3, cr4, home, paging });
  const image = Buffer.alloc(0x1000 + tables.bytes.length);
  const end = x86At + image.length;
  const flags = 0x1_0000;
  const magic = 0x1bad_b002;
  const checksum = 2 ** 32 - flags - magic;
  [magic, flags, checksum, x86At, x86At, end, end, x86At + x86Code].forEach((word, i) => {
    image.writeUInt32LE(word, i * 4);
  });
  image.set(code, x86Code);
  tables.bytes.copy(image, 0x1000);
  return { image, at: x86At, home: home + BigInt(x86Code + code.length - 2), mappings, cr3, cr4 };
}

function x86Tables(tables: Tables, mappings: readonly Mapping[], paging: X86Tables): number {
  const pae = paging === "PAE";
  const bits = pae ? 9 : 10;
  const root = tables.table(pae ? 32 : 4096);
  for (const { virtual, physical, size, bits: marks } of mappings) {
    let table = root;
    for (let level = pae ? 3 : 2; ; level--) {
      const shift = 12 + bits * (level - 1);
      const index = indexOf(virtual, shift, level === 3 ? 2 : bits);
      if (size === 2 ** shift) {
        tables.set(table, index, BigInt(physical) | marks);
        break;
      }
      let below = tables.entry(table, index);
      if (below === 0n) {
        below = BigInt(tables.table(4096)) | present | (level === 3 ? 0n : writable | user);
        tables.set(table, index, below);
      }
      table = Number(below & 0xffff_f000n);
    }
  }
  return root;
}

/** Intel's manual, volume 2. */
function x86Instructions(guest: {
  readonly cr3: bigint;
  readonly cr4: bigint;
  readonly home: bigint;
  readonly paging: X86Tables;
}): number[] {
  const immediate = (value: bigint) => [0, 8, 16, 24].map((shift) => indexOf(value, shift, 8));
  const mov = (register: number, value: bigint) => [0xb8 + register, ...immediate(value)];
  const start = [
    0xfa, // cli
    ...mov(0, guest.cr4),
    ...[0x0f, 0x22, 0xe0], // mov cr4, eax
    ...(guest.paging === "PAE"
      ? // EFER: NXE. xor edx, edx; wrmsr
        [...mov(1, 0xc000_0080n), ...mov(0, 0x800n), 0x31, 0xd2, 0x0f, 0x30]
      : []),
    ...mov(0, guest.cr3),
    ...[0x0f, 0x22, 0xd8], // mov cr3, eax
    ...[0x0f, 0x20, 0xc0], // mov eax, cr0
    ...[0x0d, ...immediate(0x8001_0000n)], // or eax, PG | WP
    ...[0x0f, 0x22, 0xc0], // mov cr0, eax
    ...x86Registers.flatMap((value, register) => (value === null ? [] : mov(register, value))),
  ];
  const stays = guest.home + BigInt(x86Code + start.length + 7);
  // mov ecx, where it stays; jmp ecx; jmp .
  return [...start, ...mov(1, stays), 0xff, 0xe1, 0xeb, 0xfe];
}
