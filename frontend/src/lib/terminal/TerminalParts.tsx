import type { ReactNode } from "react";

import { useTranslate, type Translate } from "../texts/translate";
import { Button } from "../ui/controls";
import { count } from "../ui/format";
import { ConnectionNotice } from "./ConnectionLine";
import rowStyles from "./rows.module.css";
import styles from "./terminal.module.css";
import { useTexts } from "./texts";
import type { Export } from "./useExport";
import type { LineCounts } from "./useScreen";

export function ChosenLine(props: { line: number; onShow: (line: number) => void; onClear: () => void }): ReactNode {
  const t = useTranslate();
  return (
    <div className={rowStyles.row} role="note">
      <span className={styles.chosen}>
        {t("Line {line} is selected: the page’s URL links to it.", { line: props.line.toLocaleString("en") })}
      </span>
      <Button small kind="quiet" onClick={() => props.onShow(props.line)}>
        {t("Show it")}
      </Button>
      <Button small kind="quiet" onClick={props.onClear}>
        {t("Clear")}
      </Button>
    </div>
  );
}

export function countWords(t: Translate, { all, shown, isMore }: LineCounts): string {
  if (shown !== null)
    return t("{shown}{more} of {all}", {
      shown: shown.toLocaleString("en"),
      more: isMore ? "+" : "",
      all: count(t, all, "{count} line", "{count} lines"),
    });
  return all > 0 ? count(t, all, "{count} line", "{count} lines") : "";
}

export function ExportRow({ file }: { file: Export }): ReactNode {
  const t = useTranslate();
  if (!file.isOn && file.error === null) return null;
  return (
    <div className={rowStyles.row} role={file.error === null ? "status" : "alert"}>
      <span>
        {file.error === null
          ? t("Fetching the log as a file…")
          : t("The log was not exported. {error}", { error: file.error })}
      </span>
      <Button small kind="quiet" onClick={file.dismiss}>
        {file.error === null ? t("Cancel") : t("Close")}
      </Button>
    </div>
  );
}

export function Foot(props: Parameters<typeof ConnectionNotice>[0]): ReactNode {
  const notice = ConnectionNotice(props);
  return notice && <div className={styles.foot}>{notice}</div>;
}

export function Empty({ isNothing, phase }: { isNothing: boolean; phase: string }): ReactNode {
  const texts = useTexts();
  if (isNothing || phase === "idle") {
    return (
      <div className={styles.empty}>
        <strong>{texts.nothingYet}</strong>
        <span>{texts.launchHint}</span>
      </div>
    );
  }
  if (phase === "live") return <div className={styles.empty}>{texts.waiting}</div>;
  if (phase === "connecting")
    return (
      <div className={styles.empty} role="status">
        {texts.loading}
      </div>
    );
  return null;
}
