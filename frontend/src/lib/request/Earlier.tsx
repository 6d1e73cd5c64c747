import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { listRecords, readRecord, type RecordedRequest } from "../api/records";
import { useTranslate } from "../texts/translate";
import { draftOfRecord } from "../traffic/sendable";
import { clockOf, milliseconds } from "../ui/format";
import { News } from "../ui/News";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import { type Draft, PATH_FIELD } from "./draft";
import answerStyles from "./answer.module.css";
import editorStyles from "./editor.module.css";
import endpointStyles from "./endpoints.module.css";
import styles from "./request.module.css";
import { SavedList } from "./SavedList";
import type { Variables } from "../variables/useVariables";
import { VariableTable } from "../variables/VariableTable";

const MOST = 8;

interface EarlierProps {
  client: PreviewClient;
  generationId: string;
  draft: Draft;
  /** Address of the preview; null while it does not run. */
  baseUrl: string | null;
  /** Whether it was ever launched; without a preview nothing is recorded. */
  isLaunched: boolean;
  /** Changes when there is another request to list. */
  revision: number;
  onDraft: (draft: Draft) => void;
  variables: Variables;
}

/** Requests to fill in again: those with a name, and the last recorded ones of this endpoint. Read when opened. */
export function Earlier(props: EarlierProps): ReactNode {
  const t = useTranslate();
  const [isOpen, setOpen] = useState(false);
  return (
    <details className={editorStyles.earlier} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{t("Saved and earlier requests, variables")}</summary>
      {isOpen && (
        <>
          <SavedList {...props} />
          <div className={editorStyles.earlierPart}>
            <VariableTable variables={props.variables} />
          </div>
          <Recorded {...props} />
        </>
      )}
    </details>
  );
}

function Recorded({ client, generationId, draft, isLaunched, revision, onDraft }: EarlierProps): ReactNode {
  const t = useTranslate();
  const filter = earlierFilter(draft);
  const action = useAction();
  const { value, problem } = useLoad(isLaunched ? `${generationId} ${filter} ${revision}` : null, (signal) =>
    listRecords(client, generationId, { filter }, signal),
  );
  const fill = (record: RecordedRequest): void =>
    void action.run(t("Reading the request…"), async () => {
      onDraft(draftOfRecord(await readRecord(client, generationId, record.number)));
      return undefined;
    });
  const items = value?.items.slice(0, MOST) ?? [];
  return (
    <section aria-label={t("Earlier requests")} className={editorStyles.earlierPart}>
      <News action={action} />
      {problem && <p className={styles.hint}>{problem.message}</p>}
      {(value ?? !isLaunched) && items.length === 0 && (
        <p className={styles.hint}>{t("No requests to this endpoint have been recorded yet.")}</p>
      )}
      <ul className={endpointStyles.endpoints}>
        {items.map((one) => (
          <li key={one.number}>
            <button type="button" className={endpointStyles.endpoint} onClick={() => fill(one)}>
              <b className={answerStyles.status} data-class={Math.floor((one.status ?? 0) / 100)}>
                {one.status ?? "–"}
              </b>
              <span className={endpointStyles.path}>{visible(one.target)}</span>
              <span className={endpointStyles.summary}>
                {clockOf(Date.parse(one.started_at))} · {milliseconds(one.timing.ended_ms)}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

/** The filter for recorded requests to the endpoint of this draft. */
export function earlierFilter({ method, path }: Pick<Draft, "method" | "path">): string {
  const pattern = (path.split("?")[0] ?? "/")
    .replace(/\{\{[^{}]+\}\}/g, "*")
    .replace(PATH_FIELD, "*")
    .replaceAll('"', "");
  return `method:${method} path:${/[\s()]/.test(pattern) ? `"${pattern}"` : pattern}`;
}
