import { latin1, printable } from "../bytes/text.ts";
import { CAPABILITIES, MAX_CAPABILITIES, type Subsection, TARGET_PAGE_BITS, UUID } from "./configuration.ts";
import { SectionType } from "./constants.ts";
import type { PushCore, Step } from "./push.ts";
import type { ConfigurationRecord } from "./records.ts";

/** QEMU's own names are far shorter. */
const MAX_MACHINE_NAME = 1024;

/** Parses CONFIGURATION and its subsections; it ends where the next byte is not 05. */
export class ConfigurationReader {
  readonly #core: PushCore;
  readonly #done: (record: ConfigurationRecord) => void;
  readonly #subsections: Subsection[] = [];
  #machine = "";

  constructor(core: PushCore, done: (record: ConfigurationRecord) => void) {
    this.#core = core;
    this.#done = done;
  }

  /** Wants 1 byte: the section type. */
  readonly step: Step = (buf, view, off) => {
    const core = this.#core;
    if (view.getUint8(off) !== SectionType.configuration) {
      throw core.error("stream.no-configuration", "the stream has no configuration section", {
        expected: "0x07",
        found: `0x${view.getUint8(off).toString(16).padStart(2, "0")}`,
        hint: "Machine types up to 2.3 write streams without it; they are not supported.",
      });
    }
    if (!core.has(5)) return 0;
    const length = view.getUint32(off + 1);
    if (length > MAX_MACHINE_NAME) {
      const details = { expected: `at most ${MAX_MACHINE_NAME} bytes`, found: `${length} bytes` };
      throw core.error("stream.machine-name", "the machine name is too long", details, 1);
    }
    if (!core.has(5 + length)) return 0;
    this.#machine = latin1(buf, off + 5, off + 5 + length);
    core.next(this.#subsection, 1);
    return 5 + length;
  };

  readonly #subsection: Step = (buf, view, off) => {
    const core = this.#core;
    if (view.getUint8(off) !== SectionType.subsection) {
      this.#done({ kind: "configuration", machine: this.#machine, subsections: this.#subsections });
      return 0;
    }
    if (!core.has(2)) return 0;
    const fields = 6 + view.getUint8(off + 1);
    if (!core.has(fields)) return 0;
    const name = latin1(buf, off + 2, off + fields - 4);
    const version = view.getUint32(off + fields - 4);
    const known = name === CAPABILITIES || name === TARGET_PAGE_BITS || name === UUID;
    if (!known || version !== 1) {
      throw core.error("stream.unknown-subsection", `configuration subsection "${printable(name)}" is not known`, {
        found: `${printable(name)} version ${version}`,
      });
    }
    if (this.#subsections.some((s) => s.name === name)) {
      throw core.error("stream.duplicate-subsection", `configuration subsection "${printable(name)}" comes twice`);
    }
    const end = name === CAPABILITIES ? this.#capabilities(view, off, fields) : fields + (name === UUID ? 16 : 4);
    if (end === 0 || !core.has(end)) return 0;
    this.#subsections.push({ name, version, payload: buf.slice(off + fields, off + end) });
    core.need = 1;
    return end;
  };

  #capabilities(view: DataView, off: number, fields: number): number {
    const core = this.#core;
    if (!core.has(fields + 4)) return 0;
    const count = view.getUint32(off + fields);
    if (count > MAX_CAPABILITIES) {
      const details = { expected: `at most ${MAX_CAPABILITIES}`, found: String(count) };
      throw core.error("stream.capability-count", "the configuration lists too many capabilities", details, fields);
    }
    let at = fields + 4;
    for (let i = 0; i < count; i++) {
      if (!core.has(at + 1)) return 0;
      at += 1 + view.getUint8(off + at);
    }
    return at;
  }
}
