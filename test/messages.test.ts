/** How errors, notices and problems are written (docs/design.md, "Errors"), held for every one in the sources. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { hole, Said, type Words } from "./said.ts";

/** Abbreviations need no entry: they have two capitals at least. */
const names = ["Node", "Linux", "Debian", "Windows", "Python", "Chromium", "Ctrl-C"];
/** Programs that a hint may begin with. */
const programs = /^(?:fixedram|virsh|qemu-img)\b/;
/** A command to be typed, at the end of a hint or alone: whoever copies it copies no full stop. */
const command = /(?:^|: ?)[a-z0-9\0-][^.]*(?:\.[^. ][^.]*)*$/;

function hasName(text: string): boolean {
  const [word = ""] = /^[\w-]+/.exec(text) ?? [];
  return /[A-Z].*[A-Z]/.test(word) || names.includes(word);
}

/** What is wrong with it; null: nothing. */
function fault({ kind, text }: Words): string | null {
  if (text === "" || text === hole) return null;
  if (kind === "hint") {
    if (/^[a-z]/.test(text) && !programs.test(text)) return "a hint is a sentence, and begins as one";
    return /[.?!]$/.test(text) || command.test(text) ? null : "a hint ends with a full stop, or with a command";
  }
  if (/^[A-Z]/.test(text) && !hasName(text)) return "begins with a capital that is no name's";
  if (kind === "beginning") return null;
  const several = /[.?!]\)? +[A-Z\0]/.test(text);
  if (several) return /[.?!\0]$/.test(text) ? null : "several sentences, the last without its full stop";
  return /(?<!\.\.)\.$/.test(text) ? "one sentence with a full stop" : null;
}

test("every message, notice, problem and hint is written as docs/design.md says", () => {
  const all = new Said(join(import.meta.dirname, "..", "src")).all;
  const wrong = all.flatMap((words) => {
    const why = fault(words);
    return why === null ? [] : [`${words.file}:${words.line}: ${why}: ${words.text.replaceAll(hole, "…")}`];
  });
  expect(wrong).toEqual([]);
  // That they are found at all: by constructors, through functions that take a message, in notices and in hints.
  const texts = new Set(all.map(({ text }) => text));
  for (const known of [
    "the snapshot's record nests too deep",
    "the RAM section does not begin with its block list",
    "the path leads to \0, not to a regular file",
    "there are more hits than \0; --limit N shows N",
    "the guest ran when libvirt saved it, so it runs on",
    "Remove it, or choose another name.",
  ])
    expect(texts).toContain(known);
  expect(all.length).toBeGreaterThan(1000);
});

test("what is written otherwise is found", () => {
  const of = (kind: Words["kind"], text: string) => fault({ kind, text, file: "", line: 1 });
  expect(of("message", "The file is empty")).not.toBeNull();
  expect(of("message", "the file is empty.")).not.toBeNull();
  expect(of("message", "the file is empty. It was cut")).not.toBeNull();
  expect(of("hint", "look at it.")).not.toBeNull();
  expect(of("hint", "Look at it")).not.toBeNull();
  expect(of("message", "QEMU ended. It said nothing.")).toBeNull();
  expect(of("message", "FILE is missing")).toBeNull();
  expect(of("hint", "Unpack it first: gzip -dc FILE > UNPACKED")).toBeNull();
  expect(of("hint", "fixedram save guest.fram --qmp SOCKET")).toBeNull();
});
