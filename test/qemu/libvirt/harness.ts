/**
 * A real libvirtd (script/lib/libvirt.sh brings it) in namespaces of its own, with the new QEMU. What it mounts and starts goes with the
 * test process, even when that is killed: daemon.sh is process 1 of the pid namespace, and dies with its parent.
 */
import { type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { bootParameters, settle } from "../harness/argv.ts";
import { bootImage } from "../harness/images.ts";
import {
  CACHE,
  qemu,
  requireAll,
  Serial,
  type Status,
  statusOf,
  testFolder,
  type Verdict,
  verdictOf,
} from "../harness/index.ts";
import { onPath } from "../harness/qemus.ts";

const run = promisify(execFile);
const folder = join(CACHE, "libvirt");

/** Programs that come with it, for PATH: lzop. */
export const libvirtTools = join(folder, "bin");

/** Why there is no libvirt for the tests here; undefined when there is. */
export function whyNoLibvirt(): string | undefined {
  const reason = !existsSync(join(folder, "complete"))
    ? "no libvirt in .cache/libvirt: run script/setup --tests"
    : process.getuid?.() !== 0
      ? "libvirtd needs root"
      : undefined;
  if (reason !== undefined && requireAll) throw new Error(reason);
  return reason;
}

export class Libvirt {
  readonly version: string;
  /** Of the process that holds the namespaces, seen from outside. */
  readonly pid: number;
  readonly #child: ChildProcessByStdio<null, Readable, null>;
  #domains = 0;

  private constructor(child: ChildProcessByStdio<null, Readable, null>, pid: number) {
    this.version = readFileSync(join(folder, "complete"), "utf8").trim();
    this.#child = child;
    this.pid = pid;
  }

  /** Starts it and waits until it answers (a few seconds: it looks at QEMU first). Its log goes to a test folder. */
  static async start(): Promise<Libvirt> {
    const script = fileURLToPath(new URL("daemon.sh", import.meta.url));
    const spaces = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"];
    const machine = `${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
    const log = join(testFolder(), "libvirtd.log");
    const argv = ["--pdeathsig", "KILL", "--", "unshare", ...spaces, "bash", "-c", 'exec "$@" 2>"$0"', log];
    const args = [...argv, script, folder, join(CACHE, "qemu-10"), machine];
    const child = spawn(onPath("setpriv") ?? "setpriv", args, { stdio: ["ignore", "pipe", "ignore"] });
    process.on("exit", () => child.kill("SIGKILL"));
    await new Promise<void>((resolve, reject) => {
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        if (text.includes("ready")) resolve();
      });
      child.once("error", reject);
      child.once("exit", (code) =>
        reject(
          new Error(`${args.join(" ")}\nended with ${code}: ${existsSync(log) ? readFileSync(log, "utf8") : "no log"}`),
        ),
      );
    });
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim();
    return new Libvirt(child, Number(children.split(" ")[0]));
  }

  /** Runs virsh; what it prints. Rejects with what it said when it fails. */
  async virsh(...args: readonly string[]): Promise<string> {
    const enter = ["-t", String(this.pid), "-m", "-p", "--", "virsh", "-q", "-c", "qemu:///system"];
    const { stdout } = await run("nsenter", [...enter, ...args], { maxBuffer: 2 ** 24 });
    return stdout;
  }

  /** A boot guest with 64 MiB, defined and not started. */
  async define(): Promise<Domain> {
    this.#domains++;
    const own = testFolder();
    // To be told from those of another test run on this machine.
    const name = `fixedram-${process.pid}-${this.#domains}`;
    const xml = domainXml(name, own);
    const path = join(own, "domain.xml");
    writeFileSync(path, xml);
    await this.virsh("define", path);
    return new Domain(this, name, own);
  }

  /** Ends it, with all domains. */
  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await ended;
  }
}

/** A domain running the boot guest. */
export class Domain {
  readonly name: string;
  readonly folder: string;
  readonly #libvirt: Libvirt;
  #serial: Serial | undefined;

  constructor(libvirt: Libvirt, name: string, folder: string) {
    this.name = name;
    this.folder = folder;
    this.#libvirt = libvirt;
  }

  async start(): Promise<Status> {
    await this.#libvirt.virsh("start", this.name);
    const serial = await this.#connect();
    await serial.waitFor(/^(?:ready|ok|alive) /, 60_000);
    return await this.status();
  }

  /** `virsh save`: the guest is gone after it. */
  async save(path: string, ...options: readonly string[]): Promise<void> {
    await this.#libvirt.virsh("save", this.name, path, ...options);
    this.#disconnect();
  }

  /** `virsh restore` of an image of this domain. */
  async restore(path: string, ...options: readonly string[]): Promise<void> {
    await this.#libvirt.virsh("restore", path, ...options);
    await this.#connect();
  }

  async status(): Promise<Status> {
    return await statusOf(this.#line(), "boot");
  }

  /** The guest verifies all of its memory. */
  async verdict(): Promise<Verdict> {
    return await verdictOf(this.#line(), "boot");
  }

  async state(): Promise<string> {
    return (await this.#libvirt.virsh("domstate", this.name)).trim();
  }

  async destroy(): Promise<void> {
    this.#disconnect();
    await this.#libvirt.virsh("destroy", this.name);
  }

  #line(): Serial {
    if (this.#serial === undefined) throw new Error("the domain does not run");
    return this.#serial;
  }

  async #connect(): Promise<Serial> {
    this.#disconnect();
    this.#serial = await Serial.connect(join(this.folder, "serial"), 10_000);
    return this.#serial;
  }

  #disconnect(): void {
    this.#serial?.close();
    this.#serial = undefined;
  }
}

/** Bytes beyond ASCII are in the description, so that a test sees whether XML is kept as it is. */
function domainXml(name: string, own: string): string {
  const memory = 64;
  const settled = settle({ qemu: qemu("new"), kind: "boot", memory, dirty: 1, still: 1, dirtyRate: 8 }, own);
  const floppy = bootImage(bootParameters(settled));
  return `<domain type='qemu'>
  <name>${name}</name>
  <description>gäst — 客</description>
  <memory unit='MiB'>${memory}</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='${settled.machine}'>hvm</type><boot dev='fd'/></os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='floppy'><driver name='qemu' type='raw'/><source file='${floppy}'/><target dev='fda'/><readonly/></disk>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='unix'><source mode='bind' path='${join(own, "serial")}'/><target port='0'/></serial>
  </devices>
</domain>
`;
}
