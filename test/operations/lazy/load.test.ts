/** One guest's way through a lazy load, with a QEMU and page servers that do as they are told. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { FixedramError } from "../../../src/errors.ts";
import type { LazyFile } from "../../../src/operations/lazy/file.ts";
import { leftAlone } from "../../../src/operations/lazy/guest.ts";
import { LazyLoad, type ServerSource } from "../../../src/operations/lazy/load.ts";
import type { ServerEnd } from "../../../src/operations/lazy/page-server.ts";
import type { FromServer, ServeJob, ServeStatus } from "../../../src/operations/lazy/protocol.ts";
import { LatencyHistogram } from "../../../src/postcopy/latency.ts";
import { type FakeQemu, fakeQemu } from "../fake-qemu.ts";
import { failure } from "../synthetic.ts";

const status = (bytes: number, faults = 1): ServeStatus => {
  const latency = new LatencyHistogram();
  for (let i = 0; i < faults; i++) latency.add(50);
  return {
    ...{ faults, ignored: 0, dataPages: 1, zeroPages: 0, bytes, total: 100, settled: 3, prefetched: 0 },
    latency: latency.summary(),
  };
};

class FakeServer {
  readonly pid = 1;
  readonly opened = Promise.resolve();
  readonly jobs: ServeJob[] = [];
  end: (end: ServerEnd) => void = () => {};
  say: (message: FromServer) => void = () => {};
  readonly ended = new Promise<ServerEnd>((resolve) => {
    this.end = resolve;
  });
  readonly #script: (server: FakeServer, job: ServeJob) => void;

  constructor(script: (server: FakeServer, job: ServeJob) => void) {
    this.#script = script;
  }

  serve(job: ServeJob, listener: (message: FromServer) => void): void {
    this.jobs.push(job);
    this.say = listener;
    setImmediate(() => this.#script(this, job));
  }
}

/** A load whose servers follow scripts, one after the other. */
async function scene(
  qemu: FakeQemu,
  scripts: readonly ((server: FakeServer, job: ServeJob) => void)[],
  settle?: number,
) {
  const servers = scripts.map((script) => new FakeServer(script));
  const [first] = servers;
  if (first === undefined) throw new Error("no server");
  let at = 0;
  const source: ServerSource = {
    server: first,
    instead: async () => {
      at++;
      const next = servers[at];
      if (next === undefined) throw new Error("one server more than expected");
      return next;
    },
  };
  const folder = mkdtempSync(join(tmpdir(), "fixedram-load-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  let let_go = false;
  const load = new LazyLoad(
    {
      ...{ client: await qemu.client(), process: null, started: null, paused: false },
      ...{ words: () => "", letGo: () => (let_go = true), giveUp: async () => {} },
    },
    source,
    {
      ...{ guest: 0, hostPageSize: 4096, hostPageSizes: [], around: 1, pushRate: null },
      ...{ prefetch: null, record: null, watch: false, shared: false, held: false, readAhead: 2 ** 20, after: null },
    },
    { path: folder, socket: (name) => join(folder, name), remove: () => {} },
    { onStatus: () => {}, onNotice: () => {} },
    settle,
  );
  return { load, servers, letGo: () => let_go };
}

function runs(qemu: FakeQemu): void {
  qemu.state.runState = "running";
  qemu.state.migration = "postcopy-active";
  qemu.emit("RESUME");
}

async function waiting(): Promise<FakeQemu> {
  const qemu = await fakeQemu();
  qemu.state.runState = "inmigrate";
  return qemu;
}

describe("a lazy load of a QEMU that is not ours, told to end", () => {
  test("before the package is out: it ends; after that it sees the guest run, and the page server goes on by itself", async () => {
    const told = new FixedramError("interrupted.signal", "ended by SIGHUP");
    const early = new AbortController();
    const one = await scene(await waiting(), [() => early.abort(told)]);
    expect((await failure(() => one.load.begin(early.signal))).code).toBe("interrupted.signal");

    const late = new AbortController();
    const qemu = await waiting();
    const two = await scene(qemu, [
      (server) => {
        server.say({ say: "packaged", guest: 0 });
        late.abort(told);
        setTimeout(() => runs(qemu), 30);
      },
    ]);
    await two.load.begin(late.signal);
    const left: string[] = [];
    const file = { keeper: { leave: () => left.push("left") } } as unknown as Pick<LazyFile, "keeper">;
    const notes = { note: (level: string, code: string) => void left.push(`${level} ${code}`) };
    expect(await leftAlone(two.load, file, undefined, notes)).toBe(false);
    expect(left).toEqual([]);
    expect(await leftAlone(two.load, file, late.signal, notes)).toBe(true);
    expect(left).toEqual(["left", "warning page-server-stays"]);
  });

  test("while a page server takes over: it is waited for; when QEMU is gone nothing goes on", async () => {
    const qemu = await waiting();
    const { load, servers } = await scene(qemu, [
      (server) => {
        runs(qemu);
        setTimeout(() => {
          qemu.state.migration = "postcopy-paused";
          server.end({ code: null, signal: "SIGKILL" });
        }, 20);
      },
      (server) => setTimeout(() => server.say({ say: "recovered", guest: 0, missing: 80 }), 50),
    ]);
    await load.begin();
    const complete = load.complete();
    await servers[0]?.ended;
    expect(await load.handedOver()).toBe(true);
    expect(servers[1]?.jobs).toHaveLength(1);
    await qemu.server.close();
    expect((await failure(() => complete)).code).toBe("qemu.died");
    expect(await load.handedOver()).toBe(false);
  });
});

describe("a lazy load", () => {
  test("runs, and is complete with the destination's word", async () => {
    const qemu = await waiting();
    const { load, letGo } = await scene(qemu, [
      (server) => {
        runs(qemu);
        setTimeout(() => server.say({ say: "shut", guest: 0, value: 0, status: status(100, 7) }), 20);
      },
    ]);
    await load.begin();
    expect([load.running, letGo()]).toEqual([true, true]);
    expect(await load.complete()).toMatchObject({ recoveries: 0, faults: 7, bytes: 100, settled: 3 });
  });

  test("one that stays paused is in when it has left inmigrate", async () => {
    const qemu = await waiting();
    const { load } = await scene(qemu, [
      (server) => {
        server.say({ say: "loaded", guest: 0 });
        setTimeout(() => {
          qemu.state.runState = "paused";
        }, 20);
      },
    ]);
    await load.begin();
    expect(load.running).toBe(true);
  });

  test("a QEMU that has the guest but stays in inmigrate is not waited for without end", async () => {
    const { load } = await scene(await waiting(), [(server) => server.say({ say: "loaded", guest: 0 })], 50);
    expect(await failure(() => load.begin())).toMatchObject({
      code: "qemu.load-failed",
      details: { found: "run state inmigrate", hint: expect.stringContaining("disks") },
    });
    expect(load.running).toBe(false);
  });

  test("servers that die are replaced, and what they did adds up", async () => {
    const qemu = await waiting();
    const dies = (server: FakeServer) => {
      server.say({ say: "status", guest: 0, status: status(10 * server.jobs.length, 2) });
      qemu.state.migration = "postcopy-paused";
      server.end({ code: null, signal: "SIGKILL" });
    };
    const { load, servers } = await scene(qemu, [
      (server) => {
        runs(qemu);
        setTimeout(() => dies(server), 20);
      },
      dies,
      (server) => {
        server.say({ say: "recovered", guest: 0, missing: 80 });
        server.say({ say: "shut", guest: 0, value: 0, status: status(100, 3) });
      },
    ]);
    await load.begin();
    expect(await load.complete()).toMatchObject({ recoveries: 2, faults: 7, latency: { count: 7 } });
    expect(servers.map(({ jobs }) => jobs.map(({ mode }) => mode))).toEqual([["begin"], ["recover"], ["recover"]]);
    expect(new Set(servers.flatMap(({ jobs }) => jobs.map(({ socket }) => socket))).size).toBe(3);
    expect(qemu.commands().filter((name) => name === "migrate-recover")).toHaveLength(2);
  });

  test("a server that dies before it has connected is replaced: QEMU still listens", async () => {
    const qemu = await waiting();
    const { load, servers } = await scene(qemu, [
      (server) => server.end({ code: null, signal: "SIGKILL" }),
      (server) => {
        runs(qemu);
        setTimeout(() => server.say({ say: "shut", guest: 0, value: 0, status: status(100) }), 20);
      },
    ]);
    await load.begin();
    expect(await load.complete()).toMatchObject({ recoveries: 0 });
    const jobs = servers.flatMap((server) => server.jobs);
    expect(jobs.map(({ mode }) => mode)).toEqual(["begin", "begin"]);
    expect(jobs[1]?.socket).toBe(jobs[0]?.socket);
  });

  test("a server that dies before the guest ran takes QEMU with it", async () => {
    const qemu = await waiting();
    qemu.state.migration = "active";
    const { load } = await scene(qemu, [
      (server) => {
        server.end({ code: null, signal: "SIGKILL" });
        setTimeout(() => void qemu.server.close(), 30);
      },
    ]);
    const error = await failure(() => load.begin());
    expect(error).toMatchObject({
      code: "qemu.lost-before-run",
      details: { found: expect.stringContaining("SIGKILL") },
    });
  });

  test("a server that dies when the guest was just about to run is replaced", async () => {
    const qemu = await waiting();
    qemu.state.migration = "active";
    const { load } = await scene(qemu, [
      (server) => {
        server.end({ code: 1, signal: null });
        setTimeout(() => {
          qemu.state.runState = "running";
          qemu.state.migration = "postcopy-paused";
        }, 30);
      },
      (server) => server.say({ say: "shut", guest: 0, value: 0, status: status(100) }),
    ]);
    await load.begin();
    expect(await load.complete()).toMatchObject({ recoveries: 1 });
  });

  test("the last word may be missing when QEMU has everything", async () => {
    const qemu = await waiting();
    const { load } = await scene(qemu, [
      (server) => {
        runs(qemu);
        setTimeout(() => {
          qemu.state.migration = "completed";
          server.end({ code: null, signal: "SIGKILL" });
        }, 20);
      },
    ]);
    await load.begin();
    expect(await load.complete()).toMatchObject({ recoveries: 0 });
  });

  test("what is wrong with the file is told, and nobody takes over", async () => {
    const qemu = await waiting();
    const { load } = await scene(qemu, [
      (server) => {
        runs(qemu);
        setTimeout(() => {
          const error = { code: "seal.damaged-page", message: "a page is not as it was sealed", page: 3 };
          server.say({ say: "failed", guest: 0, error });
        }, 20);
      },
    ]);
    await load.begin();
    expect(await failure(() => load.complete())).toMatchObject({ code: "seal.damaged-page", details: { page: 3 } });
  });

  test("QEMU's end, its refusal to be recovered, and a bad verdict are named", async () => {
    const gone = await waiting();
    const one = await scene(gone, [
      () => {
        runs(gone);
        setTimeout(() => void gone.server.close(), 20);
      },
    ]);
    await one.load.begin();
    expect((await failure(() => one.load.complete())).code).toBe("qemu.died");

    const unwilling = await waiting();
    unwilling.on["migrate-recover"] = () => {
      throw "Migrate recover can only be run when postcopy is paused.";
    };
    const two = await scene(unwilling, [
      (server) => {
        runs(unwilling);
        setTimeout(() => {
          unwilling.state.migration = "postcopy-paused";
          server.end({ code: null, signal: "SIGKILL" });
        }, 20);
      },
      () => {},
    ]);
    await two.load.begin();
    expect(await failure(() => two.load.complete())).toMatchObject({
      code: "qemu.not-recovered",
      details: { said: expect.stringContaining("can only be run") },
    });

    const bad = await waiting();
    const three = await scene(bad, [
      (server) => {
        runs(bad);
        setTimeout(() => server.say({ say: "shut", guest: 0, value: 1, status: status(100) }), 20);
      },
    ]);
    await three.load.begin();
    expect((await failure(() => three.load.complete())).code).toBe("qemu.load-failed");
  });

  test("a server that keeps failing is given up in the end", async () => {
    const qemu = await waiting();
    const fails = (server: FakeServer) => {
      qemu.state.migration = "postcopy-paused";
      server.say({ say: "failed", guest: 0, error: { code: "system.page-server", message: "the page server failed" } });
    };
    const { load } = await scene(qemu, [
      (server) => {
        runs(qemu);
        setTimeout(() => fails(server), 20);
      },
      ...Array.from({ length: 20 }, () => fails),
    ]);
    await load.begin();
    expect((await failure(() => load.complete())).code).toBe("system.page-server");
  });
});
