// What the demo runs: commands shown as they are run, and a guest's serial line on a unix socket.
import { spawn } from "node:child_process";
import { createConnection } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** Something went wrong that the reader can understand without a stack trace. */
export class Failure extends Error {}

const running = new Set();

export function endAll() {
  for (const child of running) child.kill("SIGTERM");
}

const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);
const show = (argv) => console.log(`$ ${argv.map(quoted).join(" ")}`);

/** Starts a command that goes on; `pid`, `ended` (code or signal), `said()`: what it printed. */
export function launch(argv) {
  show(argv);
  const child = spawn(argv[0], argv.slice(1), { stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      said = (said + text).slice(-4000);
    });
  }
  const process = { pid: child.pid, exit: undefined, ended: undefined, said: () => said.trim() };
  process.ended = new Promise((resolve) => {
    const end = (exit) => {
      running.delete(child);
      process.exit = exit;
      resolve(exit);
    };
    child.once("error", (error) => {
      said += error.message;
      end({ code: 127, signal: null });
    });
    child.once("exit", (code, signal) => end({ code, signal }));
  });
  return process;
}

/** Runs a command to its end; with `echo` its output is shown and a failure is ours too. */
export async function capture(argv, { echo = false } = {}) {
  show(argv);
  const child = spawn(argv[0], argv.slice(1), { stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text) => {
    stderr += text;
  });
  const code = await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  running.delete(child);
  if (echo) {
    process.stdout.write(stdout);
    if (code !== 0) throw new Failure(`${argv.slice(0, 2).join(" ")} ended with ${code}: ${stderr.trim()}`);
  }
  return { code, stdout, stderr };
}

export function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The serial line of the guest that `owner` (see launch) runs, as soon as its socket is there. */
export async function connectSerial(path, owner) {
  const end = Date.now() + 30_000;
  for (;;) {
    const socket = await new Promise((resolve) => {
      const attempt = createConnection(path, () => resolve(attempt));
      attempt.once("error", () => resolve(undefined));
    });
    if (socket !== undefined) return serialLine(socket, owner);
    if (owner.exit !== undefined) throw new Failure(`it ended at once: ${owner.said()}`);
    if (Date.now() > end) throw new Failure(`no serial line after 30 s: ${owner.said()}`);
    await sleep(5);
  }
}

function serialLine(socket, owner) {
  const lines = [];
  let rest = "";
  let closed = false;
  let wake = () => {};
  socket.setEncoding("latin1").on("data", (text) => {
    const parts = (rest + text).split("\n");
    rest = parts.pop();
    lines.push(...parts.map((line) => line.trimEnd()));
    wake();
  });
  socket.on("error", () => {});
  socket.on("close", () => {
    closed = true;
    wake();
  });

  const waitFor = async (pattern, timeout = 10_000, from = 0) => {
    const end = Date.now() + timeout;
    for (let next = from; ; ) {
      for (; next < lines.length; next++) {
        const match = pattern.exec(lines[next]);
        if (match !== null) return match;
      }
      if (closed) throw new Failure(`the guest's serial line closed. ${owner.said()}`);
      if (Date.now() >= end)
        throw new Failure(`the guest did not say ${pattern} in time; it said last: ${lines.slice(-5).join(" / ")}`);
      await Promise.race([
        new Promise((resolve) => {
          wake = resolve;
        }),
        sleep(end - Date.now(), undefined, { ref: false }),
      ]);
    }
  };
  const ask = async (question, pattern, timeout) => {
    const from = lines.length;
    socket.write(`${question}\n`);
    return await waitFor(pattern, timeout, from);
  };
  /** Asks again and again: a guest that is still being loaded does not hear yet. */
  const askUntil = async (question, pattern, timeout) => {
    const end = Date.now() + timeout;
    for (;;) {
      try {
        return await ask(question, pattern, 300);
      } catch (error) {
        if (closed || Date.now() > end) throw error;
      }
    }
  };
  return { waitFor, ask, askUntil, close: () => socket.destroy() };
}
