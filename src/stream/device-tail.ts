import { viewOf } from "../bytes/cursor.ts";
import { printable } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import { SectionType } from "./constants.ts";
import type { DeviceRecord } from "./records.ts";
import { cutDeviceState, DeviceLengths, MAX_VMDESC, parseVmdesc, type Vmdesc } from "./vmdesc.ts";

/** How many possible ends may be looked at, and how many bytes of them parsed, before the stream is taken for an attack. */
const MAX_TRIES = 4096;
const MAX_TRIED_BYTES = 2 ** 28;
/** How many may be met, most of which are no JSON by their last byte. */
const MAX_CANDIDATES = 65536;
/** type, id | eof | vmdesc type, length | `{"` */
const FOOTER_TO_JSON = 11;

interface Candidate {
  /** Where the footer before EOF begins. */
  readonly footer: number;
  readonly end: number;
}

export interface TailEnd {
  readonly devices: readonly DeviceRecord[];
  readonly vmdesc: Uint8Array;
  /** Bytes of the tail up to the vmdesc's end. */
  readonly length: number;
}

/**
 * The end of a stream: device sections, EOF and vmdesc, held until the vmdesc tells them apart.
 *
 * A candidate for the end is `7e <id> 00 06 <u32 length> {"`, or `{ ` for `{"`. It is the end when `length` bytes are in, they parse, and the
 * device sections, walked by the lengths they give, land exactly on it. Candidates are found in one forward scan and tried
 * in the order in which they end, so chunking changes nothing.
 */
export class DeviceTail {
  readonly #offset: number;
  readonly #limit: number;
  readonly #early: readonly DeviceRecord[];
  #bytes = new Uint8Array(4096);
  #view = viewOf(this.#bytes);
  #length = 0;
  #scanned = 0;
  readonly #pending: Candidate[] = [];
  #candidates = 0;
  #tries = 0;
  #triedBytes = 0;
  /** Why the last thing that looked like the end was not. */
  #rejection: unknown = null;

  /**
   * @param offset of the first device section in the stream
   * @param limit bytes that may be held
   * @param early sections that the vmdesc lists too
   */
  constructor(offset: number, limit: number, early: readonly DeviceRecord[]) {
    this.#offset = offset;
    this.#limit = limit;
    this.#early = early;
  }

