import { ExitCode, FixedramError } from "../../errors.ts";
import type { Invocation } from "../command.ts";
import { blockBytes, cpuNumber } from "../inside.ts";
import { HexDump, stringText, wordLines } from "../render/bytes.ts";
import { colorsFor } from "../render/colors.ts";
import { parseAddress, parseSize } from "../values.ts";
import { lookOptions } from "./info.ts";

/** Bytes that an answer in memory may have: a string, or the text in a JSON object. */
const mostInMemory = 64 * 2 ** 20;

const forms = ["hex", "raw", "u64", "string"] as const;
type Form = (typeof forms)[number];

export async function run(invocation: Invocation): Promise<number> {
  const { around } = invocation;
  const form = formOf(invocation);
  const address = parseAddress(invocation.word(1), "ADDRESS");
  const length = lengthOf(invocation.word(2));
  if (form === "u64" && length % 8 !== 0) throw notWords(length);
  const { stdout } = around;
  if (form === "raw" && stdout.isTTY === true && !invocation.json) throw terminal();
  const whole = invocation.json || form === "string";
  if (whole && length > mostInMemory) throw tooLong(length);
  const kept: Uint8Array[] = [];
  const dump = new HexDump(colorsFor(stdout, around.env));
  const map = invocation.text("map");
  const cpu = cpuNumber(invocation);
  const space = spaceOf(invocation);
  if (cpu !== undefined && space !== "virtual") throw notVirtual();
  let begun = false;
  const asked = around.operations.read({
    file: invocation.word(0),
    address,
    length,
    space,
    ...(map === undefined ? {} : { map }),
    ...(cpu === undefined ? {} : { cpu }),
    ...lookOptions(invocation),
    ...(await invocation.context()),
    onBytes: (bytes, at) => {
      if (!begun) invocation.settle();
      begun = true;
      if (whole) kept.push(bytes.slice());
      else if (invocation.quiet) return;
      else if (form === "raw") stdout.write(bytes.slice());
      else stdout.write(form === "u64" ? wordLines(bytes, at) : dump.lines(bytes, at));
    },
  });
  const result = await asked.finally(() => {
    if (form === "hex" && !whole && !invocation.quiet) stdout.write(dump.end());
  });
  const bytes = Buffer.concat(kept);
  // A JSON object says itself which it was; that it is a guess is told with it too.
  if (result.map !== null && (!invocation.json || result.map.from === "rules"))
    invocation.notice({ level: "note", code: "memory-map", message: result.map.note });
  if (whole) {
    const answer = {
      ...result,
      ...(form === "string" ? { string: stringText(bytes) } : { bytes: bytes.toString("hex") }),
    };
    invocation.answer(answer, () => `${stringText(bytes)}\n`);
  }
  return ExitCode.ok;
}

/** A size as everywhere, or hexadecimal as ADDRESS. */
function lengthOf(text: string): number {
  if (!/^0x/i.test(text)) return parseSize(text.replaceAll("_", ""), "LENGTH");
  return parseSize(String(parseAddress(text, "LENGTH")), "LENGTH");
}

function formOf(invocation: Invocation): Form {
  const given = forms.filter((form) => invocation.flag(form));
  if (given.length > 1) throw together(given);
  return given[0] ?? "hex";
}

function spaceOf(invocation: Invocation): "physical" | "virtual" | { readonly block: string } {
  const block = invocation.text("block");
  const given = ["physical", "virtual"].filter((name) => invocation.flag(name));
  if (given.length + (block === undefined ? 0 : 1) > 1)
    throw together([...given, ...(block === undefined ? [] : ["block"])]);
  if (block !== undefined) return { block: blockBytes(block) };
  return invocation.flag("virtual") ? "virtual" : "physical";
}

export function together(names: readonly string[]): FixedramError {
  return new FixedramError("usage.together", "options that exclude each other were given together", {
    found: names.map((name) => `--${name}`).join(", "),
    expected: "one of them",
  });
}

function notVirtual(): FixedramError {
  return new FixedramError("usage.conflict", "that goes together with --virtual only", {
    found: "--cpu",
    expected: "--virtual",
    hint: "Physical addresses and offsets are the same for every CPU.",
  });
}

function notWords(length: number): FixedramError {
  return new FixedramError("usage.bad-size", "LENGTH is no number of words", {
    found: String(length),
    expected: "a multiple of 8, with --u64",
  });
}

function terminal(): FixedramError {
  return new FixedramError("usage.terminal", "standard output is a terminal, not a place for raw bytes", {
    hint: "Send them somewhere: fixedram read FILE ADDRESS LENGTH --raw > bytes",
  });
}

function tooLong(length: number): FixedramError {
  return new FixedramError("usage.too-long", "that is too much for one answer", {
    found: `${length} bytes`,
    expected: `at most ${mostInMemory} with --json or --string`,
    hint: "--raw writes any length.",
  });
}
