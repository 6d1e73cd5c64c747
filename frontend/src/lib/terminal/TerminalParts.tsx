import type { ReactNode } from "react";

import { Button } from "../ui/controls";
import { count } from "../ui/format";
import { ConnectionNotice } from "./ConnectionLine";
import rowStyles from "./rows.module.css";
import styles from "./terminal.module.css";
import { useTexts } from "./texts";
import type { Export } from "./useExport";
import type { LineCounts } from "./useScreen";

export function ChosenLine(props: { line: number; onShow: (line: number) => void; onClear: () => void }): ReactNode {
  return (
    <div className={rowStyles.row} role="note">
      <span className={styles.chosen}>
        Line {props.line.toLocaleString("en")} is selected: the page’s URL links to it.
      </span>
      <Button small kind="quiet" onClick={() => props.onShow(props.line)}>
        Show it
      </Button>
      <Button small kind="quiet" onClick={props.onClear}>
        Clear
      </Button>
    </div>
  );
}

export function countWords({ all, shown, isMore }: LineCounts): string {
  if (shown !== null) return `${shown.toLocaleString("en")}${isMore ? "+" : ""} of ${count(all, "line")}`;
  return all > 0 ? count(all, "line") : "";
}

export function ExportRow({ file }: { file: Export }): ReactNode {
  if (!file.isOn && file.error === null) return null;
  return (
    <div className={rowStyles.row} role={file.error === null ? "status" : "alert"}>
      <span>{file.error === null ? "Fetching the log as a file…" : `The log was not exported. ${file.error}`}</span>
      <Button small kind="quiet" onClick={file.dismiss}>
        {file.error === null ? "Cancel" : "Close"}
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
