import { type ReactNode, useLayoutEffect, useRef } from "react";

import type { GrowingAnswer } from "../api/calls";
import { useTranslate } from "../texts/translate";
import { bytes } from "../ui/format";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import { REASONS } from "./Answer";
import styles from "./answer.module.css";

/** Further from the end than this, a person reads and is not moved; in pixels. */
const NEAR_PX = 40;

/** A response while it comes: its status, and the end of what has come. */
export function Growing({ name, answer }: { name: string; answer: GrowingAnswer }): ReactNode {
  const t = useTranslate();
  const text = useRef<HTMLPreElement>(null);
  const isFollowing = useRef(true);
  useLayoutEffect(() => {
    const pre = text.current;
    if (pre && isFollowing.current) pre.scrollTop = pre.scrollHeight;
  }, [answer.tail]);
  const status = answer.status_code;
  return (
    <section className={styles.answer} aria-label={t("Response")}>
      <div className={styles.answerHead}>
        <span className={styles.status} data-class={Math.floor(status / 100)}>
          {status} {REASONS[status] ?? ""}
        </span>
        <span className={panel.fact}>{t("{sizeBytes} so far", { sizeBytes: bytes(answer.sizeBytes) })}</span>
        <code className={styles.answerTo} title={name}>
          {name}
        </code>
        <span className={panel.fact} role="status">
          {t("Receiving…")}
        </span>
      </div>
      <pre
        ref={text}
        className={styles.raw}
        tabIndex={0}
        aria-label={t("The response so far")}
        onScroll={({ currentTarget: pre }) => {
          isFollowing.current = pre.scrollHeight - pre.scrollTop - pre.clientHeight < NEAR_PX;
        }}
      >
        {visible(answer.tail)}
      </pre>
    </section>
  );
}
