/** Finds every text that a user may read as a message, a notice, a problem, a hint, as what was found or expected: by the syntax of src. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

/** `beginning`: of a message, what a function of its own puts before other words. */
export type Kind = "message" | "hint" | "phrase" | "beginning";

/** A text as it may come out; what is not known before it runs is {@link hole}. */
export interface Words {
  readonly kind: Kind;
  readonly text: string;
  readonly file: string;
  readonly line: number;
}

export const hole = "\0";

const unknown: readonly string[] = [hole];
const kinds: Readonly<Record<string, Kind>> = {
  hint: "hint",
  expected: "phrase",
  found: "phrase",
  said: "message",
  reason: "message",
};

/** A function one of whose parameters ends in a message. Of a file when only that file can call it. */
interface Sink {
  readonly name: string;
  readonly index: number;
  readonly kind: Kind;
  readonly file: string | null;
}

export class Said {
  readonly found = new Map<string, Words>();
  readonly #sources: readonly ts.SourceFile[];
  /** By the name that is called. */
  readonly #calls = new Map<string, (ts.CallExpression | ts.NewExpression)[]>();
  readonly #objects: ts.ObjectLiteralExpression[] = [];
  readonly #functions = new Map<string, ts.SignatureDeclaration[]>();
  readonly #constants = new Map<string, ts.Expression[]>();
  readonly #sinks: Sink[] = [];

  constructor(root: string) {
    this.#sources = readdirSync(root, { recursive: true, encoding: "utf8" })
      .filter((name) => /\.tsx?$/.test(name) && !name.startsWith("viewer/client/"))
      .sort()
      .map((name) => {
        const text = readFileSync(join(root, name), "utf8");
        return ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true);
      });
    for (const source of this.#sources) this.#gather(source);
    for (const node of this.#calls.get("FixedramError") ?? []) this.#say(node.arguments?.[1], "message");
    for (const node of this.#objects) this.#fields(node);
    // A parameter that ends in a message makes its function's callers say it; their parameters may, again.
    for (const sink of this.#sinks) {
      for (const node of this.#calls.get(sink.name) ?? []) {
        const own = sink.file === null || sink.file === node.getSourceFile().fileName;
        if (own) this.#say(node.arguments?.[sink.index], sink.kind);
      }
    }
  }

  get all(): readonly Words[] {
    return [...this.found.values()];
  }

  #gather(node: ts.Node): void {
    if (ts.isCallExpression(node) || ts.isNewExpression(node)) push(this.#calls, calledIn(node), node);
    else if (ts.isObjectLiteralExpression(node)) this.#objects.push(node);
    const name = ts.isFunctionLike(node) ? nameOf(node) : null;
    if (name !== null) push(this.#functions, name, node as ts.SignatureDeclaration);
    if (ts.isVariableDeclaration(node) && ts.isIdentifier(node.name) && node.initializer !== undefined)
      push(this.#constants, node.name.text, node.initializer);
    ts.forEachChild(node, (child) => this.#gather(child));
  }

  /** What an object has in the fields of an error, a notice or a problem. */
  #fields(node: ts.ObjectLiteralExpression): void {
    const properties = new Map(node.properties.map((each) => [each.name?.getText() ?? "", each]));
    for (const [name, property] of properties) {
      const kind = name === "message" && properties.has("code") ? "message" : kinds[name];
      if (kind === undefined) continue;
      if (ts.isPropertyAssignment(property)) this.#say(property.initializer, kind);
      else if (ts.isShorthandPropertyAssignment(property)) this.#say(property.name, kind);
    }
  }

  #say(expression: ts.Expression | undefined, kind: Kind): void {
    if (expression === undefined) return;
    const source = expression.getSourceFile();
    const line = source.getLineAndCharacterOfPosition(expression.getStart()).line + 1;
    for (const text of this.#texts(expression, kind, 0)) {
      const key = `${kind} ${text} ${source.fileName}`;
      this.found.set(key, { text, kind, file: source.fileName, line });
    }
  }

  /** What an expression may come to; parameters lead to those who give them, and to nothing here. */
  #texts(node: ts.Expression, kind: Kind | null, depth: number): readonly string[] {
    if (depth > 8) return unknown;
    const deeper = (each: ts.Expression) => this.#texts(each, kind, depth + 1);
    if (ts.isStringLiteralLike(node)) return [node.text];
    if (ts.isTemplateExpression(node)) return this.#template(node, kind, depth);
    if (ts.isParenthesizedExpression(node) || ts.isAsExpression(node) || ts.isSatisfiesExpression(node))
      return deeper(node.expression);
    if (ts.isConditionalExpression(node)) return [...deeper(node.whenTrue), ...deeper(node.whenFalse)];
    if (ts.isBinaryExpression(node)) {
      const { kind: operator } = node.operatorToken;
      if (operator === ts.SyntaxKind.QuestionQuestionToken || operator === ts.SyntaxKind.BarBarToken)
        return [...deeper(node.left), ...deeper(node.right)];
      if (operator === ts.SyntaxKind.PlusToken) return joined(deeper(node.left), deeper(node.right));
    }
    if (ts.isIdentifier(node)) return this.#named(node, kind, depth);
    if (ts.isCallExpression(node)) return this.#returned(node, depth);
    return node.kind === ts.SyntaxKind.NullKeyword || node.getText() === "undefined" ? [] : unknown;
  }

  #template(node: ts.TemplateExpression, kind: Kind | null, depth: number): readonly string[] {
    let all: readonly string[] = [node.head.text];
    for (const [i, { expression, literal }] of node.templateSpans.entries()) {
      const first = i === 0 && node.head.text === "";
      const last = i === node.templateSpans.length - 1 && literal.text === "";
      const inner =
        first || last
          ? this.#texts(
              expression,
              first && last ? kind : first && kind !== "hint" && kind !== null ? "beginning" : null,
              depth + 1,
            )
          : unknown;
      all = first ? (inner.length === 0 ? unknown : inner) : joined(all, inner.length === 0 ? unknown : inner);
      if (literal.text !== "") all = joined(all, [literal.text]);
    }
    return all;
  }

