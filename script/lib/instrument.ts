/**
 * A copy of src in which every check can be switched off while it runs (for script/mutate.ts), or in which every branch counts how
 * often it is taken (for script/fuzz.ts). The sources' text stays as it is but for what is put around conditions, so lines keep their numbers.
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import ts from "typescript";

export interface Site {
  readonly id: number;
  readonly file: string;
  readonly line: number;
  /** The condition, call or statement. */
  readonly text: string;
  /** It finds a mistake of the code that calls (a RangeError or the like), not of a file. */
  readonly caller: boolean;
}

export type Mode = "checks" | "branches";

/** As JavaScript, for a loader would add to every function's cost. */
const compilerOptions: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.ESNext,
  verbatimModuleSyntax: true,
  rewriteRelativeImportExtensions: true,
};

const root = join(import.meta.dirname, "../..");

/** @param folders of src whose files are changed; all are copied @returns what was found, numbered from 0 */
export function instrument(mode: Mode, out: string, folders: readonly string[]): Site[] {
  const sites: Site[] = [];
  rmSync(out, { recursive: true, force: true });
  for (const name of readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).sort()) {
    if (!name.endsWith(".ts")) continue;
    const text = readFileSync(join(root, "src", name), "utf8");
    const changed = folders.some((folder) => name.startsWith(`${folder}/`)) && !name.endsWith("-wasm.ts");
    mkdirSync(dirname(join(out, name)), { recursive: true });
    const typed = changed ? new File(mode, name, text, sites).changed() : text;
    writeFileSync(join(out, name.replace(/\.ts$/, ".js")), ts.transpileModule(typed, { compilerOptions }).outputText);
  }
  // Sources look for the package they belong to.
  copyFileSync(join(root, "package.json"), join(dirname(out), "package.json"));
  return sites;
}

/** What the copies call: `globalThis.fixedramSites`. */
export class Sites {
  /** The check that is switched off; -1: none. */
  active = -1;
  /** How often a check found something, by its number. */
  readonly fired = new Uint32Array(4096);
  /** How often a branch was taken. */
  readonly taken = new Uint8Array(16384);

  /** A condition of a check. */
  c<T>(id: number, value: T): T | false {
    if (!value) return value;
    this.fired[id] = (this.fired[id] ?? 0) + 1;
    return this.active === id ? false : value;
  }

  /** A statement that is carried out unless it is switched off. */
  t(id: number): boolean {
    this.fired[id] = (this.fired[id] ?? 0) + 1;
    return this.active !== id;
  }

  install(): this {
    (globalThis as unknown as Record<string, unknown>)["fixedramSites"] = this;
    return this;
  }
}

class File {
  readonly #mode: Mode;
  readonly #name: string;
  readonly #text: string;
  readonly #source: ts.SourceFile;
  readonly #sites: Site[];

  constructor(mode: Mode, name: string, text: string, sites: Site[]) {
    this.#mode = mode;
    this.#name = name;
    this.#text = text;
    this.#source = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true);
    this.#sites = sites;
  }

  changed(): string {
    const what = this.#mode === "checks" ? "" : ".taken";
    return `const __s = (globalThis as any).fixedramSites${what}; ${this.#emit(this.#source)}`;
  }

