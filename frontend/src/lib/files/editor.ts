import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import {
  bracketMatching,
  foldGutter,
  foldKeymap,
  HighlightStyle,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
} from "@codemirror/language";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState, type Extension, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration,
  type DecorationSet,
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  highlightSpecialChars,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";

import { english, type Translate, sourceOf } from "../texts/translate";
import { languageOf } from "./languages";
import { separatorOf } from "./text";

/** Longer lines are not highlighted and not searched for matches of the selection: both would stop the page. */
const LONG_LINE = 20_000;

const LOOK = EditorView.theme({
  "&": { height: "100%", color: "var(--pv-text)", backgroundColor: "var(--pv-sunken)", fontSize: "12.5px" },
  "&.cm-focused": { outline: "2px solid var(--pv-accent)", outlineOffset: "-2px" },
  ".cm-scroller": { fontFamily: "var(--pv-mono)", lineHeight: "1.5" },
  ".cm-content": { caretColor: "var(--pv-text)" },
  ".cm-cursor": { borderLeftColor: "var(--pv-text)" },
  ".cm-gutters": { color: "var(--pv-muted)", backgroundColor: "var(--pv-sunken)", borderRight: "none" },
  ".cm-activeLine": { backgroundColor: "light-dark(rgb(0 0 0 / 4%), rgb(255 255 255 / 5%))" },
  ".cm-place": { backgroundColor: "light-dark(#ffefc2, #4a3d12)", boxShadow: "inset 3px 0 0 var(--pv-warn)" },
  ".cm-activeLineGutter": { color: "var(--pv-text)", backgroundColor: "var(--pv-hover)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    background: "light-dark(#c9d4ff, #33407a)",
  },
  ".cm-selectionMatch": { backgroundColor: "light-dark(#e6e1ff, #2b2f55)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "light-dark(#d3e9d8, #28472f)" },
  ".cm-panels": { color: "var(--pv-text)", backgroundColor: "var(--pv-raised)", borderColor: "var(--pv-line)" },
  ".cm-panel.cm-search": { fontFamily: "var(--pv-sans)", fontSize: "12.5px" },
  ".cm-panel.cm-search input, .cm-panel.cm-search button, .cm-panel.cm-search label": { fontSize: "12px" },
  ".cm-textfield": { backgroundColor: "var(--pv-surface)", border: "1px solid var(--pv-line-strong)" },
  ".cm-button": {
    backgroundImage: "none",
    backgroundColor: "var(--pv-surface)",
    border: "1px solid var(--pv-line-strong)",
    borderRadius: "5px",
  },
  ".cm-searchMatch": { backgroundColor: "light-dark(#ffe9a8, #5a4a14)" },
  ".cm-searchMatch-selected": { backgroundColor: "light-dark(#ffc46b, #80601c)" },
  ".cm-specialChar": { color: "var(--pv-bad)" },
});

// Each colour has a contrast of 4.5 or more to the ground, in both schemes.
const COLOURS = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: "light-dark(#7a1fa2, #d8a6f0)" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp], color: "light-dark(#176c34, #8fdc9f)" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "light-dark(#9c4a00, #f0b27a)" },
  { tag: [tags.comment, tags.meta], color: "var(--pv-muted)", fontStyle: "italic" },
  { tag: [tags.function(tags.variableName), tags.function(tags.propertyName)], color: "light-dark(#0b5f9c, #7cc4ff)" },
  { tag: [tags.className, tags.typeName, tags.tagName, tags.heading], color: "light-dark(#00696b, #6fd3d5)" },
  { tag: [tags.propertyName, tags.attributeName], color: "light-dark(#594a00, #dccb7a)" },
  { tag: tags.heading, fontWeight: "bold" },
  { tag: [tags.link, tags.url], color: "var(--pv-accent)" },
  { tag: tags.invalid, color: "var(--pv-bad)" },
]);

/** The line that somebody was sent to, until the text or the cursor changes. */
const showPlace = StateEffect.define<number>();
const PLACE = Decoration.line({ class: "cm-place", attributes: { "aria-current": "location" } });
const place = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update: (now, transaction) => {
    for (const effect of transaction.effects)
      if (effect.is(showPlace)) return Decoration.set([PLACE.range(effect.value)]);
    return transaction.docChanged || transaction.selection ? Decoration.none : now;
  },
  provide: (field) => EditorView.decorations.from(field),
});

// One state may be shown by several views, one after the other; the language is fetched after the text is shown.
const wiring = new Compartment();
const language = new Compartment();

export interface EditorCalls {
  onChange: (text: string, state: EditorState) => void;
  onSave: () => void;
}

