import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));
const script = fileURLToPath(new URL("child.ts", import.meta.url));

function start(...argv: string[]): ChildProcessWithoutNullStreams {
  const { NO_COLOR: _, FORCE_COLOR: __, FIXEDRAM_DEBUG: ___, ...env } = process.env;
  return spawn(process.execPath, ["--import", "tsx", script, ...argv], { cwd: root, env });
}

interface End {
  readonly code: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function end(child: ChildProcessWithoutNullStreams): Promise<End> {
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => (stdout += chunk));
  child.stderr.on("data", (chunk) => (stderr += chunk));
  const [code, signal] = await once(child, "close");
  return { code, signal, stdout, stderr };
}

/** Waits until the child says something that holds `words`. */
async function says(child: ChildProcessWithoutNullStreams, words: string): Promise<void> {
  let text = "";
  await new Promise<void>((resolve, reject) => {
    child.stderr.on("data", (chunk) => {
      text += String(chunk);
      if (text.includes(words)) resolve();
    });
    child.on("close", () => reject(new Error(`ended without saying ${words}: ${text}`)));
  });
}

describe("as a process of its own", () => {
  test("answers on standard output, without colours when nobody looks", async () => {
    const { code, stdout, stderr } = await end(start("save", "x", "--qmp", "q"));
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^Saved web to web\.fram/);
    expect(stdout).not.toContain("\x1b");
  });

  test("exits with 2 when the command line is wrong", async () => {
    const { code, stdout, stderr } = await end(start("save"));
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain("[usage.missing-argument]");
  });

  test("says its version", async () => {
    const { version } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
    expect(await end(start("--version"))).toMatchObject({ code: 0, stdout: `fixedram ${version}\n`, stderr: "" });
    expect(JSON.parse((await end(start("--version", "--json"))).stdout)).toEqual({
      schema: "fixedram/version/1",
      version,
    });
  });

  test("a reader that goes away (| head) is no failure", async () => {
    const child = start("info", "long");
    child.stdout.once("data", () => child.stdout.destroy());
    const [code] = await once(child, "exit");
    expect(code).toBe(0);
    const stderr = await child.stderr.toArray();
    expect(Buffer.concat(stderr).toString()).toBe("");
  });

  test("an answer that can't be written is a failure", async () => {
    const full = openSync("/dev/full", "w");
    const child = spawn(process.execPath, ["--import", "tsx", script, "info", "x"], {
      cwd: root,
      stdio: ["ignore", full, "pipe"],
    });
    closeSync(full);
    const [stderr, [code]] = await Promise.all([child.stderr?.toArray() ?? [], once(child, "close")]);
    expect([code, Buffer.concat(stderr).toString()]).toEqual([5, "error: the answer could not be written: ENOSPC\n"]);
  });

  test("shows no progress when standard error is not a terminal", async () => {
    const { stderr } = await end(start("save", "slow", "--qmp", "q"));
    expect(stderr).toBe("warning: there is little free space\n");
  });

  test("without a terminal nothing is asked and nothing is run", async () => {
    const { code, stderr } = await end(start("resume", "asks"));
    expect(code).toBe(2);
    expect(stderr).toContain("[usage.not-confirmed]");
  });
});

describe("signals", () => {
  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("%s aborts the operation, and the exit code is %d", async (signal, exit) => {
    const child = start("save", "waits", "--qmp", "q");
    const ended = end(child);
    await says(child, "under way");
    child.kill(signal);
    const { code, stdout, stderr } = await ended;
    expect([code, stdout]).toEqual([exit, ""]);
    expect(stderr).toContain(
      `error: ended by ${signal} [interrupted.signal]\n  found: the save was given up; the guest runs on`,
    );
  });

  test("SIGINT reaches what only looks, too", async () => {
    const child = start("info", "waits");
    const ended = end(child);
    await says(child, "under way");
    child.kill("SIGINT");
    expect(await ended).toMatchObject({ code: 130, stdout: "", stderr: expect.stringContaining("interrupted.signal") });
  });

  test("a second Ctrl-C ends at once what does not listen", async () => {
    const child = start("save", "stubborn", "--qmp", "q");
    const ended = end(child);
    await says(child, "under way");
    // Two pending signals of one kind are one: the second goes out when the first has been taken.
    child.kill("SIGTERM");
    child.kill("SIGINT");
    const { code, signal } = await ended;
    expect(signal).toBeNull();
    expect([130, 143]).toContain(code);
  });

  const foreground = ["resume", "x", "--", "sh", "-c"];

  test("Ctrl-C belongs to a QEMU in the foreground, whose exit code is ours", async () => {
    const child = start(
      ...foreground,
      `trap 'exit 9' TERM; trap 'echo got-int >&2' INT; echo ready >&2; while :; do sleep 0.05; done`,
    );
    const ended = end(child);
    await says(child, "ready");
    child.stdout.once("data", () => {
      // The summary is out: the terminal was handed over. SIGINT to us alone does nothing, SIGTERM is passed on.
      child.kill("SIGINT");
      child.kill("SIGTERM");
    });
    const { code, stderr } = await ended;
    expect(code).toBe(9);
    expect(stderr).not.toContain("got-int");
  });

  test("a QEMU ended by a signal is told as a shell tells it", async () => {
    const { code } = await end(start(...foreground, "kill -9 $$"));
    expect(code).toBe(137);
  });
});
