import { statSync } from "node:fs";
import { FixedramError, systemError } from "../../errors.ts";
import { dataBytes } from "../../pages/count.ts";
import { refuseSame } from "../../storage/same-file.ts";
import { TargetFile } from "../../storage/target-file.ts";
import { TargetFolder } from "../../storage/target-folder.ts";
import { savedRunState } from "../../stream/global-state.ts";
import type { WorkerPool } from "../../workers/pool.ts";
import type { ConvertOptions, ConvertResult, ConvertTarget, WritableStreamLike } from "../convert.ts";
import { startCopying } from "../copy/placed.ts";
import type { Notice, Progress } from "../progress.ts";
import { type ConvertInput, type InputFacts, openInput } from "./input.ts";
import { convertedMeta, recordedImage } from "./meta.ts";
import { type ByteSink, FixedRamOutput, type ImageHead, type Output, RawOutput, StreamOutput } from "./outputs.ts";

/** Milliseconds between two reports of progress. */
const REPORT = 100;

/** One conversion: open the input, make the output, copy, commit. */
export class ConvertRun {
  readonly #options: ConvertOptions;
  readonly #to: ConvertTarget;
  readonly #began = performance.now();
  readonly #notices: Notice[] = [];
  #phase: Progress["phase"] | null = null;
  #reported = 0;
  #pool: WorkerPool | null = null;

  constructor(options: ConvertOptions) {
    this.#options = options;
    this.#to = options.to ?? guessTarget(options.output);
    if (typeof options.output !== "string" && this.#to !== "stream") {
      throw new FixedramError("usage.needs-file", `a ${this.#to} snapshot has pages at places of their own`, {
        expected: "a path",
        hint: "Only a stream can go through a pipe.",
      });
    }
  }

