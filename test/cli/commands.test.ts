import { describe, expect, test } from "vitest";
import { FixedramError } from "../../src/errors.ts";
import type { DoctorOptions, DoctorReport } from "../../src/operations/doctor.ts";
import type { ResumeOptions } from "../../src/operations/resume.ts";
import type { SaveOptions } from "../../src/operations/save.ts";
import { examined } from "./answers/doctor.ts";
import { inspected, mapped } from "./answers/files.ts";
import { resumed, saved } from "./answers/guests.ts";
import { cli, fakes } from "./fakes.ts";

const context = { signal: expect.any(AbortSignal), onProgress: expect.any(Function), onNotice: expect.any(Function) };

async function answer(argv: string[], more: Parameters<typeof cli>[2] = {}): Promise<string> {
  const { code, stdout, stderr } = await cli(argv, fakes, more);
  expect([code, stderr]).toEqual([0, ""]);
  return `\n${stdout}`;
}

describe("save", () => {
  test("the summary", async () =>
    expect(await answer(["save", "web.fram", "--qmp", "q"])).toMatchInlineSnapshot(`
      "
      Saved web to web.fram (mode live)
        guest      pc-q35-7.2, QEMU 7.2.22, running again
        pause      312 ms
        memory     512 MiB, 131,072 pages: 54,016 data, 77,056 zero
        rounds     3, 1 page rewritten
        file       533 MiB, 211 MiB on disk
        time       1.9 s (memory 1.6 s, to disk 212 ms), 269 MiB/s of RAM
        transport  multifd: QEMU 7.2.22 sends on 2 channels at once
        snapshot   6fd3a3c2-4f6e-4e1c-9f8e-0d5b8f3f2a11
        id         5c2e1d0f5c2e1d0f5c2e1d0f5c2e1d0f5c2e1d0f5c2e1d0f5c2e1d0f5c2e1d0f
      "
    `));

  test("the summary of a paused guest, with --then quit", async () => {
    const result = {
      ...saved,
      // biome-ignore lint/suspicious/noThenProperty: the name of the option --then
      then: "quit" as const,
      guestName: null,
      runState: { before: "paused", after: "postmigrate" },
      times: { ...saved.times, guestPause: null },
      pages: { ...saved.pages, rewritten: 0 },
    };
    const { stdout } = await cli(["save", "x", "--qmp", "q"], { save: async () => result });
    expect(`\n${stdout}`).toMatchInlineSnapshot(`
      "
      Saved the guest to web.fram (mode live)
        guest      pc-q35-7.2, QEMU 7.2.22, QEMU has ended
        pause      none: it was not running
        memory     512 MiB, 131,072 pages: 54,016 data, 77,056 zero
        rounds     3, 0 pages rewritten
        file       533 MiB, 211 MiB on disk
        time       1.9 s (memory 1.6 s, to disk 212 ms), 269 MiB/s of RAM
        transport  multifd: QEMU 7.2.22 sends on 2 channels at once
        snapshot   6fd3a3c2-4f6e-4e1c-9f8e-0d5b8f3f2a11
        id         5c2e1d0f5c2e1d0f5c2e1d0f5c2e1d0f5c2e1d0f5c2e1d0f5c2e1d0f5c2e1d0f
      "
    `);
  });

  test("every option reaches the operation, with its units", async () => {
    let given: SaveOptions | null = null;
    const argv =
      "save o.fram --qmp q --mode live --then pause --max-bandwidth 500M --max-time 1h30m --max-rounds 7 --on-limit abort --socket-dir /d --force";
    await cli(argv.split(" "), {
      save: async (options) => {
        given = options;
        return saved;
      },
    });
    expect(given).toEqual({
      ...context,
      out: "o.fram",
      qmp: "q",
      mode: "live",
      // biome-ignore lint/suspicious/noThenProperty: the name of the option --then
      then: "pause",
      maxBandwidth: 524_288_000,
      maxTime: 5_400_000,
      maxRounds: 7,
      onLimit: "abort",
      socketDir: "/d",
      force: true,
    });
  });

  test("what is not given is left to the operation", async () => {
    let given: SaveOptions | null = null;
    await cli(["save", "--qmp=q", "o"], {
      save: async (options) => {
        given = options;
        return saved;
      },
    });
    expect(given).toEqual({ ...context, out: "o", qmp: "q" });
  });

  test("--json gives the result as it is", async () =>
    expect(JSON.parse(await answer(["save", "x", "--qmp", "q", "--json"]))).toEqual({
      schema: "fixedram/save/1",
      ...saved,
    }));

  test("a notice is shown once, on standard error, and a note not with --quiet", async () => {
    const warning = { level: "warning", code: "a.b", message: "there is little free space" } as const;
    const note = { level: "note", code: "c.d", message: "a left-over:\x1b[2J .x.partial" } as const;
    const save = async (options: SaveOptions) => {
      options.onNotice?.(warning);
      return { ...saved, notices: [warning, note] };
    };
    expect((await cli(["save", "x", "--qmp", "q"], { save })).stderr).toBe(
      "warning: there is little free space\nnote: a left-over:\\x1b[2J .x.partial\n",
    );
    expect(await cli(["save", "x", "--qmp", "q", "--quiet"], { save })).toMatchObject({
      stdout: "",
      stderr: "warning: there is little free space\n",
    });
  });

  test("--json gives progress and notices as NDJSON on standard error, not more than four a second", async () => {
    const save = async (options: SaveOptions) => {
      for (let elapsed = 0; elapsed < 1000; elapsed += 10) {
        options.onProgress?.({ phase: "ram", bytes: elapsed, total: 1000, round: 1, elapsed });
      }
      options.onProgress?.({ phase: "sync", bytes: 0, total: 0, round: 1, elapsed: 1000 });
      options.onNotice?.({ level: "note", code: "c.d", message: "m" });
      return saved;
    };
    const { stderr } = await cli(["save", "x", "--qmp", "q", "--json"], { save });
    const lines = stderr
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map((line) => line.elapsed)).toEqual([0, 250, 500, 750, 1000, undefined]);
    expect(lines[1]).toEqual({
      schema: "fixedram/save/1",
      type: "progress",
      phase: "ram",
      bytes: 250,
      total: 1000,
      round: 1,
      elapsed: 250,
    });
    expect(lines[5]).toEqual({ schema: "fixedram/save/1", type: "notice", level: "note", code: "c.d", message: "m" });
  });
});

