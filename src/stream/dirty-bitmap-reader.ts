import { ByteBuilder, getU64 } from "../bytes/cursor.ts";
import { DirtyBitmapFlag } from "./constants.ts";
import type { Limits } from "./events.ts";
import type { PushCore, Step } from "./push.ts";

/** Finds the end of a dirty-bitmap section's payload and keeps its bytes: docs/format.md, "Dirty bitmaps". */
export class DirtyBitmapReader {
  readonly #core: PushCore;
  readonly #limits: Limits;
  readonly #done: (payload: Uint8Array) => void;
  /** One buffer: records may be as short as a byte. */
  readonly #payload = new ByteBuilder();

  constructor(core: PushCore, limits: Limits, done: (payload: Uint8Array) => void) {
    this.#core = core;
    this.#limits = limits;
    this.#done = done;
  }

  /** Wants 1 byte. */
  readonly step: Step = (buf, view, off) => {
    const core = this.#core;
    const flags = view.getUint8(off);
    if ((flags & DirtyBitmapFlag.extended) !== 0) {
      throw core.error("stream.dirty-bitmap-flags", "a dirty-bitmap record has flags that are not known", {
        found: `0x${flags.toString(16)}`,
      });
    }
    const end = this.#measure(view, off, flags);
    if (end === 0 || !core.has(end)) return 0;
    this.#payload.bytes(buf.subarray(off, off + end));
    core.need = 1;
    if ((flags & DirtyBitmapFlag.eos) !== 0) this.#done(this.#payload.finish());
    return end;
  };

  /** The record's length, or 0 when more bytes are needed to tell. */
  #measure(view: DataView, off: number, flags: number): number {
    const core = this.#core;
    let at = 1;
    for (const name of [DirtyBitmapFlag.nodeName, DirtyBitmapFlag.bitmapName]) {
      if ((flags & name) === 0) continue;
      if (!core.has(at + 1)) return 0;
      at += 1 + view.getUint8(off + at);
    }
    if ((flags & DirtyBitmapFlag.start) !== 0) at += 5;
    if ((flags & DirtyBitmapFlag.bits) !== 0) {
      at += 12;
      if ((flags & DirtyBitmapFlag.zeroes) === 0) {
        if (!core.has(at + 8)) return 0;
        const size = getU64(view, off + at);
        at += 8 + size;
      }
    }
    if (at > this.#limits.maxDeviceState - this.#payload.length) {
      throw core.error("stream.dirty-bitmap-too-large", "a dirty bitmap is larger than the limit", {
        expected: `at most ${this.#limits.maxDeviceState} bytes`,
      });
    }
    return at;
  }
}