  async go(): Promise<ConvertResult> {
    const { input: source, signal } = this.#options;
    signal?.throwIfAborted();
    this.#report("preflight", 0, 0);
    if (typeof source === "string" && this.#to !== "stream")
      this.#pool = startCopying(bytesOf(source), this.#to === "raw" ? "several" : "one");
    try {
      return await this.#from(await this.#open());
    } finally {
      await this.#pool?.close();
    }
  }

  async #open(): Promise<ConvertInput> {
    const { input: source, pageSize, bigEndian, offset, force = false, signal } = this.#options;
    return await openInput(source, {
      force,
      // A stream is made anew from its pages; an image's header says whether the guest ran, which the stream's end tells.
      random: this.#to === "stream" || this.#to === "libvirt-sparse",
      threads: this.#to === "raw",
      onRead: (bytes, total) => this.#report("preflight", bytes, total),
      ...(pageSize === undefined ? {} : { pageSize }),
      ...(bigEndian === undefined ? {} : { bigEndian }),
      ...(offset === undefined ? {} : { offset }),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  async #from(input: ConvertInput): Promise<ConvertResult> {
    const { signal } = this.#options;
    try {
      const output = this.#output(input);
      try {
        return await this.#convert(input, output);
      } catch (error) {
        await output.abort();
        signal?.throwIfAborted();
        throw error;
      }
    } finally {
      await input.close();
    }
  }

  async #convert(input: ConvertInput, output: Output): Promise<ConvertResult> {
    const { signal } = this.#options;
    const facts = await this.#copy(input, output);
    await output.settle();
    const copied = performance.now();
    // The threads end while the rest is written.
    this.#pool?.close().catch(() => {});
    if (facts.trailing > 0) {
      this.#notice(
        "warning",
        "trailing-bytes",
        `${facts.trailing} bytes that came behind the stream's end are left out`,
      );
    }
    signal?.throwIfAborted();
    this.#report("sync", 0, 0);
    const meta = convertedMeta(input, facts, this.#options.force === true);
    const sizes = await output.finish(meta);
    const { name, container } = input;
    return {
      input: { name, container },
      path: typeof this.#options.output === "string" ? this.#options.output : null,
      to: this.#to,
      machine: facts.machine,
      uuid: output.id === null ? null : meta.uuid,
      id: output.id,
      pages: output.counts(),
      sizes: { input: input.size, apparent: sizes?.apparent ?? null, allocated: sizes?.allocated ?? null },
      times: { total: performance.now() - this.#began, copy: copied - this.#began },
      notices: this.#notices,
    };
  }

  async #copy(input: ConvertInput, output: Output): Promise<InputFacts> {
    const { signal } = this.#options;
    const more = signal === undefined ? {} : { signal };
    const { snapshot } = input;
    const { buffer } = output;
    if (snapshot !== null) {
      const total = await dataBytes(snapshot.map, signal);
      this.#report("ram", 0, total);
      const onVerified = (bytes: number, all: number) => this.#report("verify", bytes, all);
      const onPages = (bytes: number) => this.#report("ram", bytes, total);
      await output.copy({ ...input, snapshot }, { total, onPages, onVerified, pool: this.#pool, ...more });
    }
    return input.pass(output.events, {
      buffer,
      pieces: output.pieces,
      drained: () => output.drained(),
      onBytes: (bytes) => this.#report("ram", bytes, input.size),
      ...more,
    });
  }

  #output(input: ConvertInput): Output {
    const { output } = this.#options;
    if (typeof output !== "string") return new StreamOutput(byteSink(output));
    if (input.file !== null) refuseSame(input.file.identity, output);
    if (this.#to === "raw") return new RawOutput(this.#named(TargetFolder.create(output)));
    const head = this.#to === "libvirt-sparse" ? this.#imageHead(input) : null;
    const file = this.#named(TargetFile.create(output));
    return this.#to === "stream" ? new StreamOutput(file) : new FixedRamOutput(file, head, this.#pool);
  }

  /** Tells of what earlier runs left behind. */
  #named<T extends TargetFile | TargetFolder>(target: T): T {
    for (const { path } of target.place.leftovers) {
      this.#notice("warning", "left-over", `an earlier run left ${path} behind; it can be removed`);
    }
    return target;
  }

  /** @throws `usage.libvirt-no-xml` */
  #imageHead({ libvirt, snapshot }: ConvertInput): ImageHead {
    const recorded = recordedImage(snapshot?.meta ?? null);
    const known = libvirt ?? recorded;
    const xml = this.#options.xml ?? known?.xml ?? null;
    if (xml === null) {
      throw new FixedramError("usage.libvirt-no-xml", "a save image of libvirt needs the definition of its domain", {
        hint: "Give it with --xml FILE. Get it with: virsh dumpxml --migratable --security-info DOMAIN > domain.xml",
      });
    }
    const { cookie = null, wasRunning = null } = known ?? {};
    if (wasRunning !== null) return { xml, cookie, wasRunning };
    if (snapshot === null) {
      const text = "the image says that the guest ran; if it was paused, restore it with virsh restore --paused";
      this.#notice("note", "assumed-running", text);
      return { xml, cookie, wasRunning: true };
    }
    const state = snapshot.meta?.runState ?? savedRunState(snapshot.devices);
    return { xml, cookie, wasRunning: state === "running" };
  }

  #report(phase: Progress["phase"], bytes: number, total: number): void {
    const { onProgress } = this.#options;
    const now = performance.now();
    if (onProgress === undefined || (phase === this.#phase && now - this.#reported < REPORT)) return;
    this.#phase = phase;
    this.#reported = now;
    onProgress({ phase, bytes, total, round: 0, elapsed: now - this.#began });
  }

  #notice(level: Notice["level"], code: string, message: string): void {
    const notice = { level, code, message };
    this.#notices.push(notice);
    this.#options.onNotice?.(notice);
  }
}

function guessTarget(output: ConvertOptions["output"]): ConvertTarget {
  if (typeof output !== "string") return "stream";
  if (output.endsWith(".fram")) return "fixed-ram";
  throw new FixedramError("usage.missing-option", "--to is missing, and the output's name does not tell", {
    expected: "--to fixed-ram, stream, libvirt-sparse or raw; or a name that ends in .fram",
    found: output,
  });
}

/** What the file takes on disk; 0 for what is none, which is told when it is opened. */
function bytesOf(path: string): number {
  try {
    return statSync(path).blocks * 512;
  } catch {
    return 0;
  }
}

function byteSink(output: NodeJS.WritableStream | WritableStreamLike): ByteSink {
  if ("getWriter" in output) {
    const writer = output.getWriter();
    // A Web stream may keep what it was given: it gets a copy.
    return { write: (bytes) => writer.write(bytes.slice()) };
  }
  let failure: unknown = null;
  output.on("error", (error: unknown) => {
    failure ??= error;
  });
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => {
        const fail = (error: unknown) => reject(systemError(error, "standard output", "writing the stream"));
        if (failure !== null) fail(failure);
        else
          output.write(bytes, (error) => {
            if (error === undefined || error === null) resolve();
            else fail(error);
          });
      }),
  };
}
