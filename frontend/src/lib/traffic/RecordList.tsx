import type { ReactNode } from "react";

import type { PreviewClient } from "../api/client";
import { FilterField } from "../filter/FilterField";
import type { Terms } from "../filter/useTerms";
import type { RequestDesk } from "../request/desk";
import { useTranslate } from "../texts/translate";
import { useRole } from "../together/role";
import { Button, Notice } from "../ui/controls";
import { count } from "../ui/format";
import panel from "../ui/panel.module.css";
import { RecordRows } from "./RecordRows";
import { RecordTools } from "./RecordTools";
import { ReplayBar } from "./ReplayBar";
import { ReplayResult } from "./ReplayResult";
import styles from "./traffic.module.css";
import type { Records } from "./useRecords";
import type { ReplaySelected } from "./useReplaySelected";

interface RecordListProps {
  client: PreviewClient;
  generationId: string;
  desk: RequestDesk;
  records: Records;
  terms: Terms;
  selection: ReplaySelected;
  /** The record that was open last: it has the focus. */
  last: number | null;
  isRunning: boolean;
}

/** Recorded requests, the newest first; only those in sight are in the page. */
export function RecordList(props: RecordListProps): ReactNode {
  const t = useTranslate();
  const { records, terms, desk, selection } = props;
  const list = records.records;
  const isOwner = useRole() === "owner";
  if (selection.result !== null)
    return (
      <div className={panel.scroll}>
        <ReplayResult
          result={selection.result}
          closeLabel={t("Back to the list")}
          onClose={selection.close}
          onShow={desk.showRecord}
        />
      </div>
    );
  return (
    <div className={panel.view}>
      <div className={styles.tools}>
        <FilterField terms={terms} label={t("Filter the requests")} example="status:>=500 ms:>100" />
        <RecordTools {...props} filter={terms.filter} selection={isOwner ? selection : null} />
        {isOwner && <ReplayBar selection={selection} isRunning={props.isRunning} />}
      </div>
      {records.problem && (
        <div className={panel.pad}>
          <Notice
            tone="bad"
            role="alert"
            actions={
              <Button small onClick={records.refresh}>
                {t("Refresh")}
              </Button>
            }
          >
            {records.problem.message}
          </Notice>
        </div>
      )}
      {records.lost > 0 && (
        <p className={panel.hint}>
          {t("{lost} {more} not recorded: there were too many at once.", {
            lost: count(t, records.lost, "{count} request", "{count} requests"),
            more: records.lost === 1 ? "was" : "were",
          })}
        </p>
      )}
      {list === null && !records.problem && <p className={panel.none}>{t("Loading…")}</p>}
      {list?.length === 0 && (
        <p className={panel.none}>
          {terms.filter === ""
            ? t("No request has been recorded yet. Send one, or open the preview in the browser.")
            : t("No recorded request matches the filter.")}
        </p>
      )}
      {list !== null && list.length > 0 && (
        <RecordRows
          list={list}
          selection={isOwner ? selection : null}
          last={props.last}
          hasOlder={records.hasOlder}
          onOlder={records.loadOlder}
          onShow={desk.showRecord}
        />
      )}
    </div>
  );
}
