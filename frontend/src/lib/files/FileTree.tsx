import { type KeyboardEvent, type ReactNode, useMemo, useRef, useState } from "react";

import type { StoredFile } from "../api/files";
import { useTranslate } from "../texts/translate";
import controls from "../ui/controls.module.css";
import { bytes } from "../ui/format";
import { Icon } from "../ui/icons";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import styles from "./files.module.css";
import { firstOpen, foldersOf, foundRows, MOST_ROWS, rowsOf, type TreeRow } from "./tree";

interface FileTreeProps {
  files: readonly StoredFile[];
  shown: string | null;
  unsaved: ReadonlySet<string>;
  onShow: (path: string) => void;
}

/** The files in their folders, with a search. One stop for Tab; arrow keys move. */
export function FileTree({ files, shown, unsaved, onShow }: FileTreeProps): ReactNode {
  const t = useTranslate();
  const [search, setSearch] = useState("");
  const [open, setOpen] = useState(() => firstOpen(files, shown));
  const [focused, setFocused] = useState<string | null>(null);
  const [lastShown, setLastShown] = useState(shown);
  const tree = useRef<HTMLDivElement>(null);
  if (shown !== lastShown) {
    setLastShown(shown);
    if (shown !== null) setOpen(new Set([...open, ...foldersOf(shown)]));
  }
  const sizes = useMemo(() => new Map(files.map((one) => [one.path, one])), [files]);
  const all = useMemo(() => {
    const paths = files.map((one) => one.path);
    return search.trim() ? foundRows(paths, search) : rowsOf(paths, open);
  }, [files, search, open]);
  const rows = all.slice(0, MOST_ROWS);
  const stop = rows.find((row) => row.path === focused) ?? rows.find((row) => row.path === shown) ?? rows[0];
  const toggle = (path: string): void => {
    const next = new Set(open);
    if (!next.delete(path)) next.add(path);
    setOpen(next);
  };
  const choose = (row: TreeRow): void => {
    setFocused(row.path);
    if (row.isFolder) toggle(row.path);
    else onShow(row.path);
  };
  const focusRow = (at: number): void => {
    const row = rows[at];
    if (!row) return;
    setFocused(row.path);
    tree.current?.querySelectorAll<HTMLElement>('[role="treeitem"]')[at]?.focus();
  };
  const onKeyDown = (event: KeyboardEvent, row: TreeRow, at: number): void => {
    const parent = row.path.slice(0, Math.max(0, row.path.lastIndexOf("/")));
    const moves: Record<string, () => void> = {
      ArrowDown: () => focusRow(at + 1),
      ArrowUp: () => focusRow(at - 1),
      Home: () => focusRow(0),
      End: () => focusRow(rows.length - 1),
      ArrowRight: () => (row.isFolder && !row.isOpen ? toggle(row.path) : focusRow(at + 1)),
      ArrowLeft: () => (row.isOpen ? toggle(row.path) : focusRow(rows.findIndex((one) => one.path === parent))),
      Enter: () => choose(row),
      " ": () => choose(row),
    };
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move();
  };
  return (
    <div className={styles.side}>
      <div className={styles.search}>
        <input
          className={controls.field}
          type="search"
          value={search}
          placeholder={t("Search files")}
          aria-label={t("Search files")}
          spellCheck={false}
          onChange={(event) => setSearch(event.target.value)}
        />
      </div>
      <div ref={tree} className={styles.tree} role="tree" aria-label={t("Files")}>
        {rows.map((row, at) => {
          const file = sizes.get(row.path);
          const isUnsaved = !row.isFolder && unsaved.has(row.path);
          return (
            <div
              key={row.path}
              role="treeitem"
              className={styles.row}
              style={{ paddingInlineStart: `${10 + row.depth * 14 + (row.isFolder || search ? 0 : 16)}px` }}
              aria-level={row.depth + 1}
              aria-selected={row.path === shown}
              {...(row.isFolder && { "aria-expanded": row.isOpen })}
              {...(isUnsaved && { "aria-label": t("{name}, not saved", { name: visible(row.name) }) })}
              tabIndex={row === stop ? 0 : -1}
              title={file ? `${visible(row.path)}, ${bytes(file.size_bytes)}` : visible(row.path)}
              onClick={() => choose(row)}
              onKeyDown={(event) => onKeyDown(event, row, at)}
            >
              {row.isFolder && (
                <span className={styles.arrow} data-open={row.isOpen}>
                  <Icon name="down" size={12} />
                </span>
              )}
              <span className={styles.name}>{visible(row.name)}</span>
              {isUnsaved && <span className={styles.mark} aria-hidden="true" />}
            </div>
          );
        })}
      </div>
      {rows.length === 0 && <p className={panel.hint}>{t("No file path contains these words.")}</p>}
      {all.length > rows.length && (
        <p className={panel.hint}>
          {t("{all} more: search for a part of the path.", { all: all.length - rows.length })}
        </p>
      )}
    </div>
  );
}