describe("resume", () => {
  test("the summary", async () =>
    expect(await answer(["resume", "x", "--qmp", "q"])).toMatchInlineSnapshot(`
    "
    Resumed web.fram
      guest     running, QEMU 10.0.2
      loaded    as mapped-ram: QEMU 9 and later read the file themselves
      time      380 ms (QEMU ready 140 ms, load 230 ms)
      age       1 day 2 h; the guest's clock jumps by as much
      snapshot  6fd3a3c2-4f6e-4e1c-9f8e-0d5b8f3f2a11
    "
  `));

  test("every option reaches the operation, and the QEMU command word for word", async () => {
    const seen: ResumeOptions[] = [];
    const resume = async (options: ResumeOptions) => {
      seen.push(options);
      return resumed;
    };
    await cli(["resume", "f", "--paused", "--force", "--", "qemu", "--json", "--", "-m", "", "a b"], { resume });
    await cli(["resume", "--qmp", "q", "f"], { resume });
    await cli(["resume", "f", "--run-recorded"], { resume });
    const all = { ...context, confirm: expect.any(Function), console: "terminal", file: "f" };
    expect(seen).toEqual([
      { ...all, command: ["qemu", "--json", "--", "-m", "", "a b"], paused: true, force: true },
      { ...all, qmp: "q" },
      { ...all, runRecorded: true },
    ]);
  });

  const argv = [
    "qemu-system-x86_64",
    "-object",
    "secret,data=<redacted>",
    "-netdev",
    "tap,fd=7",
    "-append",
    "it's\x1b[2J",
  ];
  const asking = async (options: ResumeOptions) => {
    const yes = await options.confirm?.(argv);
    if (yes !== true) throw new FixedramError("usage.declined", "not run");
    return resumed;
  };

  test("a terminal is asked before the recorded command is run, which is shown without doing anything to it", async () => {
    const yes = await cli(["resume", "f"], { resume: asking }, { ask: async () => "Yes" });
    expect(yes.code).toBe(0);
    expect(`\n${yes.stderr}`).toMatchInlineSnapshot(`
      "
      The snapshot records this command:

        qemu-system-x86_64
        -object
        'secret,data=<redacted>'  <- a secret was left out here
        -netdev
        tap,fd=7  <- an open file of the first QEMU, gone now
        -append
        'it'\\''s\\x1b[2J'

      "
    `);
    for (const reply of ["", "n", "no", "yess", "true"]) {
      expect((await cli(["resume", "f"], { resume: asking }, { ask: async () => reply })).code).toBe(2);
    }
  });

  test("without a terminal the recorded command is shown and not run", async () => {
    const { code, stdout, stderr } = await cli(["resume", "f"], { resume: asking });
    expect([code, stdout]).toEqual([2, ""]);
    expect(`\n${stderr}`).toMatchInlineSnapshot(`
      "
      The snapshot records this command:

        qemu-system-x86_64
        -object
        'secret,data=<redacted>'  <- a secret was left out here
        -netdev
        tap,fd=7  <- an open file of the first QEMU, gone now
        -append
        'it'\\''s\\x1b[2J'

      error: the command recorded in the file is run only after a yes [usage.not-confirmed]
        try: There is no terminal to ask on. If you trust the file, add
             --run-recorded; or give a QEMU command after --, or --qmp.
      "
    `);
  });

  test("--json never asks", async () => {
    const ask = async () => "yes";
    const { code, stdout, stderr } = await cli(["resume", "f", "--json"], { resume: asking }, { ask });
    expect([code, stderr]).toEqual([2, ""]);
    expect(JSON.parse(stdout).error.code).toBe("usage.not-confirmed");
  });

  test("a QEMU that was started gets the terminal, and its end is ours", async () => {
    const ended = async (end: { code: number | null; signal: string | null }) =>
      cli(["resume", "f", "--json", "--", "q"], {
        resume: async () => ({ ...resumed, process: { pid: 4711, qmp: "/tmp/a b/qmp", ended: Promise.resolve(end) } }),
      });
    const fine = await ended({ code: 0, signal: null });
    expect(fine).toMatchObject({ code: 0, heir: 4711 });
    expect(JSON.parse(fine.stdout)).toMatchObject({
      schema: "fixedram/resume/1",
      process: { pid: 4711, qmp: "/tmp/a b/qmp" },
    });
    expect((await ended({ code: 7, signal: null })).code).toBe(7);
    expect((await ended({ code: null, signal: "SIGKILL" })).code).toBe(137);
  });
});

