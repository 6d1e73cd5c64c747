// Finds texts of the library that a person sees and that do not go through `t`: `node scripts/rawTexts.mjs` prints them.
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import ts from "typescript";

import { LIST, parsed, sources, textArguments } from "./texts.mjs";

const LIB = join(import.meta.dirname, "../src/lib");
const SHOWN = /^(title|label|aria-label|placeholder|alt|action|heading|word|words|hint|note|empty|sign|waiting|shown)$/;
const NOT_SHOWN =
  /^(className|style|key|id|type|role|href|rel|target|data-.*|htmlFor|method|tone|kind|icon|autoComplete|inputMode|aria-(labelledby|describedby|controls|live|current|haspopup))$/;
// Their texts are compared, looked up or sent, not shown.
const CODE =
  /^(querySelector|querySelectorAll|startsWith|endsWith|includes|replace|replaceAll|split|join|test|match|addEventListener|removeEventListener|matchMedia|closest|has|indexOf|classes|createElement|setItem|getItem|removeItem|RegExp|createRoot|get|set|append)$/;
const KEYS = /^(Enter|Escape|Arrow\w+|Home|End|Tab|PageUp|PageDown|Mod-\w+|Delete|Backspace)$/;

const isProse = (text) => /[A-Za-z]{2,}[,.;:…]? +\S|\S +[a-z]{2,}|^[A-Z][a-z]+/.test(text) && !KEYS.test(text);

/** Each raw text: its file below src/lib, line and text. */
export function rawTexts() {
  const found = [];
  for (const path of sources().filter((one) => one !== LIST)) {
    const file = parsed(path);
    const add = (node, text) =>
      found.push({
        file: relative(LIB, path),
        line: file.getLineAndCharacterOfPosition(node.getStart()).line + 1,
        text: text.replace(/\s+/g, " ").trim(),
      });
    const visit = (node) => {
      if (ts.isCallExpression(node)) {
        const texts = new Set(textArguments(node));
        visit(node.expression);
        node.arguments.forEach((one) => texts.has(one) || visit(one));
        return;
      }
      if (ts.isJsxText(node) && /[A-Za-z]{2}/.test(node.text)) add(node, node.text);
      const text = ts.isTemplateExpression(node)
        ? [node.head.text, ...node.templateSpans.map((one) => one.literal.text)].join("{}")
        : ts.isStringLiteralLike(node)
          ? node.text
          : null;
      if (text !== null && /[A-Za-z]{2}/.test(text) && isShown(node, text)) add(node, text);
      ts.forEachChild(node, visit);
    };
    visit(file);
  }
  return found;
}

function isShown(node, text) {
  const { parent } = node;
  if (ts.isJsxAttribute(parent))
    return SHOWN.test(parent.name.getText()) || (!NOT_SHOWN.test(parent.name.getText()) && isProse(text));
  if (ts.isImportDeclaration(parent) || ts.isExportDeclaration(parent) || ts.isCaseClause(parent)) return false;
  if (ts.isElementAccessExpression(parent) || (ts.isPropertyAssignment(parent) && parent.name === node)) return false;
  let isValue = true; // reached the place where it is used through branches only
  for (
    let [one, around] = [node, parent];
    around && !ts.isFunctionLike(around);
    [one, around] = [around, around.parent]
  ) {
    if (ts.isTypeNode(around) || ts.isThrowStatement(around)) return false;
    if (ts.isBinaryExpression(around) && /^[!=]==?$|^in$/.test(around.operatorToken.getText())) return false;
    if ((ts.isCallExpression(around) || ts.isNewExpression(around)) && around.arguments?.includes(one)) {
      const called = around.expression;
      if (CODE.test(ts.isPropertyAccessExpression(called) ? called.name.text : called.getText())) return false;
      isValue = false;
    }
    if (ts.isConditionalExpression(around) && around.condition === one) isValue = false;
    if (ts.isObjectLiteralExpression(around) || ts.isElementAccessExpression(around)) isValue = false;
    if (ts.isJsxAttribute(around)) {
      const name = around.name.getText();
      if (NOT_SHOWN.test(name)) return false;
      return (isValue && SHOWN.test(name)) || isProse(text);
    }
    if (ts.isJsxExpression(around) && !ts.isJsxAttribute(around.parent))
      return isValue ? text.trim() !== "" : isProse(text);
  }
  return isProse(text);
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  process.stdout.write(
    rawTexts()
      .map(({ file, line, text }) => `${file}:${line}: ${text}\n`)
      .join(""),
  );
