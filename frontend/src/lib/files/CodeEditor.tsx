import { EditorView } from "@codemirror/view";
import { type ReactNode, useEffect, useRef } from "react";

import { useTranslate } from "../texts/translate";
import type { FileDesk, OpenFile } from "./desk";
import { colour, editorState, goToLine, keepInSight, stateAgain } from "./editor";
import styles from "./files.module.css";

interface CodeEditorProps {
  desk: FileDesk;
  file: OpenFile;
  isReadOnly: boolean;
  /** The line to go to; a new object goes there again. */
  place: { line: number } | null;
  onSave: () => void;
}

/** The text of one file, to be changed. It is in a shadow root, so the page's styles and those of CodeMirror do not meet. */
export function CodeEditor({ desk, file, isReadOnly, place, onSave }: CodeEditorProps): ReactNode {
  const t = useTranslate();
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(undefined);
  const latest = useRef({ file, onSave });
  useEffect(() => {
    latest.current = { file, onSave };
  });
  const { path, round } = file;
  useEffect(() => {
    if (!host.current) return;
    const root = host.current.shadowRoot ?? host.current.attachShadow({ mode: "open" });
    const { text, editor } = latest.current.file;
    const shown = { path, text, isReadOnly };
    const calls = {
      onChange: desk.write.bind(desk, path),
      onSave: () => latest.current.onSave(),
    };
    const state = editor ? stateAgain(editor, shown, calls) : editorState(t, shown, calls);
    const made = new EditorView({ state, parent: root, root });
    made.dom.dataset.path = path;
    view.current = made;
    void colour(made, path);
    return () => {
      view.current = undefined;
      made.destroy();
    };
  }, [desk, path, round, isReadOnly, t]);
  useEffect(() => {
    if (view.current && place) goToLine(view.current, place.line);
  }, [place, path, round]);
  useEffect(() => {
    if (!host.current) return;
    let height = 0;
    // A notice below takes height: the line that is being written stays in sight.
    const observer = new ResizeObserver(([entry]) => {
      const now = entry?.contentRect.height ?? 0;
      const isLower = now < height;
      height = now;
      if (isLower && view.current?.hasFocus) keepInSight(view.current);
    });
    observer.observe(host.current);
    return () => observer.disconnect();
  }, []);
  return <div ref={host} className={styles.editor} />;
}
