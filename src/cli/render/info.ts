import { printable } from "../../bytes/text.ts";
import type { DiskInfo, SealInfo, SnapshotInfo } from "../../operations/inspect.ts";
import type { Colors } from "./colors.ts";
import { aligned, count, percent, plural, size } from "./format.ts";
import { argument, safe } from "./safe.ts";
import { plainTable } from "./table.ts";

const formats: Readonly<Record<SnapshotInfo["container"], string>> = {
  "fixed-ram": "fixed-ram, sealed",
  "mapped-ram": "mapped-ram as QEMU writes it, no seal",
  libvirt: "libvirt save image",
  stream: "migration stream, pages in no fixed place",
};

/** Everything `info` knows, in the order people ask: what is it, how large, its RAM, its disks, its devices. */
export function infoText(info: SnapshotInfo, colors: Colors, columns: number): string {
  const sections = [
    heading(info, colors),
    `${colors.bold("RAM blocks")}\n${blockTable(info, colors)}`,
    info.seal === null ? "" : `${colors.bold("Disks")}\n${diskTable(info.seal.disks, colors)}`,
    `${colors.bold("Devices")}\n${deviceText(info, columns)}`,
    info.seal?.argv == null
      ? ""
      : `${colors.bold("Command")}\n${info.seal.argv.map((text) => `  ${argument(text)}`).join("\n")}`,
    ...libvirtText(info, colors),
  ];
  return `${sections.filter((section) => section !== "").join("\n\n")}\n`;
}

function heading(info: SnapshotInfo, colors: Colors): string {
  const { seal, sizes } = info;
  const made = seal === null ? null : `${safe(seal.created)} by ${safe(seal.tool)}`;
  const rows = aligned([
    ["format", formats[info.container]],
    ["machine", [safe(printable(info.machine)), seal?.cpuModel, seal?.accelerator].filter(isText).map(safe).join(", ")],
    ["libvirt", imageText(info)],
    ["QEMU", seal?.qemuVersion == null ? null : safe(seal.qemuVersion)],
    ["run state", info.runState === null ? null : safe(info.runState)],
    ["made", made],
    ["snapshot", sealText(seal)],
    ["id", seal?.id ?? null],
    ["guest uuid", info.guestUuid],
    ["capabilities", info.capabilities.map(printable).join(", ")],
    ["bitmaps", info.bitmapOrder === "big" ? "of a big-endian host: QEMU here gets a stream" : null],
    ["RAM", size(sizes.ram)],
    ["file", `${size(sizes.apparent)}, ${size(sizes.allocated)} on disk`],
  ]);
  return `${colors.bold(safe(info.path))}\n${rows.join("\n")}`;
}

/** libvirt's own words, line by line, with what could move a cursor escaped. */
function libvirtText({ libvirt }: SnapshotInfo, colors: Colors): string[] {
  if (libvirt === null) return [];
  const lines = (text: string) =>
    text
      .trimEnd()
      .split("\n")
      .map((line) => `  ${safe(line)}`)
      .join("\n");
  return [
    `${colors.bold("Domain (libvirt's XML)")}\n${lines(libvirt.xml)}`,
    libvirt.cookie === null ? "" : `${colors.bold("Cookie (libvirt's own)")}\n${lines(libvirt.cookie)}`,
  ];
}

/** What the image's head says. */
function imageText({ libvirt }: SnapshotInfo): string | null {
  if (libvirt === null) return null;
  const { format, version, byteOrder, wasRunning } = libvirt;
  const head = format === null ? "converted from an image" : `${format}, version ${version}, ${byteOrder}-endian`;
  return `${head}; the guest ${wasRunning ? "ran, virsh restore lets it run on" : "did not run, virsh restore leaves it paused"}`;
}

function isText(value: string | null | undefined): value is string {
  return value !== null && value !== undefined && value !== "";
}

function sealText(seal: SealInfo | null): string | null {
  return seal === null ? null : safe(seal.uuid);
}

function blockTable(info: SnapshotInfo, colors: Colors): string {
  const places = info.blocks.every((block) => block.pagesOffset !== null);
  const rows = info.blocks.map((block) => [
    printable(block.name),
    size(block.length),
    count(block.present),
    percent(block.present, block.pages),
    ...(places ? [count(block.bitmapOffset ?? 0), count(block.pagesOffset ?? 0)] : []),
  ]);
  const head = ["name", "length", "present", "share", ...(places ? ["bitmap at", "pages at"] : [])];
  const pageSizes = [...new Set(info.blocks.map((block) => size(block.pageSize)))].join(" and ");
  const remark = `${plural(info.blocks.length, "block")}, pages of ${pageSizes}; present counts pages${places ? ", offsets are bytes" : ""}`;
  return `${plainTable(head, head.map((_, column) => column).slice(1), rows, colors)}\n  ${colors.dim(remark)}`;
}

function diskTable(disks: readonly DiskInfo[], colors: Colors): string {
  if (disks.length === 0) return "  none";
  const rows = disks.map((disk) => [
    safe(disk.device),
    safe(disk.format),
    disk.size === null ? "?" : size(disk.size),
    disk.mtime === null ? "?" : safe(disk.mtime),
    `${safe(disk.path)}${disk.readOnly ? " (read-only)" : ""}`,
  ]);
  return plainTable(["device", "format", "size", "changed", "file"], [2], rows, colors);
}

/** Devices in as many columns as fit: name, instance where it is not 0, size. */
function deviceText(info: SnapshotInfo, columns: number): string {
  if (info.devices.length === 0) return "  none";
  const entries = info.devices.map((device) => {
    const name = printable(device.name);
    return { name: device.instance === 0 ? name : `${name} #${device.instance}`, size: size(device.size) };
  });
  const nameWidth = Math.max(...entries.map((entry) => entry.name.length));
  const sizeWidth = Math.max(...entries.map((entry) => entry.size.length));
  const texts = entries.map((entry) => `${entry.name.padEnd(nameWidth)}  ${entry.size.padStart(sizeWidth)}`);
  const across = Math.max(1, Math.floor((columns - 2 + 4) / (nameWidth + 2 + sizeWidth + 4)));
  const rows = Math.ceil(texts.length / across);
  const lines: string[] = [];
  for (let row = 0; row < rows; row++) {
    const line = texts.filter((_, index) => index % rows === row);
    lines.push(`  ${line.join("    ")}`);
  }
  const total = info.devices.reduce((sum, device) => sum + device.size, 0);
  return `${lines.join("\n")}\n  ${plural(info.devices.length, "device")}, ${size(total)}`;
}
