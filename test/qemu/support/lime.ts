/** A reader of LiME files, from the format's description (LiME, doc/README.md) and not from our writer. */

export interface LimeRange {
  readonly start: number;
  readonly bytes: Uint8Array;
}

/** Every range of the file; throws where Volatility would: another magic or version, ranges that overlap, a file that ends in one. */
export function limeRanges(file: Buffer): LimeRange[] {
  const ranges: LimeRange[] = [];
  let above = 0;
  for (let at = 0; at < file.length; ) {
    if (file.toString("latin1", at, at + 4) !== "EMiL") throw new Error(`no header at byte ${at}`);
    if (file.readUInt32LE(at + 4) !== 1) throw new Error(`version ${file.readUInt32LE(at + 4)}`);
    const [start, last] = [Number(file.readBigUInt64LE(at + 8)), Number(file.readBigUInt64LE(at + 16))];
    if (file.readBigUInt64LE(at + 24) !== 0n) throw new Error("something where nothing is defined");
    if (start < above || last < start) throw new Error(`a range from ${start} to ${last} after ${above}`);
    const from = at + 32;
    at = from + last - start + 1;
    if (at > file.length) throw new Error(`the file ends in the range at ${start}`);
    ranges.push({ start, bytes: file.subarray(from, at) });
    above = last + 1;
  }
  return ranges;
}
