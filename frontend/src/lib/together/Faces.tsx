import type { ReactNode } from "react";

import type { Viewer } from "../api/together";
import { useTranslate } from "../texts/translate";
import controls from "../ui/controls.module.css";
import { visible } from "../ui/visible";
import styles from "./together.module.css";

/** The first letters of a name: two at most. */
export function initials(name: string): string {
  const words = visible(name).split(" ").filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)] : [words[0]];
  return letters
    .map((word) => Array.from(word ?? "?")[0] ?? "?")
    .join("")
    .toUpperCase();
}

export function Face({ viewer }: { viewer: Pick<Viewer, "name" | "colour"> }): ReactNode {
  return (
    <span className={styles.face} data-colour={viewer.colour} title={visible(viewer.name)} aria-hidden="true">
      {initials(viewer.name)}
    </span>
  );
}

const MOST_FACES = 5;

/** Who has the page open, as a button that shows the list. Nothing while one is alone. */
export function Faces({ viewers, onShow }: { viewers: readonly Viewer[]; onShow: () => void }): ReactNode {
  const t = useTranslate();
  if (viewers.length < 2) return null;
  const more = viewers.length - MOST_FACES;
  return (
    <button type="button" className={styles.faces} onClick={onShow}>
      <span className={controls.hidden}>{t("{viewers} people are here. Show them", { viewers: viewers.length })}</span>
      {viewers.slice(0, MOST_FACES).map((one) => (
        <Face key={one.id} viewer={one} />
      ))}
      {more > 0 && (
        <span className={styles.face} aria-hidden="true">
          +{more}
        </span>
      )}
    </button>
  );
}
