import { columnOf, type JsonLine, leavesOf, sentenceOf } from "../logs/json";
import type { Translate } from "../texts/translate";
import { visible } from "../ui/visible";
import styles from "./line.module.css";

/** Characters of a value in a column. */
const MOST_CHARS = 200;

/**
 * The parts of a row that is a JSON object: a button, its columns, its message and other values, and all values as a tree
 * once opened.
 */
export function jsonParts(
  t: Translate,
  line: JsonLine,
  { isOpen, columns }: { isOpen: boolean; columns: readonly string[] },
  fill: (text: string) => Node[],
): Node[] {
  const button = make("button", styles.fold);
  button.setAttribute("type", "button");
  button.setAttribute("aria-expanded", String(isOpen));
  button.setAttribute("aria-label", t("Values"));
  button.dataset["json"] = "";
  const { message, rest } = sentenceOf(line, columns);
  const values = make("span", styles.hidden);
  values.append(...fill(visible(message === "" || rest === "" ? rest : ` ${rest}`)));
  const cells = columns.map((path) => cell(path, columnOf(line, path)));
  const parts: Node[] = [button, ...cells, ...fill(visible(message)), values];
  return isOpen ? [...parts, tree(t, line, columns)] : parts;
}

function cell(path: string, value: string | null): HTMLElement {
  const made = make("span", styles.cell);
  const text = value === null ? "" : visible(value.slice(0, MOST_CHARS));
  // Its name is in the heading; where that does not fit, it is here.
  if (value !== null) made.append(make("span", styles.cellName, `${visible(path)}=`));
  made.append(`${text} `);
  made.title = text;
  return made;
}

function tree(t: Translate, line: JsonLine, columns: readonly string[]): HTMLElement {
  const list = make("span", styles.tree);
  for (const leaf of leavesOf(line)) {
    const row = make("span", styles.leaf);
    row.style.paddingLeft = `${leaf.depth * 2}ch`;
    const name = make("span", styles.hidden, `${visible(leaf.name)}: `);
    row.append(name, visible(leaf.text ?? ""));
    if (leaf.term !== null) {
      const shown = { term: visible(leaf.term) };
      const include = termButton(leaf.term, t("include"), t("include lines with {term}", shown));
      row.append(" ", include, " ", termButton(`-${leaf.term}`, t("exclude"), t("exclude lines with {term}", shown)));
    }
    if (leaf.column !== null) row.append(" ", columnButton(t, leaf.column, columns.includes(leaf.column)));
    list.append(row);
  }
  return list;
}

function columnButton(t: Translate, path: string, isShown: boolean): HTMLElement {
  const button = make("button", styles.term, t("column"));
  button.setAttribute("type", "button");
  button.setAttribute("aria-pressed", String(isShown));
  button.setAttribute("aria-label", t("show {name} as a column", { name: visible(path) }));
  button.dataset["column"] = path;
  return button;
}

function termButton(term: string, word: string, label: string): HTMLElement {
  const button = make("button", styles.term, word);
  button.setAttribute("type", "button");
  button.setAttribute("aria-label", label);
  button.dataset["term"] = term;
  return button;
}

function make(name: string, className: string | undefined, text = ""): HTMLElement {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