  #site(node: ts.Node, failing: ts.Node = node): number {
    const id = this.#sites.length;
    const { line } = this.#source.getLineAndCharacterOfPosition(node.getStart(this.#source));
    const text = node.getText(this.#source).replace(/\s+/g, " ").slice(0, 120);
    const caller =
      /\bthrow new (?:Range|Type)?Error\(/.test(failing.getText(this.#source)) || text.startsWith("checkRange(");
    this.#sites.push({ id, file: this.#name, line: line + 1, text, caller });
    return id;
  }

  /** The node's text with what is put around it and what is in it. */
  #emit(node: ts.Node): string {
    const start = node.getStart(this.#source);
    const before = this.#text.slice(node.pos, start);
    const around = this.#mode === "checks" ? this.#check(node) : this.#branch(node);
    return before + (around ?? this.#inner(node));
  }

  /** The node's text from its first character on, its children changed. */
  #inner(node: ts.Node): string {
    const children: ts.Node[] = [];
    ts.forEachChild(node, (child) => {
      children.push(child);
    });
    children.sort((a, b) => a.pos - b.pos);
    let at = node.getStart(this.#source);
    let text = "";
    for (const child of children) {
      // A type holds nothing that runs.
      if (child.pos < at && child.getStart(this.#source) < at) continue;
      const from = Math.max(child.pos, at);
      text +=
        this.#text.slice(at, from) +
        (ts.isTypeNode(child) ? this.#text.slice(from, child.end) : this.#emit(child).slice(from - child.pos));
      at = child.end;
    }
    return text + this.#text.slice(at, node.end);
  }

  #check(node: ts.Node): string | null {
    if (ts.isIfStatement(node) && fails(node.thenStatement)) {
      const condition = this.#disjuncts(node.expression, node.thenStatement);
      const rest = node.elseStatement === undefined ? "" : ` else ${this.#emit(node.elseStatement)}`;
      return `if (${condition}) ${this.#emitFailing(node.thenStatement)}${rest}`;
    }
    if (ts.isThrowStatement(node)) return `if (__s.t(${this.#site(node)})) ${this.#inner(node)}`;
    if (ts.isExpressionStatement(node)) {
      const call = ts.isAwaitExpression(node.expression) ? node.expression.expression : node.expression;
      if (ts.isCallExpression(call) && isCheck(call.expression))
        return `if (__s.t(${this.#site(node)})) ${this.#inner(node)}`;
    }
    return null;
  }

  /** Each part of `a || b || c` can be switched off by itself. */
  #disjuncts(node: ts.Expression, failing: ts.Node): string {
    if (ts.isParenthesizedExpression(node)) return `(${this.#disjuncts(node.expression, failing)})`;
    if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.BarBarToken) {
      return `${this.#disjuncts(node.left, failing)} || ${this.#disjuncts(node.right, failing)}`;
    }
    return `__s.c(${this.#site(node, failing)}, (${this.#inner(node)}))`;
  }

  /** What a check does when it found something: its throw is no check of its own. */
  #emitFailing(node: ts.Statement): string {
    if (ts.isThrowStatement(node)) return this.#inner(node);
    if (!ts.isBlock(node)) return this.#emit(node);
    return `{ ${node.statements.map((each) => (ts.isThrowStatement(each) ? this.#inner(each) : this.#emit(each))).join("\n")} }`;
  }

  #branch(node: ts.Node): string | null {
    const taken = (of: ts.Node) => `__s[${this.#site(of)}]++`;
    if (ts.isIfStatement(node) || ts.isWhileStatement(node) || ts.isConditionalExpression(node)) {
      const condition = ts.isConditionalExpression(node) ? node.condition : node.expression;
      const both = `((${this.#inner(condition)}) ? (${taken(condition)}, true) : (${taken(condition)}, false))`;
      if (ts.isIfStatement(node)) {
        const rest = node.elseStatement === undefined ? "" : ` else ${this.#emit(node.elseStatement)}`;
        return `if (${both}) ${this.#emit(node.thenStatement)}${rest}`;
      }
      if (ts.isWhileStatement(node)) return `while (${both}) ${this.#emit(node.statement)}`;
      return `(${both} ? ${this.#emit(node.whenTrue)} : ${this.#emit(node.whenFalse)})`;
    }
    if (ts.isBinaryExpression(node) && shortCircuits.has(node.operatorToken.kind)) {
      return `${this.#inner(node.left)} ${node.operatorToken.getText(this.#source)} (${taken(node.right)}, ${this.#emit(node.right)})`;
    }
    if (ts.isCaseClause(node)) {
      return `case ${this.#emit(node.expression)}: ${taken(node)}; ${node.statements.map((each) => this.#emit(each)).join("")}`;
    }
    if (ts.isDefaultClause(node))
      return `default: ${taken(node)}; ${node.statements.map((each) => this.#emit(each)).join("")}`;
    if (ts.isBlock(node) && ts.isFunctionLike(node.parent) && !startsWithSuper(node)) {
      return `{ ${taken(node)}; ${node.statements.map((each) => this.#emit(each)).join("")} }`;
    }
    return null;
  }
}

const shortCircuits: ReadonlySet<ts.SyntaxKind> = new Set([
  ts.SyntaxKind.AmpersandAmpersandToken,
  ts.SyntaxKind.BarBarToken,
  ts.SyntaxKind.QuestionQuestionToken,
]);

function startsWithSuper({ statements: [first] }: ts.Block): boolean {
  return first?.getText().startsWith("super(") === true;
}

/** Whether a statement ends in saying that something is wrong: a throw, or the return of null or false. */
function fails(statement: ts.Statement): boolean {
  if (ts.isThrowStatement(statement)) return true;
  if (ts.isBlock(statement)) {
    const last = statement.statements.at(-1);
    return last !== undefined && fails(last);
  }
  if (!ts.isReturnStatement(statement) || statement.expression === undefined) return false;
  const { kind } = statement.expression;
  return kind === ts.SyntaxKind.NullKeyword || kind === ts.SyntaxKind.FalseKeyword;
}

function isCheck(called: ts.Expression): boolean {
  const name = ts.isPropertyAccessExpression(called) ? called.name.text : ts.isIdentifier(called) ? called.text : "";
  return /^#?(?:check|require|refuse|claim)[A-Z]?|^#check$/.test(name);
}
