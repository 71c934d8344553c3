/**
 * A guest and a file of it, to be broken into again and again: every `fixedram` here keeps its notes and sockets in a runtime folder of
 * the scene's own, so that whatever is left in there, or in the target's folder, is a left-over.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { expect } from "vitest";
import {
  type CliRun,
  fixedram,
  type Guest,
  type GuestOptions,
  sha256,
  startGuest,
  testFolder,
} from "../harness/index.ts";
import { processesOf, settles } from "./processes.ts";
import { Saver, type SaverEnd } from "./saver.ts";

/** Milliseconds the guard gets to put things back: it may have to read QEMU's stream to its end. */
const SETTLED = 15_000;
/** Milliseconds in which a guest that ran must answer. */
const ANSWER = 2000;

export interface SceneOptions {
  readonly guest: GuestOptions;
  /** Another place for the target; default a folder of the scene. */
  readonly out?: string;
}

export class Scene {
  readonly folder: string;
  readonly out: string;
  readonly env: Record<string, string>;
  readonly #runtime: string;
  readonly #options: SceneOptions;
  #guest: Guest | undefined;
  #bootId = "";
  #settings = "";
  #old = "";
  /** Of the guest whose file that is. */
  #oldBootId = "";

  private constructor(options: SceneOptions) {
    this.#options = options;
    this.folder = testFolder();
    this.#runtime = join(this.folder, "run");
    mkdirSync(this.#runtime, { mode: 0o700 });
    mkdirSync(join(this.folder, "target"));
    this.out = options.out ?? join(this.folder, "target", "guest.fram");
    this.env = { XDG_RUNTIME_DIR: this.#runtime };
  }

  /** A guest that runs, and a first file of it. */
  static async make(options: SceneOptions): Promise<Scene> {
    const scene = new Scene(options);
    await scene.boot();
    const first = await scene.saver([]).ended;
    expect(first, first.stdout + first.stderr).toMatchObject({ code: 0 });
    await scene.remember();
    return scene;
  }

  /** Starts the guest (again). */
  async boot(): Promise<void> {
    await this.#guest?.kill();
    this.#guest = await startGuest(this.#options.guest, this.folder);
    this.#bootId = (await this.#guest.ready()).bootId;
    // Values of the test's own, so that "as before" is not "as QEMU has it".
    const qmp = await this.#guest.qmp();
    await qmp.execute("migrate-set-parameters", { "max-bandwidth": 77_000_000, "downtime-limit": 321 });
    await qmp.execute("migrate-set-capabilities", { capabilities: [{ capability: "auto-converge", state: true }] });
    this.#settings = await this.settings();
  }

  get guest(): Guest {
    if (this.#guest === undefined) throw new Error("the scene has no guest");
    return this.#guest;
  }

  /** The scene's socket, unless `qmp` names another (a proxy). */
  saver(args: readonly string[], { qmp = this.guest.qmpPath, out = this.out } = {}): Saver {
    return new Saver([out, "--qmp", qmp, ...args], this.env);
  }

  async info(): Promise<CliRun> {
    return await fixedram(["info", this.out, "--json"], this.env);
  }

  /** Takes the file as it is for the old one. */
  async remember(): Promise<void> {
    this.#old = await sha256(this.out);
    this.#oldBootId = this.#bootId;
  }

  /** The file: the one remembered, byte for byte, or another, which must be whole then. */
  async file(): Promise<"old" | "new"> {
    if ((await sha256(this.out)) === this.#old) return "old";
    const info = await this.info();
    expect(info, `neither the old file nor a whole new one\n${info.stdout}${info.stderr}`).toMatchObject({ code: 0 });
    return "new";
  }

  /** Capabilities and parameters, all of them, as text. */
  async settings(): Promise<string> {
    const qmp = await this.guest.qmp();
    return JSON.stringify([
      await qmp.execute("query-migrate-capabilities"),
      await qmp.execute("query-migrate-parameters"),
    ]);
  }

  async runState(): Promise<string> {
    const status = (await (await this.guest.qmp()).execute("query-status")) as { status: string };
    return status.status;
  }

  /** QEMU has ended, or is about to: it answers no more. */
  async hasQuit(): Promise<boolean> {
    try {
      await this.runState();
      return false;
    } catch {
      await this.guest.exited;
      return true;
    }
  }

  /** A guest that ran answers at once; one that was paused is where it was. */
  async expectAlive(before: "running" | "paused", pausedStates = this.pausedStates): Promise<void> {
    if (before === "running") {
      const status = await this.guest.status(ANSWER);
      expect(status.bootId, "the guest has booted again").toBe(this.#bootId);
    }
    const states = before === "running" ? ["running"] : pausedStates;
    expect(await settles(async () => wrongState(await this.runState(), states), SETTLED)).toBeNull();
  }

  /** QEMU before 8 knows no way from a migration of a paused guest back to plain `paused`. */
  get pausedStates(): readonly string[] {
    return this.guest.options.qemu.major < 8 ? ["paused", "postmigrate"] : ["paused"];
  }

  /** No process of ours, no note, no socket folder, no half-made file. */
  async expectNothingLeft(): Promise<void> {
    expect(await settles(() => this.leftOvers(), SETTLED)).toBeNull();
  }

  /** Nothing is left, and the settings are as they were. */
  async expectSettled(): Promise<void> {
    await this.expectNothingLeft();
    expect(await this.settings()).toBe(this.#settings);
  }

  /** Pid of the guard that watches over a save under way, from the save's note (its command line may not be its own yet). */
  guardPid(): number | null {
    for (const folder of readdirSync(this.#runtime).filter((name) => name.startsWith("fixedram-state-"))) {
      for (const name of readdirSync(join(this.#runtime, folder)).filter((name) => name.endsWith(".json"))) {
        const note = JSON.parse(readFileSync(join(this.#runtime, folder, name), "utf8")) as { guardPid: number | null };
        if (note.guardPid !== null) return note.guardPid;
      }
    }
    return null;
  }

  /** Whether a save's changes are still there. */
  async settingsDiffer(): Promise<boolean> {
    return (await this.settings()) !== this.#settings;
  }

  /** In words; null: nothing. */
  leftOvers(): string | null {
    const processes = processesOf(this.folder).map(({ kind, pid }) => `${kind} ${pid}`);
    const runtime = readdirSync(this.#runtime).flatMap((name) =>
      name.startsWith("fixedram-state-") ? readdirSync(join(this.#runtime, name)) : [name],
    );
    const folder = dirname(this.out);
    const beside = existsSync(folder) ? readdirSync(folder).filter((name) => name !== basename(this.out)) : [];
    const all = [...processes, ...runtime, ...beside];
    return all.length === 0 ? null : `left over: ${all.join(", ")}`;
  }

  async expectVerdict(): Promise<void> {
    const verdict = await this.guest.verdict();
    expect(verdict, verdict.said.join("\n")).toMatchObject({ ok: true, bootId: this.#bootId });
  }

  /** Another save of the guest goes through. Its file is the old one from now on. */
  async expectSave(args: readonly string[] = []): Promise<SaverEnd> {
    const end = await this.saver(args).ended;
    expect(end, end.stdout + end.stderr).toMatchObject({ code: 0 });
    await this.remember();
    return end;
  }

  /** Lets the guest run, or pauses it, whatever state it is in. */
  async bring(state: "running" | "paused"): Promise<void> {
    const qmp = await this.guest.qmp();
    const now = await this.runState();
    if (now !== "running" && (state === "running" || now !== "paused")) await qmp.execute("cont");
    if (state === "paused" && now !== "paused") await qmp.execute("stop");
  }

  /** Another QEMU resumes the file remembered, and the guest in there is well. The scene's guest stays as it is. */
  async expectLoads(): Promise<void> {
    const { disk: _, ...options } = this.guest.options;
    const target = await startGuest({ ...options, disk: false, incoming: "defer" }, this.folder);
    const run = await fixedram(["resume", this.out, "--qmp", target.qmpPath, "--json", "--force"], this.env);
    expect(run, run.stdout + run.stderr).toMatchObject({ code: 0 });
    const qmp = await target.qmp();
    if (((await qmp.execute("query-status")) as { status: string }).status !== "running") await qmp.execute("cont");
    const verdict = await target.verdict();
    expect(verdict, verdict.said.join("\n")).toMatchObject({ ok: true, bootId: this.#oldBootId });
    await target.kill();
  }
}

function wrongState(state: string, wanted: readonly string[]): string | null {
  return wanted.includes(state) ? null : `the guest is in state ${state}, not ${wanted.join(" or ")}`;
}
