import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { type Capture, exportHar, setCapture } from "../api/records";
import { importHar, MOST_REPLAYED } from "../api/replay";
import type { RequestDesk } from "../request/desk";
import { useTranslate } from "../texts/translate";
import { useRole } from "../together/role";
import { Button, saveFile } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { FileButton } from "../ui/FileButton";
import { count } from "../ui/format";
import { News } from "../ui/News";
import panel from "../ui/panel.module.css";
import { useAction } from "../ui/useAction";
import { PasteCurl } from "./PasteCurl";
import styles from "./traffic.module.css";
import type { Records } from "./useRecords";
import type { ReplaySelected } from "./useReplaySelected";

interface RecordToolsProps {
  client: PreviewClient;
  generationId: string;
  desk: RequestDesk;
  records: Records;
  filter: string;
  /** Null where requests cannot be replayed. */
  selection: ReplaySelected | null;
  isRunning: boolean;
}

/** The number of records, how much is recorded, and the ways in and out: HAR files and curl commands. */
export function RecordTools(props: RecordToolsProps): ReactNode {
  const t = useTranslate();
  const { client, generationId, desk, records, filter, selection, isRunning } = props;
  const action = useAction();
  const isOwner = useRole() === "owner";
  const [isPasting, setPasting] = useState(false);
  const { capture } = records;
  const number = records.records?.length ?? 0;
  const change = (next: Capture): void =>
    void action.run(t("Changing what is recorded…"), async () => {
      const now = await setCapture(client, generationId, next);
      records.setCapture(now.capture);
      return undefined;
    });
  const save = (): void =>
    void action.run(t("Fetching the HAR file…"), async () => {
      saveFile(`${generationId}.har`, [await exportHar(client, generationId, filter)], "application/json");
      return undefined;
    });
  const load = (chosen: File): void => {
    void action.run(t("Reading the HAR file…"), async () => {
      const { read, imported, skipped } = await importHar(client, generationId, chosen);
      records.refresh();
      if (imported === 0 && read > 0)
        return t("{read} read, but not imported: recording is off. Switch it on, then import the file again.", {
          read: count(t, read, "{count} request", "{count} requests"),
        });
      return t("{imported} imported{more}.", {
        imported: count(t, imported, "{count} request", "{count} requests"),
        more:
          skipped > 0
            ? t(", {skipped} left out: to other hosts, or with a body that is too large", {
                skipped: skipped.toLocaleString("en"),
              })
            : "",
      });
    });
  };
  return (
    <>
      <div className={styles.toolRow}>
        {selection && number > 0 && <SelectAll selection={selection} number={number} />}
        <span className={panel.fact} role="status">
          {count(t, number, "{count} request", "{count} requests")}
          {records.hasOlder && t(" and older ones")}
          {records.isLive && t(" · live")}
        </span>
        <span className={panel.spring} />
        {capture !== null && isRunning && isOwner && (
          <label>
            {t("Record")}
            <select
              className={controls.field}
              value={capture}
              onChange={(event) => change(event.target.value as Capture)}
            >
              <option value="off">{t("nothing")}</option>
              <option value="meta">{t("metadata")}</option>
              <option value="full">{t("everything")}</option>
            </select>
          </label>
        )}
      </div>
      <div className={styles.toolRow}>
        {isOwner && (
          <Button small icon="plus" onClick={() => setPasting(true)}>
            {t("Paste a curl command")}
          </Button>
        )}
        <Button small icon="download" disabled={number === 0} onClick={save}>
          {t("Export HAR")}
        </Button>
        {isOwner && (
          <FileButton label={t("HAR file")} accept=".har,application/json" onFile={load}>
            {t("Import HAR")}
          </FileButton>
        )}
      </div>
      <News action={action} />
      {isPasting && (
        <PasteCurl client={client} generationId={generationId} onDraft={desk.begin} onClose={() => setPasting(false)} />
      )}
    </>
  );
}

function SelectAll({ selection, number }: { selection: ReplaySelected; number: number }): ReactNode {
  const t = useTranslate();
  const { chosen, toggleAll } = selection;
  const label =
    number > MOST_REPLAYED
      ? t("Select the newest {MOST_REPLAYED} requests", { MOST_REPLAYED })
      : t("Select all requests");
  return (
    <input
      type="checkbox"
      className={styles.pick}
      aria-label={label}
      title={chosen.length > 0 ? t("Select none") : label}
      checked={chosen.length > 0}
      ref={(box) => {
        if (box) box.indeterminate = chosen.length > 0 && chosen.length < Math.min(number, MOST_REPLAYED);
      }}
      onChange={toggleAll}
    />
  );
}
