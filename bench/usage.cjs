// Loaded into every process of ours with NODE_OPTIONS=--require: at its end it notes what it used. A process that is killed notes nothing.
const { appendFileSync, readFileSync } = require("node:fs");

const file = process.env.FIXEDRAM_BENCH_USAGE;
if (file !== undefined) {
  process.on("exit", () => {
    const { userCPUTime, systemCPUTime } = process.resourceUsage();
    const cpu = (userCPUTime + systemCPUTime) / 1e6;
    // Not getrusage's: that has in it what the process that started this one used.
    const peak = Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1]) * 1024;
    const written = Number(/^wchar: (\d+)/m.exec(readFileSync("/proc/self/io", "latin1"))?.[1] ?? 0);
    appendFileSync(file, `${JSON.stringify({ program: process.argv[1], peak, cpu, written })}\n`);
  });
}
