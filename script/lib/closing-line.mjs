// `closing-line.mjs STATUS REPORT...`: the last lines of script/test out of vitest's JSON reports, and its exit status.
// A skipped test counts as failed (what it needs is missing), except those for the longer run, marked "[long]" in their names.
import { readFileSync } from "node:fs";

const [status, ...reports] = process.argv.slice(2);
let passed = 0;
let long = 0;
const failures = [];
for (const path of reports) {
  let report;
  try {
    report = JSON.parse(readFileSync(path, "utf8"));
  } catch {
    failures.push(`${path}: no report, the run did not come to its end`);
    continue;
  }
  for (const file of report.testResults) {
    const broken = file.assertionResults.filter((test) => test.status === "failed");
    if (file.status === "failed" && broken.length === 0)
      failures.push(`${file.name}: ${file.message || "did not load"}`);
    for (const test of file.assertionResults) {
      if (test.status === "passed") passed++;
      else if (test.status === "failed") failures.push(test.fullName);
      else if (test.fullName.includes("[long]")) long++;
      else failures.push(`skipped: ${test.fullName}`);
    }
  }
}
for (const failure of failures) console.log(`failed: ${failure}`);
if (long > 0) console.log(`${long} tests of the longer run left out (npm run test:long)`);
if (status !== "0" && failures.length === 0) console.log("failed: a step above, outside the tests themselves");
console.log(`tests: ${passed} passed, ${failures.length} failed`);
process.exitCode = status === "0" && failures.length === 0 && passed > 0 ? 0 : 1;