export interface EditorFile {
  path: string;
  text: string;
  isReadOnly: boolean;
}

/** Words of CodeMirror's search and folding, as it names them. */
const PHRASES = [
  english("Find"),
  english("Replace"),
  english("next"),
  english("previous"),
  english("all"),
  english("match case"),
  english("regexp"),
  english("by word"),
  english("replace"),
  english("replace all"),
  english("close"),
  english("current match"),
  english("on line"),
  english("Go to line"),
  english("go"),
  english("Fold line"),
  english("Unfold line"),
  english("unfold"),
  english("folded code"),
];

/** A new state for a file's text. Its language comes later, once it is fetched. */
export function editorState(t: Translate, file: EditorFile, calls: EditorCalls): EditorState {
  return EditorState.create({ doc: file.text, extensions: extensionsOf(t, file, calls) });
}

/** An earlier state for a new view. */
export function stateAgain(state: EditorState, file: EditorFile, calls: EditorCalls): EditorState {
  return state.update({ effects: wiring.reconfigure(wired(file, calls)) }).state;
}

function extensionsOf(t: Translate, file: EditorFile, calls: EditorCalls): Extension {
  return [
    wiring.of(wired(file, calls)),
    EditorState.lineSeparator.of(separatorOf(file.text)),
    lineNumbers(),
    highlightActiveLineGutter(),
    highlightSpecialChars(),
    history(),
    foldGutter({ markerDOM: (isOpen) => foldMarker(t, isOpen) }),
    drawSelection(),
    indentOnInput(),
    indentUnit.of(indentOf(file.text)),
    bracketMatching(),
    highlightActiveLine(),
    place,
    highlightSelectionMatches({ minSelectionLength: 2, maxMatches: 100 }),
    search({ top: true }),
    EditorState.phrases.of(Object.fromEntries(PHRASES.map((one) => [sourceOf(one), t(one)]))),
    LOOK,
    syntaxHighlighting(COLOURS),
    language.of([]),
    EditorView.contentAttributes.of({
      "aria-label": t("Text of {path}", { path: file.path }),
      spellcheck: "false",
      tabindex: "0",
    }),
    keymap.of([
      // Escape, then Tab leaves the editor: CodeMirror takes no Tab for two seconds after an Escape.
      indentWithTab,
      ...defaultKeymap,
      ...searchKeymap,
      ...historyKeymap,
      ...foldKeymap,
    ]),
  ];
}

function wired(file: EditorFile, calls: EditorCalls): Extension {
  const save = (): boolean => {
    calls.onSave();
    return true;
  };
  return [
    EditorState.readOnly.of(file.isReadOnly),
    keymap.of([{ key: "Mod-s", preventDefault: true, run: save }]),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) calls.onChange(update.state.sliceDoc(), update.state);
    }),
  ];
}

/** Fetch the language of the file and show the text in its colours, unless another file is shown by then. */
export async function colour(view: EditorView, path: string): Promise<void> {
  const found = languageOf(path);
  if (!found || hasLongLine(view.state)) return;
  const extension = await found[1]();
  if (view.dom.dataset.path === path) view.dispatch({ effects: language.reconfigure(extension) });
}

/** Scroll to the cursor, if it is out of sight. */
export function keepInSight(view: EditorView): void {
  view.dispatch({ effects: EditorView.scrollIntoView(view.state.selection.main.head, { y: "nearest", yMargin: 20 }) });
}

/** Mark a line, put the cursor at its start and bring it into the middle. Numbers outside of the text mean its ends. */
export function goToLine(view: EditorView, line: number): void {
  const found = view.state.doc.line(Math.min(Math.max(1, line), view.state.doc.lines));
  view.dispatch({
    selection: { anchor: found.from },
    effects: [showPlace.of(found.from), EditorView.scrollIntoView(found.from, { y: "center" })],
  });
  // A touch screen would cover half of the text with its keyboard.
  if (!matchMedia("(pointer: coarse)").matches) view.focus();
}

function hasLongLine(state: EditorState): boolean {
  for (let line = 1; line <= state.doc.lines; line += 1) if (state.doc.line(line).length > LONG_LINE) return true;
  return false;
}

/** The indent of the first indented line; four spaces where there is none. */
function indentOf(text: string): string {
  const found = /^(\t| {2,8})\S/m.exec(text)?.[1];
  return found ?? "    ";
}

function foldMarker(t: Translate, isOpen: boolean): HTMLElement {
  const marker = document.createElement("span");
  marker.textContent = isOpen ? "\u25be" : "\u25b8";
  marker.title = isOpen ? t("Fold") : t("Unfold");
  return marker;
}
