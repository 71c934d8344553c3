/** A reader of ELF cores, for tests: as plain as it gets. */

export interface Core {
  readonly notes: readonly { readonly name: string; readonly type: number; readonly bytes: Buffer }[];
  readonly segments: readonly {
    readonly offset: number;
    readonly virtual: bigint;
    readonly physical: number;
    readonly bytes: Buffer;
  }[];
}

export function coreOf(file: Buffer): Core {
  if (file.toString("latin1", 0, 4) !== "\x7fELF" || file[4] !== 2 || file[5] !== 1) throw new Error("no ELF64");
  if (file.readUInt16LE(16) !== 4) throw new Error("no core");
  const at = Number(file.readBigUInt64LE(32));
  const heads = Array.from({ length: file.readUInt16LE(56) }, (_, i) => file.subarray(at + 56 * i, at + 56 * (i + 1)));
  const notes: { name: string; type: number; bytes: Buffer }[] = [];
  const segments: { offset: number; virtual: bigint; physical: number; bytes: Buffer }[] = [];
  for (const head of heads) {
    const [offset, virtual, physical, size] = [8, 16, 24, 32].map((place) => head.readBigUInt64LE(place)) as [
      bigint,
      bigint,
      bigint,
      bigint,
    ];
    const bytes = file.subarray(Number(offset), Number(offset + size));
    if (head.readUInt32LE(0) === 4) notes.push(...notesOf(bytes));
    else segments.push({ offset: Number(offset), virtual, physical: Number(physical), bytes });
  }
  return { notes, segments };
}

function notesOf(bytes: Buffer): { name: string; type: number; bytes: Buffer }[] {
  const found: { name: string; type: number; bytes: Buffer }[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [name, length, type] = [0, 4, 8].map((place) => bytes.readUInt32LE(at + place)) as [number, number, number];
    const start = at + 12 + Math.ceil(name / 4) * 4;
    found.push({
      name: bytes.toString("latin1", at + 12, at + 12 + name - 1),
      type,
      bytes: bytes.subarray(start, start + length),
    });
    at = start + Math.ceil(length / 4) * 4;
  }
  return found;
}
