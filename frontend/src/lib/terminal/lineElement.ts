import { jsonOf } from "../logs/json";
import type { FoldHead } from "../logs/rows";
import { type Run, runsOf } from "../logs/sgr";
import { type Entry, isNote } from "../logs/store";
import { clock, plain } from "../logs/text";
import { type FrameInLine, isOpenable, type Place } from "../logs/traceback";
import type { Translate } from "../texts/translate";
import { count } from "../ui/format";
import type { Theme } from "../ui/theme";
import { visible } from "../ui/visible";
import { readable } from "./colours";
import { jsonParts } from "./jsonRow";
import styles from "./line.module.css";

export interface LineLook {
  theme: Theme;
  pattern: RegExp | null;
  isMarked: boolean;
  isChosen: boolean;
  /** It is the match looked at. */
  isCurrent: boolean;
  /** The stack or progress that it is the first line of. */
  head: FoldHead | null;
  /** The frame that it belongs to, in an open stack; `isNamed` where the line names its place. */
  frame: (FrameInLine & { isNamed: boolean }) | null;
  /** Whether places in the project's code are links. */
  canOpen: boolean;
  /** Whether all values of a JSON line are shown. */
  isOpen: boolean;
  /** Values of JSON lines that are columns. */
  columns: readonly string[];
  /** Words for its mark, such as “2 comments”. */
  note?: string | undefined;
}

const LINK = /https?:\/\/[^\s"'<>`\\]+/g;
const LINK_END = /[.,;:!?)\]}]$/;
const MOST_LINKS = 50;

/**
 * One entry as a row. Its text stands in an element of its own, which is cut off at its edges: what is left of it, the
 * mark of the service and of levels, no output reaches.
 */
export function lineElement(t: Translate, entry: Entry, look: LineLook): HTMLElement {
  const row = element("div", styles.line);
  if (isNote(entry)) {
    row.dataset["level"] = "NOTE";
    row.append(element("span", styles.head), element("span", styles.text, visible(entry.text)));
    return row;
  }
  row.dataset["level"] = entry.level;
  row.dataset["source"] = entry.source;
  row.dataset["seq"] = String(entry.seq);
  if (entry.stream === "stderr") row.dataset["stream"] = "stderr";
  if (look.isMarked) row.dataset["marked"] = "true";
  if (look.isChosen) row.dataset["chosen"] = "true";
  if (look.isCurrent) row.dataset["current"] = "true";
  const head = element("span", styles.head);
  head.dataset["head"] = "";
  head.append(element("span", styles.time, clock(entry.timestamp)));
  if (entry.stream === "stderr") {
    const stream = element("span", styles.stream);
    stream.setAttribute("role", "img");
    stream.setAttribute("aria-label", t("Standard error"));
    stream.title = t("Standard error");
    head.append(stream);
  }
  if (look.note !== undefined) {
    const note = element("span", styles.note);
    note.setAttribute("role", "img");
    note.setAttribute("aria-label", look.note);
    note.title = look.note;
    head.append(note);
  }
  const text = element("span", styles.text);
  const json = entry.source === "subprocess" && !look.head ? jsonOf(plain(entry.message)) : null;
  if (look.head) text.append(foldButton(t, look.head));
  if (look.head && !look.head.isOpen) fillFolded(t, text, look.head, look);
  else if (json) text.append(...jsonParts(t, json, look, (words) => filled(words, look)));
  else if (look.frame?.isNamed) fillFrame(t, text, plain(entry.message), look.frame, look);
  else fill(text, runsOf(entry.message), look);
  if (look.frame) row.dataset["frame"] = look.frame.place.isOwn ? "own" : "other";
  row.append(head, text);
  return row;
}

/** Words with their links and what is found in them. */
function filled(words: string, look: LineLook): Node[] {
  const made = document.createElement("span");
  fill(made, [{ text: words, style: {} }], look);
  return [...made.childNodes];
}

function foldButton(t: Translate, { isOpen, kind }: FoldHead): HTMLElement {
  const button = element("button", styles.fold);
  button.setAttribute("type", "button");
  button.setAttribute("aria-expanded", String(isOpen));
  button.setAttribute("aria-label", kind === "stack" ? t("Traceback") : t("Progress"));
  if (kind === "stack") button.title = isOpen ? t("Fold the traceback") : t("Show the whole traceback");
  else button.title = isOpen ? t("Fold the progress") : t("Show all progress lines");
  button.dataset["fold"] = "";
  return button;
}

/**
 * A fold in one row. A stack: what failed, the innermost place of the project, and how much is folded. A progress bar:
 * its last state, and how many there were.
 */
function fillFolded(t: Translate, text: HTMLElement, head: FoldHead, look: LineLook): void {
  if (head.kind === "progress") {
    fill(text, runsOf(head.last.message), look);
    text.append(
      element("span", styles.hidden, ` (${count(t, head.states, "{count} progress line", "{count} progress lines")})`),
    );
    return;
  }
  const { title, place, frames } = head.summary;
  fill(text, [{ text: visible(title), style: {} }], look);
  if (place) {
    text.append(" — ");
    text.append(placeElement(t, place, `${place.path}:${place.line}`, look));
  }
  const hidden = place ? frames - 1 : frames;
  if (hidden > 0)
    text.append(
      element(
        "span",
        styles.hidden,
        t(" ({hidden} hidden)", { hidden: count(t, hidden, "{count} frame", "{count} frames") }),
      ),
    );
}

/** A line of an open stack with its path as people know it. */
function fillFrame(t: Translate, text: HTMLElement, message: string, frame: FrameInLine, look: LineLook): void {
  const part = (words: string): void => fill(text, [{ text: words, style: {} }], look);
  part(message.slice(0, frame.from));
  const path = placeElement(t, frame.place, frame.place.path, look);
  path.title = message.slice(frame.from, frame.to);
  text.append(path);
  part(message.slice(frame.to));
}

function placeElement(t: Translate, place: Place, words: string, { canOpen }: LineLook): HTMLElement {
  if (!canOpen || !isOpenable(place)) return element("span", undefined, visible(words));
  const button = element("button", styles.place, visible(words));
  button.setAttribute("type", "button");
  button.setAttribute("aria-label", t("Open {path}, line {line}", { path: visible(words), line: place.line }));
  button.dataset["file"] = place.path;
  button.dataset["at"] = String(place.line);
  return button;
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
  }
  if (isPlain || isFound) return made;
  const { color, background } = readable(style.fg, style.bg, style.inverse ?? false, look.theme);
  const css = made.style;
  if (color) css.color = color;
  if (background) css.backgroundColor = background;
  if (style.dim) css.opacity = "0.75";
  if (style.bold) css.fontWeight = "700";
  if (style.italic) css.fontStyle = "italic";
  if (style.underline || style.strike)
    css.textDecoration = `${style.underline ? "underline" : ""} ${style.strike ? "line-through" : ""}`;
  return made;
}
