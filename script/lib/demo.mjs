// The demo, after script/demo has set everything up: one Linux guest, saved, ended, resumed, asked.
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { alive, capture, connectSerial, endAll, Failure, launch } from "./demo-processes.mjs";

const MEMORY_MIB = 512;
const DATA_MIB = 64;
const SNAPSHOT = ".cache/demo/guest.fram";
const DISK = ".cache/demo/disk.qcow2";

/** Both QEMUs get this; only the sockets differ. */
function qemuCommand(serialSocket) {
  const append = `console=ttyS0 loglevel=1 no_timer_check mitigations=off random.trust_cpu=on cryptomgr.notests fr.mem=${DATA_MIB} fr.disk=1`;
  const guests = ".cache/guests/linux";
  return [
    "qemu-system-x86_64 -machine pc -accel tcg -nodefaults -display none",
    `-m ${MEMORY_MIB} -kernel ${guests}/vmlinuz -initrd ${guests}/initrd -append`.split(" "),
    append,
    `-drive if=none,id=disk0,format=qcow2,file=${DISK} -device virtio-blk-pci,drive=disk0`,
    "-netdev user,id=net0 -device virtio-net-pci,netdev=net0",
    `-chardev socket,id=serial0,path=${serialSocket},server=on,wait=off -serial chardev:serial0`,
  ].flatMap((part) => (part === append || Array.isArray(part) ? part : part.split(" ")));
}

async function demo(mode, sockets) {
  const times = [];
  const timed = async (what, work) => {
    const start = performance.now();
    const result = await work();
    times.push([what, seconds(performance.now() - start)]);
    return result;
  };
  mkdirSync(".cache/demo", { recursive: true });
  copyFileSync(".cache/guests/linux/disk.qcow2", DISK);

  title("A Linux guest boots, fills memory with random data, writes a file on its disk");
  const qmp = join(sockets, "qmp");
  const first = launch([...qemuCommand(join(sockets, "a")), "-qmp", `unix:${qmp},server=on,wait=off`]);
  const before = await timed("boot", async () => {
    const guest = await connectSerial(join(sockets, "a"), first);
    return { guest, ready: await guest.waitFor(/^ready (\S+) \d+ memory=(\S+) disk=(\w+)/, 60_000) };
  });
  const [, bootId, memoryDigest, diskDigest] = before.ready;
  await before.guest.ask("sync", /^sync ok/);
  const [, , counterBefore] = await before.guest.ask("status", /^status (\S+) (\d+)/);
  console.log(`boot id ${bootId}\ncounter ${counterBefore}\nmemory  ${memoryDigest}\ndisk    4MiB:${diskDigest}`);

  title("It is saved while it runs");
  const saved = await timed("save", () => save(mode, qmp));
  await before.guest.ask("status", /^status (\S+) (\d+)/).catch(() => {
    throw new Failure("the guest does not answer after the save");
  });

  title("The file's map");
  await capture(["bin/fixedram", "map", SNAPSHOT], { echo: true });

  title("That QEMU ends");
  before.guest.close();
  console.log(`$ kill ${first.pid}`);
  process.kill(first.pid, "SIGTERM");
  await first.ended;
  if (alive(first.pid)) throw new Failure(`process ${first.pid} is still there`);
  console.log(`process ${first.pid} is gone`);

  title("The file is resumed in a new QEMU");
  const resumeStart = performance.now();
  const resume = launch(["bin/fixedram", "resume", SNAPSHOT, "--json", "--", ...qemuCommand(join(sockets, "b"))]);
  const guest = await connectSerial(join(sockets, "b"), resume);
  const after = await guest.askUntil("status", /^status (\S+) (\d+)/, 60_000);
  times.push(["resume, until the guest answers", seconds(performance.now() - resumeStart)]);

  title("The guest says what became of it");
  const [line, verdict] = await timed("the guest's check", () => guest.ask("verify", /^verify (\S+) .*/, 60_000));
  console.log(line);
  const checks = [
    ["same boot id (no reboot)", after[1] === bootId],
    [`counter went on: ${counterBefore} -> ${after[2]}`, Number(after[2]) > Number(counterBefore)],
    [`${DATA_MIB} MiB of memory unchanged`, line.includes(`memory=ok:${memoryDigest} `)],
    ["file on the disk unchanged", line.includes(`disk=ok:${diskDigest} `)],
    ["the guest's own verdict", verdict === "PASS"],
  ];
  if (after[1] !== bootId) console.log(`The guest was rebooted, not resumed: its boot id is now ${after[1]}.`);
  await guest.ask("poweroff", /^poweroff ok/);
  const end = await resume.ended;
  checks.push([`the resumed guest switches off cleanly (exit code ${end.code ?? end.signal})`, end.code === 0]);
  return { times, saved, checks };
}