  /** What has come so far; a view. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Takes bytes and returns the stream's end when it lies within all that has come. */
  append(bytes: Uint8Array): TailEnd | null {
    const length = this.#length + bytes.length;
    this.#reserve(Math.min(length, this.#limit));
    const taken = Math.min(length, this.#limit) - this.#length;
    this.#bytes.set(bytes.subarray(0, taken), this.#length);
    this.#length += taken;
    const end = this.#findEnd();
    if (end !== null) return end;
    if (length <= this.#limit) return null;
    throw new FixedramError("stream.device-state-too-large", "the device state is larger than the limit", {
      offset: this.#offset,
      expected: `at most ${this.#limit} bytes up to the vmdesc's end`,
      hint: "Raise maxDeviceState if the guest really has that much.",
    });
  }

  #reserve(length: number): void {
    if (length <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(length, Math.min(this.#bytes.length * 4, this.#limit)));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = viewOf(larger);
  }

  /** Looks for candidates up to where the next one ends, tries that, and so on: what is met does not depend on the chunks. */
  #findEnd(): TailEnd | null {
    for (;;) {
      this.#scan();
      const next = this.#pending.at(-1);
      if (next === undefined || next.end > this.#length) return null;
      this.#pending.pop();
      const end = this.#try(next);
      if (end !== null) return end;
    }
  }

  /** Gathers candidates up to the end of what has come, or of the first candidate. */
  #scan(): void {
    const view = this.#view;
    let at = this.#scanned;
    for (;;) {
      const limit = Math.min(this.#length, this.#pending.at(-1)?.end ?? this.#length);
      at = this.#bytes.subarray(0, limit).indexOf(SectionType.footer, at);
      if (at === -1 || at + FOOTER_TO_JSON + 2 > limit) {
        this.#scanned = at === -1 ? Math.max(this.#scanned, limit) : at;
        return;
      }
      if (view.getUint16(at + 5) === SectionType.vmdesc && beginsObject(view.getUint16(at + 11))) {
        const length = view.getUint32(at + 7);
        const end = at + FOOTER_TO_JSON + length;
        if (length >= 2 && length <= MAX_VMDESC && end <= this.#limit) this.#add({ footer: at, end });
      }
      at++;
      this.#scanned = at;
    }
  }

  /** Keeps them in the order in which they end, the first one last. */
  #add(candidate: Candidate): void {
    this.#candidates++;
    if (this.#pending.length >= MAX_TRIES || this.#candidates > MAX_CANDIDATES) throw this.#tooMany();
    const { end } = candidate;
    let low = 0;
    let high = this.#pending.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((this.#pending[middle]?.end ?? 0) > end) low = middle + 1;
      else high = middle;
    }
    this.#pending.splice(low, 0, candidate);
  }

  #tooMany(): FixedramError {
    return new FixedramError("stream.false-ends", "the device state holds too many things that look like its end", {
      offset: this.#offset,
    });
  }

  #try(candidate: Candidate): TailEnd | null {
    const json = candidate.footer + FOOTER_TO_JSON;
    if (this.#bytes[candidate.end - 1] !== 0x7d) return null;
    this.#tries++;
    this.#triedBytes += candidate.end - json;
    if (this.#tries > MAX_TRIES || this.#triedBytes > MAX_TRIED_BYTES) throw this.#tooMany();
    const vmdesc = this.#bytes.subarray(json, candidate.end);
    let devices: DeviceRecord[];
    let claimed: ClaimedEarly;
    try {
      claimed = claimEarly(parseVmdesc(vmdesc, this.#offset + json), this.#early, this.#offset);
      devices = cutDeviceState(this.#bytes.subarray(0, candidate.footer + 5), claimed.lengths, this.#offset);
    } catch (error) {
      this.#rejection = error;
      return null;
    }
    if (claimed.mismatch !== null) throw claimed.mismatch;
    return { devices, vmdesc, length: candidate.end };
  }

  /**
   * The input ended. Returns when the bytes end in a footer and EOF, without vmdesc. Errors: `stream.device-state` and others when
   * they end in a vmdesc that does not describe them, else `stream.cut`.
   */
  finish(): void {
    const length = this.#length;
    if (length > 6 && this.#bytes[length - 1] === SectionType.eof && this.#bytes[length - 6] === SectionType.footer)
      return;
    if (this.#rejection !== null) throw this.#rejection;
    throw new FixedramError("stream.cut", "the stream ends among the device sections", {
      offset: this.#offset + length,
    });
  }
}

/** `{"`, or `{ ` as QEMU wrote before 6.0. */
function beginsObject(two: number): boolean {
  return two === 0x7b22 || two === 0x7b20;
}

interface ClaimedEarly {
  readonly lengths: DeviceLengths;
  /** Set when an early section was cut at the wrong place; meant only if the vmdesc proves to be the right one. */
  readonly mismatch: FixedramError | null;
}

/** Checks early sections against the vmdesc and takes them off its list. */
export function claimEarly(vmdesc: Vmdesc, early: readonly DeviceRecord[], offset: number): ClaimedEarly {
  const lengths = new DeviceLengths(vmdesc);
  let mismatch: FixedramError | null = null;
  for (const device of early) {
    const length = lengths.claim(device.name, device.instance);
    if (length === device.payload.length) continue;
    mismatch = new FixedramError(
      "stream.early-section-length",
      `early device section "${printable(device.name)}" does not have the length that the vmdesc gives it`,
      {
        offset,
        expected: length === null ? "listed in the vmdesc" : `${length} bytes`,
        found: `${device.payload.length} bytes`,
      },
    );
  }
  return { lengths, mismatch };
}