describe("info", () => {
  test("a sealed file, 80 columns", async () =>
    expect(await answer(["info", "web.fram"])).toMatchInlineSnapshot(`
      "
      web.fram
        format        fixed-ram, sealed
        machine       pc-q35-7.2, qemu64, tcg
        QEMU          7.2.22
        run state     running
        made          2026-11-23T16:49:29Z by fixedram 0.1.0
        snapshot      6fd3a3c2-4f6e-4e1c-9f8e-0d5b8f3f2a11
        id            5c2e1d0f5c2e1d0f5c2e1d0f5c2e1d0f5c2e1d0f5c2e1d0f5c2e1d0f5c2e1d0f
        capabilities  mapped-ram
        RAM           512 MiB
        file          533 MiB, 211 MiB on disk

      RAM blocks
        name                       length  present   share    bitmap at     pages at
        pc.ram                    512 MiB   54,000  41.2 %          137    1,048,576
        /rom@etc/acpi/\\x1btables  128 KiB       32   100 %  537,919,519  538,968,064
        vga.vram                   16 MiB        0     0 %  539,099,199  540,016,640
        3 blocks, pages of 4 KiB; present counts pages, offsets are bytes

      Disks
        device   format   size  changed               file
        virtio0  qcow2   3 GiB  2026-11-23T16:48:02Z  /srv/web.qcow2
        cd0      raw         ?  ?                     /srv/tools.iso (read-only)

      Devices
        timer                        24 B    0000:00:02.0/virtio-blk  4.71 KiB
        cpu                      12.9 KiB    apic                        182 B
        cpu #1                   12.9 KiB
        5 devices, 30.7 KiB

      Command
        qemu-system-x86_64
        -m
        512
        -append
        'root=/dev/vda quiet'
      "
    `));

  test("a file made by QEMU", async () => {
    const info = async () =>
      ({ ...inspected, container: "mapped-ram", seal: null, runState: null, devices: [] }) as const;
    expect(`\n${(await cli(["info", "x"], { info })).stdout}`).toMatchInlineSnapshot(`
      "
      web.fram
        format        mapped-ram as QEMU writes it, no seal
        machine       pc-q35-7.2
        capabilities  mapped-ram
        RAM           512 MiB
        file          533 MiB, 211 MiB on disk

      RAM blocks
        name                       length  present   share    bitmap at     pages at
        pc.ram                    512 MiB   54,000  41.2 %          137    1,048,576
        /rom@etc/acpi/\\x1btables  128 KiB       32   100 %  537,919,519  538,968,064
        vga.vram                   16 MiB        0     0 %  539,099,199  540,016,640
        3 blocks, pages of 4 KiB; present counts pages, offsets are bytes

      Devices
        none
      "
    `);
  });

  test("--json gives what the operation gave", async () =>
    expect(JSON.parse(await answer(["info", "web.fram", "--json"]))).toEqual({
      schema: "fixedram/info/1",
      ...inspected,
    }));

  test("--quiet says it with the exit code alone", async () => {
    expect(await answer(["info", "web.fram", "-q"])).toBe("\n");
    const info = async () => {
      throw new FixedramError("file.bad-magic", "this is not a snapshot", { path: "x", offset: 0 });
    };
    expect((await cli(["info", "x", "-q"], { info })).code).toBe(3);
  });
});

