import type { ReactNode } from "react";

import { MOST_REPLAYED, type ReplayOn } from "../api/replay";
import { useTranslate } from "../texts/translate";
import { Button } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { count } from "../ui/format";
import { News } from "../ui/News";
import panel from "../ui/panel.module.css";
import styles from "./traffic.module.css";
import type { ReplaySelected } from "./useReplaySelected";

/** What can be done with the selected requests; nothing while none is selected. */
export function ReplayBar({ selection, isRunning }: { selection: ReplaySelected; isRunning: boolean }): ReactNode {
  const t = useTranslate();
  const { chosen, action } = selection;
  const isTooMany = chosen.length > MOST_REPLAYED;
  return (
    <>
      {chosen.length > 0 && (
        <div className={styles.toolRow} role="group" aria-label={t("Selected requests")}>
          <span className={panel.fact} role="status">
            {t("{chosen} selected", { chosen: chosen.length.toLocaleString("en") })}
          </span>
          <label>
            {t("on")}
            <select
              className={controls.field}
              aria-label={t("Replay on")}
              value={isRunning ? selection.on : "trial"}
              disabled={!isRunning}
              onChange={(event) => selection.setOn(event.target.value as ReplayOn)}
            >
              <option value="auto">{t("a copy if a request may change data, else the preview")}</option>
              <option value="trial">{t("a copy of the preview")}</option>
              <option value="preview">{t("the preview, even if a request may change data")}</option>
            </select>
          </label>
          <Button
            small
            kind="primary"
            icon="restart"
            disabled={isTooMany || action.busy !== null}
            onClick={() => selection.replay(isRunning ? selection.on : "trial")}
          >
            {t("Replay selected")}
          </Button>
          <Button small kind="quiet" onClick={selection.clear}>
            {t("Clear")}
          </Button>
          {isTooMany && (
            <span className={panel.fact}>
              {t("At most {MOST_REPLAYED} at a time.", {
                MOST_REPLAYED: count(t, MOST_REPLAYED, "{count} request", "{count} requests"),
              })}
            </span>
          )}
        </div>
      )}
      <News action={action} />
    </>
  );
}
