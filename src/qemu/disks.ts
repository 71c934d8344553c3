/** The disks of a guest and the files behind them: what a resume has to find as it was. */
import { statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import type { ExecuteOptions, QmpClient } from "../qmp/client.ts";
import { type QmpImage, queryBlock } from "../qmp/commands.ts";
import type { QemuProcess } from "./process.ts";

/** A file as stat shows it. Numbers that may pass 2^53 are decimal text. */
export interface FileState {
  readonly size: number;
  /** Nanoseconds since 1970. */
  readonly mtime: string;
  readonly inode: string;
  readonly device: string;
}

export interface DiskImage {
  /** Image format: raw, qcow2... */
  readonly format: string;
  /** What holds the bytes: file, host_device, nbd, rbd, http... */
  readonly protocol: string;
  /** Absolute path in QEMU's view, or as QEMU has it when its folder is not known; null when it is no file. */
  readonly path: string | null;
  /** QEMU's own name of the image, unchanged; may hold a password in a URL. */
  readonly filename: string;
  /** Null when there is no file, or it cannot be looked at. */
  readonly file: FileState | null;
}

export interface Disk extends DiskImage {
  /** `-drive`'s id, or the guest device's, or the node name. */
  readonly device: string;
  readonly qdev: string | null;
  readonly nodeName: string | null;
  /** Size the guest sees, bytes. */
  readonly virtualSize: number;
  readonly readOnly: boolean;
  readonly removable: boolean;
  readonly encrypted: boolean;
  /** `snapshot=on`: the top image is an unnamed file that ends with QEMU. What the guest wrote is lost with it. */
  readonly temporary: boolean;
  /** Backing images, nearest first. */
  readonly backing: readonly DiskImage[];
}

/**
 * Disks with a medium in them.
 *
 * @param process the QEMU, for relative names and other mount namespaces; null: names are taken as ours when absolute
 */
export async function queryDisks(
  client: QmpClient,
  process: Pick<QemuProcess, "pid" | "cwd" | "sameMounts"> | null,
  options?: ExecuteOptions,
): Promise<readonly Disk[]> {
  const devices = await queryBlock(client, options);
  return devices.flatMap((device) => {
    const node = device.inserted;
    if (node === undefined) return [];
    const nodeName = node["node-name"] ?? null;
    const top = describeImage(node.image, process);
    const id = /^\/machine\/peripheral\/([^/]+)/.exec(device.qdev ?? "")?.[1];
    return [
      {
        ...top,
        device: device.device || id || nodeName || "?",
        qdev: device.qdev ?? null,
        nodeName,
        virtualSize: node.image["virtual-size"],
        readOnly: node.ro,
        removable: device.removable,
        encrypted: node.encrypted,
        temporary: isTemporary(node.image, top),
        backing: chain(node.image).map((image) => describeImage(image, process)),
      },
    ];
  });
}

function chain(image: QmpImage): QmpImage[] {
  const images: QmpImage[] = [];
  for (let at = image["backing-image"]; at !== undefined; at = at["backing-image"]) images.push(at);
  return images;
}

function describeImage(image: QmpImage, process: Pick<QemuProcess, "pid" | "cwd" | "sameMounts"> | null): DiskImage {
  const { protocol, name } = parseFilename(image.filename);
  const path = name === null ? null : isAbsolute(name) || !process?.cwd ? name : join(process.cwd, name);
  const file = path === null ? null : statFile(path, process);
  return { format: image.format, protocol, path, filename: image.filename, file };
}

/**
 * Reads an image's name in QEMU's three forms: a plain path, `PROTOCOL:REST`, and `json:{...}` for what the others cannot say.
 *
 * @returns the protocol driver, and the path when it is a local file or device
 */
export function parseFilename(filename: string): { readonly protocol: string; readonly name: string | null } {
  if (filename.startsWith("json:")) return parseJsonName(filename.slice(5));
  // As QEMU does: a protocol is what stands before a colon that comes before any slash.
  const scheme = /^([A-Za-z0-9+_.-]+):/.exec(filename)?.[1];
  if (scheme === "file") return { protocol: "file", name: filename.replace(/^file:(?:\/\/(?=\/))?/, "") };
  if (scheme === "host_device") return { protocol: scheme, name: filename.slice(scheme.length + 1) };
  if (scheme !== undefined) return { protocol: scheme, name: null };
  return { protocol: filename.startsWith("/dev/") ? "host_device" : "file", name: filename === "" ? null : filename };
}

function parseJsonName(text: string): { readonly protocol: string; readonly name: string | null } {
  let node: unknown;
  try {
    node = JSON.parse(text);
  } catch {
    return { protocol: "unknown", name: null };
  }
  let protocol = "unknown";
  // Formats and filters (qcow2, raw, throttle, blkdebug) stand on a `file` (or `image`) child; the last one holds the bytes.
  for (let depth = 0; depth < 32 && isRecord(node); depth++) {
    if (typeof node.driver === "string") protocol = node.driver;
    const name = node.filename ?? node["file.filename"];
    if (typeof node["file.driver"] === "string") protocol = node["file.driver"];
    if (typeof name === "string") {
      const local = protocol === "file" || protocol === "host_device" || protocol === "host_cdrom";
      return { protocol, name: local ? name : null };
    }
    node = node.file ?? node.image;
  }
  return { protocol, name: null };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** QEMU makes the file as vl.XXXXXX (qemu-vl before), opens it and unlinks it. */
function isTemporary(image: QmpImage, top: DiskImage): boolean {
  if (top.protocol !== "file" || top.path === null || image["backing-image"] === undefined) return false;
  return /\/(?:qemu-)?vl\.[A-Za-z0-9]{6}$/.test(top.path) && top.file === null;
}

function statFile(path: string, process: Pick<QemuProcess, "pid" | "sameMounts"> | null): FileState | null {
  if (!isAbsolute(path)) return null;
  // A QEMU in another mount namespace, or chrooted, means its own file of that name.
  const seen = process === null ? path : join(`/proc/${process.pid}/root`, path);
  const stat = statOrNull(seen) ?? (process?.sameMounts === true ? statOrNull(path) : null);
  if (stat === null) return null;
  return { size: Number(stat.size), mtime: String(stat.mtimeNs), inode: String(stat.ino), device: String(stat.dev) };
}

function statOrNull(path: string) {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return null;
  }
}
