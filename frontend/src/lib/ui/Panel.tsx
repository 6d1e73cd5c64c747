import type { CSSProperties, ReactNode } from "react";

import type { Texts } from "../texts/translate";
import { classes } from "./controls";
import styles from "./panel.module.css";
import { colorScheme, type ThemeChoice } from "./theme";
import tokens from "./tokens.module.css";

/** What all panels of a generation have. */
export interface PanelProps {
  generationId: string;
  theme?: ThemeChoice;
  /** Replaces words shown, by their English text, such as `{ Save: "Enregistrer" }`. */
  texts?: Texts;
  className?: string;
  style?: CSSProperties;
}

/** A panel that fills its parent and scrolls inside. */
export function Panel(
  props: Omit<PanelProps, "generationId" | "texts"> & { label: string; children: ReactNode },
): ReactNode {
  return (
    <section
      className={classes(tokens.root, styles.panel, props.className)}
      style={{ colorScheme: colorScheme(props.theme ?? "system"), ...props.style }}
      aria-label={props.label}
    >
      {props.children}
    </section>
  );
}
