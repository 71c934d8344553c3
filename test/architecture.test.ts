/** What the house's rules say about the sources, held by a test: which way imports go, no bitwise operators on offsets, small files. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import ts from "typescript";
import { describe, expect, test } from "vitest";

const root = join(import.meta.dirname, "..");
const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).filter((name) =>
  /\.tsx?$/.test(name),
);
const sources = new Map(
  files.map((name) => [
    name,
    ts.createSourceFile(name, readFileSync(join(root, "src", name), "utf8"), ts.ScriptTarget.Latest, true),
  ]),
);

/** Module names that a source imports, exports from, or loads later; type imports too. */
function importsOf(source: ts.SourceFile): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    const from =
      ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
        ? node.moduleSpecifier
        : ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
          ? node.arguments[0]
          : undefined;
    if (from !== undefined && ts.isStringLiteral(from)) found.push(from.text);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Relative imports of a source, as paths from src. */
function localImports(name: string): string[] {
  const source = sources.get(name);
  if (source === undefined) return [];
  return importsOf(source).flatMap((each) => (each.startsWith(".") ? [normalize(join(dirname(name), each))] : []));
}

/** Folder, or file, right below src; of the viewer, which of its three parts. */
const partOf = (name: string): string => {
  const [first = "", second = ""] = name.split("/");
  return first === "viewer" && !second.endsWith(".ts") ? `viewer/${second}` : first;
};

const below = ["errors.ts", "bytes"];
const model = [...below, "pages"];
const formats = [...model, "stream", "fixedram"];
const machine = [...model, "qmp", "qemu", "storage"];
const all = [
  ...formats,
  ...machine,
  "devices",
  "machine",
  "containers",
  "legacy",
  "libvirt",
  "raw",
  "postcopy",
  "installation.ts",
  "workers",
  "diff",
  "search",
  "physical",
  "elf",
  "lime",
  "gdb",
  "operations",
];

/** What each part may import besides itself. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  "errors.ts": [],
  "installation.ts": [],
  bytes: ["errors.ts"],
  pages: below,
  stream: model,
  fixedram: [...model, "stream"],
  postcopy: [...model, "stream"],
  containers: [...formats, "libvirt"],
  legacy: formats,
  libvirt: formats,
  raw: [...formats, "machine", "physical"],
  devices: [...model, "stream"],
  machine: [...model, "stream", "devices"],
  storage: model,
  qmp: model,
  qemu: [...model, "qmp"],
  diff: model,
  search: model,
  physical: [...model, "machine"],
  gdb: [...model, "machine"],
  elf: [...model, "machine", "physical"],
  lime: [...model, "machine", "physical"],
  workers: [...formats, "diff", "search", "legacy", "libvirt", "storage", "installation.ts"],
  operations: all,
  /** What both sides of the viewer count with: pure. */
  "viewer/shared": ["bytes"],
  /** A browser's program: knows the server by its API alone. */
  "viewer/client": ["viewer/shared"],
  "viewer/server": [...all, "viewer/shared"],
  "viewer/picture": ["pages", "viewer/server", "viewer/shared"],
  viewer: [...all, "viewer/server", "viewer/picture", "viewer/shared"],
  cli: [...all, "viewer"],
  "index.ts": [...all, "viewer"],
};

/** Have their tests, and no caller yet. To be taken off this list when they get one. */
const awaited: readonly string[] = [];

describe("imports", () => {
  test("every part of src has its place in this test", () => {
    expect([...new Set(files.map(partOf))].filter((part) => mayImport[part] === undefined)).toEqual([]);
  });

  test.each(files)("%s goes one way", (name) => {
    const part = partOf(name);
    const others = localImports(name).filter((each) => partOf(each) !== part);
    expect(others.filter((each) => !mayImport[part]?.includes(partOf(each)))).toEqual([]);
  });

  test("the pure parts do no I/O: they run in a browser", () => {
    /** The seal's SHA-256, in fixedram alone: to be replaced where a seal is to be read in a browser. */
    const allowed = (name: string, each: string) => partOf(name) === "fixedram" && each === "node:crypto";
    const pure = new Set([
      "bytes",
      "pages",
      "stream",
      "fixedram",
      "postcopy",
      "devices",
      "machine",
      "physical",
      "gdb",
      "elf",
      "lime",
      "viewer/shared",
      "viewer/client",
    ]);
    for (const [name, source] of sources) {
      if (!pure.has(partOf(name))) continue;
      expect(
        importsOf(source).filter((each) => each.startsWith("node:") && !allowed(name, each)),
        name,
      ).toEqual([]);
      expect(/\bBuffer\b(?!\()/.test(withoutComments(source)), `${name} uses Buffer`).toBe(false);
    }
  });

  test("every source is reached from the library, the command line or the guard", () => {
    const reached = new Set<string>();
    const queue = [
      "index.ts",
      "cli/main.ts",
      "operations/save/guard.ts",
      "operations/lazy/server.ts",
      "workers/entry.ts",
      "viewer/client/main.tsx",
      "cli/generate/man.ts",
      "cli/generate/completions.ts",
    ];
    for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
      if (reached.has(name)) continue;
      reached.add(name);
      queue.push(...localImports(name));
    }
    const underWay = (name: string) => awaited.some((prefix) => name.startsWith(prefix));
    expect(files.filter((name) => !reached.has(name) && !underWay(name))).toEqual([]);
    expect(
      [...reached].filter((name) => !files.includes(name)),
      "imported, not there",
    ).toEqual([]);
  });

  test("end in .ts, as Node's type stripping wants them", () => {
    for (const name of files) for (const each of localImports(name)) expect(each, name).toMatch(/\.tsx?$/);
  });
});

