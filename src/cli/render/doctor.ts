import type { DoctorReport, QemuReport } from "../../operations/doctor.ts";
import type { Colors } from "./colors.ts";
import { aligned, size, wrap } from "./format.ts";
import { safe } from "./safe.ts";
import { plainTable } from "./table.ts";

/** What this machine can do, and at the end what it can't. */
export function doctorText(report: DoctorReport, colors: Colors, columns: number): string {
  const { folder, kvm, userfaultfd, user } = report;
  const yes = (works: boolean, why: string): string =>
    `${works ? colors.green("yes") : colors.yellow("no")}${why === "" ? "" : `: ${safe(why)}`}`;
  const facts = aligned([
    ["machine", `${safe(report.platform)}, Node ${safe(report.node)}, user ${safe(user.name)} (${user.uid})`],
    ["KVM runs guests", yes(kvm.works, kvm.why)],
    ["userfaultfd", yes(userfaultfd.works, userfaultfd.why)],
    ["folder", `${safe(folder.path)} (${safe(folder.fileSystem)}), ${size(folder.free)} free`],
    ["writable", yes(folder.writable, "")],
    ["sparse files", yes(folder.sparse.works, folder.sparse.why)],
    ["O_DIRECT", yes(folder.direct.works, folder.direct.why)],
  ]);
  const problems = report.problems.flatMap((problem) => {
    const [first = "", ...rest] = wrap(safe(problem), columns - 4);
    return [`  ${colors.yellow("-")} ${first}`, ...rest.map((line) => `    ${line}`)];
  });
  const sections = [
    facts.join("\n"),
    `${colors.bold("QEMUs")}\n${qemuTable(report.qemus, colors)}`,
    problems.length === 0 ? colors.green("All is well.") : `${colors.bold("To know")}\n${problems.join("\n")}`,
  ];
  return `${sections.join("\n\n")}\n`;
}

function qemuTable(qemus: readonly QemuReport[], colors: Colors): string {
  if (qemus.length === 0) return "  none";
  const mark = (on: boolean): string => (on ? "yes" : colors.dim("no"));
  const rows = qemus.map((qemu) =>
    qemu.problem === null
      ? [
          safe(qemu.path),
          qemu.version?.text ?? "?",
          mark(qemu.modes.background),
          mark(qemu.mappedRam),
          mark(qemu.multifd),
        ]
      : [safe(qemu.path), qemu.version?.text ?? "?", "does not answer", "", ""],
  );
  return plainTable(["program", "version", "background", "mapped-ram", "multifd"], [], rows, colors);
}