/** In the mode asked for; by default in the background, and where QEMU may not, stopped. */
async function save(mode, qmp) {
  const attempt = async (which) => {
    const command = ["bin/fixedram", "save", SNAPSHOT, "--qmp", qmp, "--mode", which, "--json"];
    const { code, stdout, stderr } = await capture(command);
    const answer = parse(stdout);
    if (code === 0 && answer !== undefined) return answer;
    const error = answer?.error;
    if (error === undefined) return { error: stderr.trim() || `exit code ${code}` };
    return { error: error.said === undefined ? error.message : `${error.message} (QEMU says: ${error.said})` };
  };
  let answer = await attempt(mode ?? "background");
  if (answer.error === undefined) {
    console.log(
      `saved in mode ${answer.mode}${mode === undefined ? ": QEMU may write-protect the guest's memory here" : ""}`,
    );
    return answer;
  }
  if (mode !== undefined) throw new Failure(`save failed: ${answer.error}`);
  console.log(`not in the background: ${answer.error}\nso the guest stands still while it is saved:`);
  answer = await attempt("stop");
  if (answer.error !== undefined) throw new Failure(`save failed: ${answer.error}`);
  return answer;
}

function parse(text) {
  try {
    return JSON.parse(text.trim().split("\n").at(-1) ?? "");
  } catch {
    return undefined;
  }
}

function report({ times, saved, checks }) {
  title("In short");
  const file = statSync(SNAPSHOT);
  const rows = [
    ...checks.map(([what, ok]) => [what, ok ? "yes" : "NO"]),
    ...times,
    ["save mode", saved.mode],
    [
      "guest stood still for",
      saved.times?.guestPause == null ? "not known" : `${Math.round(saved.times.guestPause)} ms`,
    ],
    ["guest memory", mebibytes(saved.sizes?.ram ?? MEMORY_MIB * 2 ** 20)],
    ["file, apparent", mebibytes(file.size)],
    ["file, allocated", mebibytes(file.blocks * 512)],
    ["snapshot", SNAPSHOT],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  for (const [name, value] of rows) console.log(`${name.padEnd(width)}  ${value}`);
  return checks.every(([, ok]) => ok);
}

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
const mebibytes = (bytes) => `${Math.round(bytes / 2 ** 20)} MiB`;
const title = (text) => console.log(`\n== ${text}`);

const at = process.argv.indexOf("--mode");
const mode = at < 0 ? undefined : process.argv[at + 1];
if (at >= 0 && !["background", "live", "stop"].includes(mode)) {
  console.error("demo: --mode is background, live or stop");
  process.exit(2);
}
const sockets = mkdtempSync(join(tmpdir(), "fixedram-demo-"));
process.on("exit", () => {
  endAll();
  rmSync(sockets, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(130));
try {
  if (existsSync(SNAPSHOT)) rmSync(SNAPSHOT);
  const good = report(await demo(mode, sockets));
  console.log(good ? "\ndemo: passed" : "\ndemo: FAILED");
  process.exitCode = good ? 0 : 1;
} catch (error) {
  console.log(`\ndemo: FAILED: ${error instanceof Failure ? error.message : error.stack}`);
  process.exitCode = 1;
} finally {
  endAll();
}
