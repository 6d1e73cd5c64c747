import { type Run, runsOf } from "../logs/sgr";
import { type Entry, isNote } from "../logs/store";
import { clock } from "../logs/text";
import type { Theme } from "../ui/theme";
import { visible } from "../ui/visible";
import { readable } from "./colours";
import styles from "./line.module.css";

export interface LineLook {
  theme: Theme;
  pattern: RegExp | null;
  isMarked: boolean;
  isChosen: boolean;
  /** It is the match looked at. */
  isCurrent: boolean;
}

const LINK = /https?:\/\/[^\s"'<>`\\]+/g;
const LINK_END = /[.,;:!?)\]}]$/;
const MOST_LINKS = 50;

/**
 * One entry as a row. Its text stands in an element of its own, which is cut off at its edges: what is left of it, the
 * mark of the service and of levels, no output reaches.
 */
export function lineElement(entry: Entry, look: LineLook): HTMLElement {
  const row = element("div", styles.line);
  if (isNote(entry)) {
    row.dataset["level"] = "NOTE";
    row.append(element("span", styles.head), element("span", styles.text, visible(entry.text)));
    return row;
  }
  row.dataset["level"] = entry.level;
  row.dataset["source"] = entry.source;
  row.dataset["seq"] = String(entry.seq);
  if (look.isMarked) row.dataset["marked"] = "true";
  if (look.isChosen) row.dataset["chosen"] = "true";
  if (look.isCurrent) row.dataset["current"] = "true";
  const head = element("span", styles.head);
  head.dataset["head"] = "";
  head.append(element("span", styles.time, clock(entry.timestamp)));
  const text = element("span", styles.text);
  fill(text, runsOf(entry.message), look);
  row.append(head, text);
  return row;
}

function element(name: string, className: string | undefined, text = ""): HTMLElement {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** Write a line's parts: by style, by link, and by what is found. */
function fill(text: HTMLElement, runs: readonly Run[], look: LineLook): void {
  const whole = runs.map((one) => one.text).join("");
  const links = spans(whole, LINK, MOST_LINKS).map(([from, to]) => {
    let end = to;
    while (end > from && LINK_END.test(whole.slice(from, end))) end -= 1;
    return [from, end] as const;
  });
  const found = look.pattern ? spans(whole, look.pattern, MOST_LINKS) : [];
  const cuts = [...new Set([...links, ...found].flat())].sort((a, b) => a - b);
  let at = 0;
  for (const run of runs) {
    const inside = cuts.filter((cut) => cut > at && cut < at + run.text.length);
    const edges = [at, ...inside, at + run.text.length];
    for (const [index, from] of edges.slice(0, -1).entries()) {
      const to = edges[index + 1] ?? from;
      const link = links.find(([start, end]) => from >= start && to <= end);
      const isFound = found.some(([start, end]) => from >= start && to <= end);
      text.append(part(whole.slice(from, to), run, link && whole.slice(...link), isFound, look));
    }
    at += run.text.length;
  }
}

function spans(text: string, pattern: RegExp, most: number): (readonly [number, number])[] {
  const found: (readonly [number, number])[] = [];
  for (const one of text.matchAll(pattern)) {
    if (one[0].length === 0 || found.length >= most) break;
    found.push([one.index, one.index + one[0].length]);
  }
  return found;
}

function part(text: string, { style }: Run, link: string | undefined, isFound: boolean, look: LineLook): Node {
  const isPlain = Object.values(style).every((one) => one === undefined || one === false);
  if (isPlain && link === undefined && !isFound) return document.createTextNode(text);
  const made = element(
    link === undefined ? (isFound ? "mark" : "span") : "a",
    isFound ? styles.match : undefined,
    text,
  );
  if (link !== undefined) {
    made.setAttribute("href", link);
    made.setAttribute("target", "_blank");
    made.setAttribute("rel", "noopener noreferrer");
    made.tabIndex = -1;
  }
  if (isPlain || isFound) return made;
  const { color, background } = readable(style.fg, style.bg, style.inverse ?? false, look.theme);
  const css = made.style;
  if (color) css.color = color;
  if (background) css.backgroundColor = background;
  if (style.bold) css.fontWeight = "700";
  if (style.italic) css.fontStyle = "italic";
  if (style.underline || style.strike)
    css.textDecoration = `${style.underline ? "underline" : ""} ${style.strike ? "line-through" : ""}`;
  return made;
}
