// Lists the English texts of the library: `node scripts/texts.mjs` writes src/lib/texts/english.ts.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import ts from "typescript";

const LIB = join(import.meta.dirname, "../src/lib");
export const LIST = `${LIB}/texts/english.ts`;

/** The source files of the library, without tests. */
export function sources() {
  return readdirSync(LIB, { recursive: true })
    .map(String)
    .filter((path) => /\.tsx?$/.test(path) && !/\.test\./.test(path) && path !== "testing.ts")
    .map((path) => `${LIB}/${path}`)
    .sort();
}

export function parsed(path) {
  const kind = path.endsWith("x") ? ts.ScriptKind.TSX : ts.ScriptKind.TS;
  return ts.createSourceFile(path, readFileSync(path, "utf8"), ts.ScriptTarget.Latest, true, kind);
}

/** The arguments of a call that are texts: the first of `t` and `english`, the last two of `count`. */
export function textArguments(call) {
  const name = ts.isPropertyAccessExpression(call.expression) ? call.expression.name.text : call.expression.getText();
  if (/^#?(t|english|inEnglish)$/.test(name)) return call.arguments.slice(0, 1);
  return name === "count" ? call.arguments.slice(2) : [];
}

/** The English texts that the library shows, in the order of the alphabet. */
export function collect() {
  const found = new Set();
  const take = (node) => {
    if (ts.isStringLiteralLike(node)) found.add(node.text);
    else if (ts.isConditionalExpression(node)) [node.whenTrue, node.whenFalse].forEach(take);
    else if (ts.isParenthesizedExpression(node)) take(node.expression);
    else if (ts.isBinaryExpression(node)) [node.left, node.right].forEach(take);
  };
  const visit = (node) => {
    if (ts.isCallExpression(node)) textArguments(node).forEach(take);
    // The texts with short names.
    if (ts.isVariableDeclaration(node) && /^(LAUNCH|TERMINAL)_TEXTS$/.test(node.name.getText()))
      node.initializer.expression.properties.forEach((one) => take(one.initializer));
    ts.forEachChild(node, visit);
  };
  for (const path of sources()) visit(parsed(path));
  return [...found].sort((one, other) => (one < other ? -1 : 1));
}

/** The text of the list's module. */
export function listModule() {
  const lines = collect().map((text) => `  ${quoted(text)},`);
  return `/** All texts of the library, in English; made by \`npm run texts\`. */\nexport const ENGLISH = [\n${lines.join("\n")}\n] as const;\n\nexport type English = (typeof ENGLISH)[number];\n`;
}

function quoted(text) {
  const plain = JSON.stringify(text);
  return text.includes('"') && !text.includes("'") ? `'${text}'` : plain;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(LIST, listModule());
