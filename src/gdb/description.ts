/** Target descriptions: "Debugging with GDB", appendix G. */

export interface RegisterDescription {
  readonly name: string;
  readonly bits: number;
  /** gdb's name for the type; default by size: int, int64. */
  readonly type?: string;
  readonly group?: string;
}

export interface Feature {
  readonly name: string;
  /** Types of its own, XML. */
  readonly types?: string;
  readonly registers: readonly RegisterDescription[];
}

export function descriptionXml(architecture: string, features: readonly Feature[]): string {
  const parts = features.map(({ name, types = "", registers }) => {
    const lines = registers.map(({ name: register, bits, type = bits === 64 ? "int64" : "int", group }) => {
      const more = group === undefined ? "" : ` group="${group}"`;
      return `<reg name="${register}" bitsize="${bits}" type="${type}"${more}/>`;
    });
    return `<feature name="${name}">${types}${lines.join("")}</feature>`;
  });
  return `<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0"><architecture>${architecture}</architecture>${parts.join("")}</target>`;
}

/** A number's bytes, least significant first. */
export function littleEndian(value: bigint | number, bytes: number): Uint8Array {
  let rest = BigInt.asUintN(bytes * 8, BigInt(value));
  const out = new Uint8Array(bytes);
  for (let i = 0; i < bytes; i++) {
    out[i] = Number(rest % 256n);
    rest /= 256n;
  }
  return out;
}
