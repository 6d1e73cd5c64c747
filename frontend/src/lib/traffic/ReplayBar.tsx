import type { ReactNode } from "react";

import { MOST_REPLAYED, type ReplayOn } from "../api/replay";
import { Button } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { count } from "../ui/format";
import { News } from "../ui/News";
import panel from "../ui/panel.module.css";
import styles from "./traffic.module.css";
import type { ReplaySelected } from "./useReplaySelected";

/** What can be done with the selected requests; nothing while none is selected. */
export function ReplayBar({ selection, isRunning }: { selection: ReplaySelected; isRunning: boolean }): ReactNode {
  const { chosen, action } = selection;
  const isTooMany = chosen.length > MOST_REPLAYED;
  return (
    <>
      {chosen.length > 0 && (
        <div className={styles.toolRow} role="group" aria-label="Selected requests">
          <span className={panel.fact} role="status">
            {chosen.length.toLocaleString("en")} selected
          </span>
          <label>
            on
            <select
              className={controls.field}
              aria-label="Replay on"
              value={isRunning ? selection.on : "trial"}
              disabled={!isRunning}
              onChange={(event) => selection.setOn(event.target.value as ReplayOn)}
            >
              <option value="auto">a copy, if a request may change data</option>
              <option value="trial">a copy of the preview</option>
              <option value="preview">the preview, including changes</option>
            </select>
          </label>
          <Button
            small
            kind="primary"
            icon="restart"
            disabled={isTooMany || action.busy !== null}
            onClick={() => selection.replay(isRunning ? selection.on : "trial")}
          >
            Replay selected
          </Button>
          <Button small kind="quiet" onClick={selection.clear}>
            Clear
          </Button>
          {isTooMany && <span className={panel.fact}>At most {count(MOST_REPLAYED, "request")} at a time.</span>}
        </div>
      )}
      <News action={action} />
    </>
  );
}
