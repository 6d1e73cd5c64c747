import { type ReactNode, useEffect, useState } from "react";

import type { LogView } from "../logs/view";
import { isNote } from "../logs/store";
import { plain } from "../logs/text";
import { useTranslate, type Translate } from "../texts/translate";
import { count } from "../ui/format";
import { useTexts } from "./texts";
import styles from "./timeline.module.css";

/** So often at most something is said. */
const EACH_MS = 5_000;
const MOST_CHARS = 200;

/** Says to screen readers, politely and in batches, how many lines have come, and the newest error among them. */
export function Announcer({ view }: { view: LogView }): ReactNode {
  const t = useTranslate();
  const texts = useTexts();
  const [words, setWords] = useState("");
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    view.sync();
    let seen = view.store.lastSeq;
    const say = (): void => {
      timer = undefined;
      view.sync();
      setWords(newsOf(t, view, seen));
      seen = view.store.lastSeq;
    };
    const forget = view.store.subscribe(() => (timer ??= setTimeout(say, EACH_MS)));
    return () => {
      clearTimeout(timer);
      forget();
    };
  }, [view, t]);
  return (
    <div className={styles.spoken} role="status" aria-label={texts.newLines}>
      {words}
    </div>
  );
}

/** What has come after a line: how many are shown, and the newest error. Looks at no more than the new ones. */
export function newsOf(t: Translate, view: LogView, after: number): string {
  let [lines, errors, newest] = [0, 0, ""];
  for (let at = view.end - 1; at >= view.first; at -= 1) {
    const entry = view.at(at);
    if (!entry || entry.seq <= after) break;
    if (isNote(entry)) continue;
    lines += 1;
    if (entry.level !== "ERROR") continue;
    errors += 1;
    newest ||= plain(entry.message).slice(0, MOST_CHARS);
  }
  if (lines === 0) return "";
  return errors === 0
    ? count(t, lines, "{count} new line", "{count} new lines")
    : `${count(t, lines, "{count} new line", "{count} new lines")}, ${count(t, errors, "{count} error", "{count} errors")}: ${newest}`;
}