const bitwise: ReadonlySet<ts.SyntaxKind> = new Set([
  ...[ts.SyntaxKind.AmpersandToken, ts.SyntaxKind.BarToken, ts.SyntaxKind.CaretToken],
  ...[ts.SyntaxKind.LessThanLessThanToken, ts.SyntaxKind.GreaterThanGreaterThanToken],
  ...[ts.SyntaxKind.GreaterThanGreaterThanGreaterThanToken, ts.SyntaxKind.AmpersandEqualsToken],
  ...[ts.SyntaxKind.BarEqualsToken, ts.SyntaxKind.CaretEqualsToken, ts.SyntaxKind.LessThanLessThanEqualsToken],
  ...[ts.SyntaxKind.GreaterThanGreaterThanEqualsToken, ts.SyntaxKind.GreaterThanGreaterThanGreaterThanEqualsToken],
]);
const shifts: ReadonlySet<ts.SyntaxKind> = new Set([
  ...[ts.SyntaxKind.LessThanLessThanToken, ts.SyntaxKind.GreaterThanGreaterThanToken],
  ts.SyntaxKind.GreaterThanGreaterThanGreaterThanToken,
]);
/** Names of what may pass 2^31: bits 0 to 31 are all that these operators leave of it. */
const wide = /(?:offset|position|address|length|size|total|pages?|start|end|base|free|capacity)$/i;

/** Bitwise operations on something with the name of an offset or a size, as text. */
function bitwiseOnOffsets(source: ts.SourceFile): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isBinaryExpression(node) && bitwise.has(node.operatorToken.kind)) {
      // How far to shift is a small number: a page's place in its byte.
      const operands = shifts.has(node.operatorToken.kind) ? [node.left] : [node.left, node.right];
      if (operands.some(namesOffset)) found.push(node.getText(source));
    }
    if (ts.isPrefixUnaryExpression(node) && node.operator === ts.SyntaxKind.TildeToken && namesOffset(node.operand))
      found.push(node.getText(source));
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Does the value itself go by such a name? What is looked up with it, or computed from it by a call, does not count. */
function namesOffset(node: ts.Node): boolean {
  if (ts.isIdentifier(node) || ts.isPrivateIdentifier(node)) return wide.test(node.text);
  if (ts.isPropertyAccessExpression(node)) return wide.test(node.name.text) && !isSmall(node);
  if (ts.isParenthesizedExpression(node)) return namesOffset(node.expression);
  if (ts.isBinaryExpression(node))
    return namesOffset(node.left) || (!shifts.has(node.operatorToken.kind) && namesOffset(node.right));
  return false;
}

/** A page size is at most 65536; and a table's constant, `RamFlag.page`, is a flag. */
function isSmall(node: ts.PropertyAccessExpression): boolean {
  return node.name.text === "pageSize" || /^[A-Z]/.test(node.expression.getText());
}

function withoutComments(source: ts.SourceFile): string {
  const text = ts.createPrinter({ removeComments: true }).printFile(source);
  return text;
}

describe("bitwise operators", () => {
  test("are not used on offsets and sizes", () => {
    const found = [...sources].flatMap(([name, source]) => bitwiseOnOffsets(source).map((text) => `${name}: ${text}`));
    expect(found).toEqual([]);
  });

  test("would be found", () => {
    const code =
      "x = offset & 4095; y = (a.pagesOffset + 1) >> 12; z = ~length; w |= block.size; v = 1 << bit; u = byte & 7;";
    const source = ts.createSourceFile("x.ts", code, ts.ScriptTarget.Latest, true);
    expect(bitwiseOnOffsets(source)).toEqual([
      "offset & 4095",
      "(a.pagesOffset + 1) >> 12",
      "~length",
      "w |= block.size",
    ]);
  });
});

describe("files", () => {
  test("have at most 500 lines", () => {
    const long = files.filter((name) => readFileSync(join(root, "src", name), "utf8").split("\n").length > 501);
    expect(long).toEqual([]);
  });

  test("of the save stay readable: run.ts has fewer than 400 lines, no function more than 60", () => {
    expect(readFileSync(join(root, "src/operations/save/run.ts"), "utf8").split("\n").length).toBeLessThan(401);
    const long: string[] = [];
    for (const [name, source] of sources) {
      if (!name.startsWith("operations/")) continue;
      const visit = (node: ts.Node): void => {
        if (ts.isFunctionLike(node)) {
          const lines = node.getText(source).split("\n").length;
          if (lines > 60) long.push(`${name}: ${node.name?.getText(source) ?? "?"} has ${lines} lines`);
        }
        ts.forEachChild(node, visit);
      };
      visit(source);
    }
    expect(long).toEqual([]);
  });

  test("name no path of a machine and no tool around the project", () => {
    for (const [name, source] of sources) expect(source.text, name).not.toMatch(/["'`]\/(?:work|home|root)\//);
  });
});
