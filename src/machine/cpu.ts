import type { DeviceSections } from "../devices/sections.ts";
import { fieldOf } from "../devices/tree.ts";
import { FixedramError } from "../errors.ts";
import { type ArmCpu, armCpu } from "./cpu-arm.ts";
import { type X86Cpu, x86Cpu } from "./cpu-x86.ts";
import { integerOr, unknownCpu } from "./fields.ts";

/** A CPU as it was saved. */
export type Cpu = X86Cpu | ArmCpu;

/**
 * Every CPU of a snapshot, in QEMU's order: from the `cpu` sections (target/i386/machine.c, target/arm/machine.c), and
 * `cpu_common` for whether it was halted.
 *
 * @throws `stream.no-cpu`, `stream.unknown-cpu`, `stream.device-fields`
 */
export function decodeCpus(sections: DeviceSections): readonly Cpu[] {
  const records = sections.records.filter(({ name }) => name === "cpu");
  if (records.length === 0) {
    throw new FixedramError("stream.no-cpu", "the snapshot has no CPU section", {
      hint: "fixedram devices lists its sections. CPUs of other architectures than x86 and aarch64 have other names.",
    });
  }
  return records.map((record) => {
    const tree = sections.decode(record);
    const common = sections.find("cpu_common", record.instance);
    const halted = common === null ? null : integerOr(common.state, "halted", null) !== 0n;
    if (fieldOf(tree.state, "env.cr[3]") !== null) return x86Cpu(tree, halted);
    if (fieldOf(tree.state, "env.xregs") !== null) return armCpu(tree, halted);
    throw unknownCpu("it has neither the fields of an x86 CPU nor those of an ARM one");
  });
}
