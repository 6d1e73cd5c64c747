import type { ReactNode } from "react";

import { useTranslate } from "../texts/translate";
import panel from "../ui/panel.module.css";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import type { FileDesk, FilesSnapshot } from "./desk";
import styles from "./files.module.css";
import Markdown from "./Markdown";

const README = /^readme(?:\.md|\.markdown)?$/i;
const MARKDOWN = /\.(?:md|markdown)$/i;

/** The project's README; null without one. */
export function readmeOf(paths: readonly string[]): string | null {
  return paths.find((one) => README.test(one)) ?? null;
}

export function isMarkdown(path: string): boolean {
  return MARKDOWN.test(path);
}

interface ReadmeProps {
  desk: FileDesk;
  files: FilesSnapshot;
  path: string;
  onShow: (path: string) => void;
}

/** A file of the project to read: Markdown as a page, other text as it is. */
export function Readme({ desk, files, path, onShow }: ReadmeProps): ReactNode {
  const t = useTranslate();
  const file = files.open.get(path);
  const { problem } = useLoad(file ? null : path, (signal) => desk.read(path, signal));
  if (!file) return <p className={panel.none}>{problem?.message ?? t("Loading…")}</p>;
  const folder = path.slice(0, path.lastIndexOf("/") + 1);
  const onFile = (to: string): (() => void) | null => {
    const found = desk.find(to.startsWith("/") ? to.slice(1) : `${folder}${to}`);
    return found ? () => onShow(found.path) : null;
  };
  return (
    <div className={styles.readme} tabIndex={0} role="region" aria-label={visible(path)}>
      {isMarkdown(path) ? (
        <Markdown text={file.text} onFile={onFile} />
      ) : (
        <pre className={styles.readmeText}>{visible(file.text)}</pre>
      )}
    </div>
  );
}