describe("map", () => {
  test("the picture", async () =>
    expect(await answer(["map", "x"])).toMatchInlineSnapshot(`
    "
    pc.ram  128 MiB  9,000 of 32,768 pages (27.5 %), 1,638.4 pages a character
    |ppo.----::-------pp.|
    0              128 MiB

    tiny  12 KiB  2 of 3 pages (66.7 %), a page a character
    |p-p|
    0 12 KiB

    Pages in the file: - none (zero)  . fewer  : a tenth or more  o half or more  p all
    "
  `));

  test("a page a character needs no shades", async () => {
    const mapOf = async () => mapped.slice(1);
    expect(`\n${(await cli(["map", "x"], { mapOf })).stdout}`).toMatchInlineSnapshot(`
      "
      tiny  12 KiB  2 of 3 pages (66.7 %), a page a character
      |p-p|
      0 12 KiB

      - zero page  p page in the file
      "
    `);
  });

  test("coloured by density when that is wanted", async () => {
    const { stdout } = await cli(["map", "x"], fakes, { env: { FORCE_COLOR: "1" } });
    expect(stdout).toContain("|\x1b[32mpp\x1b[39m\x1b[36mo\x1b[39m\x1b[35m.\x1b[39m\x1b[2m----\x1b[22m");
  });

  test("as wide as the terminal, as told, or 76", async () => {
    const widths: number[] = [];
    const mapOf = async (_: string, options: { readonly width: number }) => {
      widths.push(options.width);
      return mapped;
    };
    await cli(["map", "x"], { mapOf });
    await cli(["map", "x"], { mapOf }, { columns: 120 });
    await cli(["map", "x", "--width", "33"], { mapOf }, { columns: 120 });
    expect(widths).toEqual([76, 118, 33]);
  });

  test("a block is asked for by its name's bytes", async () => {
    const asked: (string | undefined)[] = [];
    const mapOf = async (_: string, options: { readonly block?: string }) => {
      asked.push(options.block);
      return mapped;
    };
    await cli(["map", "x", "--block", "pc.ram"], { mapOf });
    await cli(["map", "x", "--block", "ü"], { mapOf });
    expect(asked).toEqual(["pc.ram", "\xc3\xbc"]);
  });

  test("--json", async () =>
    expect(JSON.parse(await answer(["map", "web.fram", "--json"]))).toEqual({
      schema: "fixedram/map/1",
      path: "web.fram",
      blocks: mapped,
      exported: null,
    }));
});

describe("doctor", () => {
  test("what this machine can do", async () =>
    expect(await answer(["doctor"])).toMatchInlineSnapshot(`
    "
      machine          linux-x64, Node v20.20.2, user me (1000)
      KVM runs guests  no: a guest under KVM did nothing within 3 s
      userfaultfd      yes: CAP_SYS_PTRACE
      folder           /here (ext4), 78.5 GiB free
      writable         yes
      sparse files     yes: files have holes
      O_DIRECT         yes: 4096 bytes written past the page cache

    QEMUs
      program                           version  background       mapped-ram  multifd
      /usr/bin/qemu-system-x86_64       10.0.2   yes              yes         yes
      /opt/qemu/bin/qemu-system-x86_64  ?        does not answer

    To know
      - /opt/qemu/bin/qemu-system-x86_64 does not answer: it ended with code 127
    "
  `));
  test("--json gives the report as it is", async () =>
    expect(JSON.parse(await answer(["doctor", "--json"]))).toEqual({ schema: "fixedram/doctor/1", ...examined }));
  test("a signal is passed on to it", async () => {
    const controller = new AbortController();
    const signals = {
      abort: controller.signal,
      received: () => "SIGINT" as const,
      handOver: () => undefined,
      hold: () => () => undefined,
    };
    const doctor = ({ signal }: DoctorOptions): Promise<DoctorReport> =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener("abort", () => reject(signal.reason));
        controller.abort();
      });
    expect((await cli(["doctor"], { doctor }, { signals })).code).toBe(130);
  });
});

test("a name that begins with a dash stands after --", async () => {
  const seen: string[] = [];
  const info = async (path: string) => {
    seen.push(path);
    return inspected;
  };
  await cli(["info", "--", "-odd.fram"], { info });
  expect(seen).toEqual(["-odd.fram"]);
});
