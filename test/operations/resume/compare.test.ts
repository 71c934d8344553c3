import { describe, expect, test } from "vitest";
import { compareDestination, type DestinationFacts } from "../../../src/operations/resume/compare.ts";
import { meta } from "../../fixedram/sample.ts";

const command = "qemu-system-x86_64 -m 1G -device virtio-blk-pci,drive=d -device virtio-net-pci,netdev=n";
const here: DestinationFacts = {
  machine: "pc-i440fx-7.2",
  accelerator: "tcg",
  cpu: { model: "qemu64", count: 2 },
  cpuFlags: ["avx", "sse2"],
  blocks: [{ name: "pc.ram", used: 2 ** 30 }],
  argv: command.split(" "),
};

const record = {
  ...meta,
  accelerator: "tcg",
  cpu: { model: "qemu64", flags: ["sse2"], count: 2 },
  argv: { arguments: command.split(" "), redacted: false, fileDescriptors: [] },
};
const saved = { machine: "pc-i440fx-7.2", blocks: [{ name: "pc.ram", length: 2 ** 30 }], meta: record };

/** Codes and words. */
function said(destination: Partial<DestinationFacts>, snapshot: Partial<typeof saved> = {}): string {
  const notices = compareDestination({ ...saved, ...snapshot }, { ...here, ...destination });
  expect(notices.every(({ level }) => level === "warning")).toBe(true);
  return notices.map(({ code, message }) => `${code}: ${message}`).join("\n");
}
const given = (text: string) => said({ argv: text.split(" ") });

describe("what of a destination is not as it was", () => {
  test("nothing, and nothing is said", () => expect(said({})).toBe(""));

  test("nothing is known: nothing is said", () => {
    const cpu = { model: null, count: 0 };
    expect(said({ cpu, cpuFlags: [], blocks: [], argv: [] })).toBe("");
    expect(compareDestination({ ...saved, meta: null }, { ...here, accelerator: "kvm", argv: ["qemu"] })).toEqual([]);
  });

  test("machine type", () =>
    expect(said({ machine: "pc-q35-7.2" })).toMatch(/^machine-differs: .*pc-i440fx-7.2.*pc-q35-7.2.*-machine/));

  test("accelerator", () => expect(said({ accelerator: "kvm" })).toMatch(/^accelerator-differs: .*tcg.*kvm/));

  test("CPU model, whatever its features", () => {
    const text = said({ cpu: { model: "max", count: 2 }, cpuFlags: [] });
    expect(text).toMatch(/^cpu-differs: .*qemu64.*max.*-cpu\.$/);
  });

  test("a feature that is missing; one more does no harm", () => {
    expect(said({ cpuFlags: ["avx"] })).toMatch(/^cpu-differs: .*: sse2\./);
    expect(said({ cpuFlags: ["avx", "avx2", "sse2"] })).toBe("");
  });

  test("what old machine types set is no feature, and one of several spellings is enough", () => {
    const flags = ["legacy-multi-node", "x-migrate-smi-count", "sse4-1", "sse4.1", "sse4_1", "sse2"];
    const then = { meta: { ...record, cpu: { ...record.cpu, flags } } };
    expect(said({ cpuFlags: ["sse2", "sse4.1"] }, then)).toBe("");
    expect(said({ cpuFlags: ["sse2"] }, then)).toMatch(/had features that this one has not: sse4-1\./);
  });

  test("CPUs", () => {
    expect(said({ cpu: { model: "qemu64", count: 1 } })).toMatch(/^cpu-differs: .*2 CPUs.* 1: QEMU will refuse/);
    expect(said({ cpu: { model: "qemu64", count: 4 } })).toMatch(/^cpu-differs: .*does not know/);
  });

  test("memory: another length, a block that is not there; one more is the devices' business", () => {
    expect(said({ blocks: [{ name: "pc.ram", used: 4096 }] })).toMatch(
      /^memory-differs: RAM block pc\.ram has 1024 MiB .* has one of 4096 bytes/,
    );
    expect(said({ blocks: [{ name: "other", used: 1 }] })).toMatch(/^memory-differs: .*has no such block/);
    expect(said({ blocks: [...here.blocks, { name: "vga", used: 1 }] })).toBe("");
  });

  test("a device more, a device less, one instead of another", () => {
    expect(given(`${command} -device virtio-rng-pci`)).toMatch(
      /^devices-differ: .*does not know of: -device virtio-rng-pci\./,
    );
    expect(given("q -device virtio-blk-pci")).toMatch(
      /^devices-differ: .*has not: -device virtio-net-pci\. QEMU may refuse/,
    );
    expect(given(command.replace("virtio-net-pci", "e1000")).split("\n")).toHaveLength(2);
    expect(given(`${command} -device virtio-blk-pci`)).toContain("does not know of: -device virtio-blk-pci");
  });

  test("the same devices in another order", () =>
    expect(given("q -device virtio-net-pci,netdev=n -device virtio-blk-pci,drive=d")).toMatch(/another order/));

  test.each([
    [`${command} -serial stdio -display none -qmp unix:x -netdev user,id=n -drive if=none,id=d,file=x`],
    ["q -device driver=virtio-blk-pci,drive=x --device virtio-net-pci"],
    [`${command} -vga none`],
    ['q -device {"driver":"virtio-blk-pci","drive":"x"} -device virtio-net-pci,id=n -drive file=f,if=none'],
  ])("what the guest cannot see does not count: %s", (text) => expect(given(text)).toBe(""));

  test.each([
    ["-drive file=x,if=virtio", "-drive if=virtio"],
    ["-drive file=x", "-drive if=ide"],
    ["-nic user,model=e1000", "-nic e1000"],
    ["-net nic,model=e1000", "-net e1000"],
    ["-vga std", "-vga std"],
    ["-usb", "-usb"],
    ["-cdrom a.iso", "-cdrom"],
    ["disk.img", "-hda"],
  ])("%s is hardware", (option, name) => expect(given(`${command} ${option}`)).toContain(`: ${name}.`));

  test("names from the file are escaped, and a long list is cut", () => {
    expect(said({}, { machine: "pc\u001b[2J" })).not.toContain("\u001b");
    const many = Array.from({ length: 12 }, (_, i) => `-device d${i}`).join(" ");
    expect(given(`${command} ${many}`)).toMatch(/-device d7 and 4 more\./);
  });
});