  #named(node: ts.Identifier, kind: Kind | null, depth: number): readonly string[] {
    const name = node.text;
    for (let around: ts.Node = node.parent; !ts.isSourceFile(around); around = around.parent) {
      if (ts.isFunctionLike(around)) {
        const index = around.parameters.findIndex((each) => ts.isIdentifier(each.name) && each.name.text === name);
        if (index >= 0) return this.#parameter(around, index, kind);
      }
      if (ts.isBlock(around) || ts.isCaseClause(around) || ts.isDefaultClause(around)) {
        const local = localOf(around, name);
        if (local !== null) return this.#texts(local, kind, depth + 1);
      }
    }
    const file = node.getSourceFile();
    const known = this.#constants.get(name)?.filter((each) => topLevel(each)) ?? [];
    const constant = known.find((each) => each.getSourceFile() === file || imports(file, name));
    return constant === undefined ? unknown : this.#texts(constant, kind, depth + 1);
  }

  #parameter(owner: ts.SignatureDeclaration, index: number, kind: Kind | null): readonly string[] {
    const name = nameOf(owner);
    if (kind === null || name === null) return unknown;
    const open = ts.isMethodDeclaration(owner) || ts.isConstructorDeclaration(owner) || isExported(owner);
    const file = open ? null : owner.getSourceFile().fileName;
    const same = (each: Sink) => each.name === name && each.index === index && each.kind === kind && each.file === file;
    if (!this.#sinks.some(same)) this.#sinks.push({ name, index, kind, file });
    return [];
  }

  #returned(node: ts.CallExpression, depth: number): readonly string[] {
    const all = this.#functions.get(calledIn(node)) ?? [];
    const own = all.filter((each) => each.getSourceFile() === node.getSourceFile());
    const candidates = own.length > 0 ? own : all;
    if (candidates.length !== 1) return unknown;
    const returned = candidates
      .flatMap((each) => returnsOf(each))
      .flatMap((each) => this.#texts(each, null, depth + 1));
    return returned.length === 0 ? unknown : returned;
  }
}

function joined(left: readonly string[], right: readonly string[]): readonly string[] {
  return left.flatMap((a) => right.map((b) => a + b));
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

function nameOf(node: ts.SignatureDeclaration): string | null {
  if (ts.isConstructorDeclaration(node)) return node.parent.name?.text ?? null;
  if (node.name !== undefined) return node.name.getText();
  const { parent } = node;
  if (ts.isVariableDeclaration(parent) || ts.isPropertyDeclaration(parent)) return parent.name.getText();
  return null;
}

function isExported(node: ts.Node): boolean {
  const declared = ts.isFunctionDeclaration(node) ? node : node.parent?.parent?.parent;
  return (
    declared !== undefined &&
    ts.canHaveModifiers(declared) &&
    (ts.getModifiers(declared)?.some((each) => each.kind === ts.SyntaxKind.ExportKeyword) ?? false)
  );
}

function calledIn({ expression }: ts.CallExpression | ts.NewExpression): string {
  if (ts.isPropertyAccessExpression(expression)) return expression.name.text;
  return ts.isIdentifier(expression) ? expression.text : "";
}

function imports(file: ts.SourceFile, name: string): boolean {
  return file.statements.some((each) => {
    const bindings = ts.isImportDeclaration(each) ? each.importClause?.namedBindings : undefined;
    return (
      bindings !== undefined && ts.isNamedImports(bindings) && bindings.elements.some((one) => one.name.text === name)
    );
  });
}

function topLevel(initializer: ts.Expression): boolean {
  return ts.isSourceFile(initializer.parent.parent.parent.parent);
}

function localOf(block: ts.Block | ts.CaseOrDefaultClause, name: string): ts.Expression | null {
  for (const statement of block.statements) {
    if (!ts.isVariableStatement(statement)) continue;
    for (const { name: declared, initializer } of statement.declarationList.declarations)
      if (ts.isIdentifier(declared) && declared.text === name && initializer !== undefined) return initializer;
  }
  return null;
}

function returnsOf(node: ts.SignatureDeclaration): readonly ts.Expression[] {
  if (ts.isArrowFunction(node) && !ts.isBlock(node.body)) return [node.body];
  const found: ts.Expression[] = [];
  const visit = (each: ts.Node): void => {
    if (ts.isFunctionLike(each) && each !== node) return;
    if (ts.isReturnStatement(each) && each.expression !== undefined) found.push(each.expression);
    ts.forEachChild(each, visit);
  };
  visit(node);
  return found;
}
