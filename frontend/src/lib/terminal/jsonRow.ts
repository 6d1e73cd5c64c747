import { type JsonLine, leavesOf, sentenceOf } from "../logs/json";
import type { Translate } from "../texts/translate";
import { visible } from "../ui/visible";
import styles from "./line.module.css";

/** The parts of a row that is a JSON object: a button, its message and values, and all values as a tree once opened. */
export function jsonParts(t: Translate, line: JsonLine, isOpen: boolean, fill: (text: string) => Node[]): Node[] {
  const button = make("button", styles.fold);
  button.setAttribute("type", "button");
  button.setAttribute("aria-expanded", String(isOpen));
  button.setAttribute("aria-label", t("Values"));
  button.dataset["json"] = "";
  const { message, rest } = sentenceOf(line);
  const values = make("span", styles.hidden);
  values.append(...fill(visible(message === "" || rest === "" ? rest : ` ${rest}`)));
  const parts: Node[] = [button, ...fill(visible(message)), values];
  return isOpen ? [...parts, tree(t, line)] : parts;
}

function tree(t: Translate, line: JsonLine): HTMLElement {
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
    list.append(row);
  }
  return list;
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
