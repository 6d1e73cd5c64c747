import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { listRecords, readRecord, type RecordedRequest } from "../api/records";
import { draftOfRecord } from "../traffic/sendable";
import { Button, classes, IconButton } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { clockOf, milliseconds } from "../ui/format";
import { News } from "../ui/News";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import type { Draft } from "./draft";
import { Method } from "./EndpointList";
import answerStyles from "./answer.module.css";
import editorStyles from "./editor.module.css";
import endpointStyles from "./endpoints.module.css";
import styles from "./request.module.css";
import { loadSaved, type SavedRequest, storeSaved, withSaved } from "./saved";

const MOST = 8;

interface EarlierProps {
  client: PreviewClient;
  generationId: string;
  draft: Draft;
  /** Changes when there is another request to list. */
  revision: number;
  onDraft: (draft: Draft) => void;
}

/** Requests to fill in again: those with a name, and the last recorded ones of this endpoint. Read when opened. */
export function Earlier(props: EarlierProps): ReactNode {
  const [isOpen, setOpen] = useState(false);
  return (
    <details className={editorStyles.earlier} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Saved and earlier requests</summary>
      {isOpen && (
        <>
          <Saved {...props} />
          <Recorded {...props} />
        </>
      )}
    </details>
  );
}

function Saved({ generationId, draft, onDraft }: EarlierProps): ReactNode {
  const [saved, setSaved] = useState(() => loadSaved(generationId));
  const [name, setName] = useState("");
  const action = useAction();
  const store = (make: () => SavedRequest[], said: string): void =>
    void action.run("Saving…", () => {
      const next = make();
      storeSaved(generationId, next);
      setSaved(next);
      setName("");
      return Promise.resolve(said);
    });
  const save = (): void => store(() => withSaved(saved, name, draft), "Saved.");
  return (
    <section aria-label="Saved requests" className={editorStyles.earlierPart}>
      <div className={editorStyles.line}>
        <input
          className={classes(controls.field, editorStyles.grow)}
          aria-label="Name of the saved request"
          placeholder="Save this request as…"
          maxLength={80}
          value={name}
          onChange={(event) => setName(event.target.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter") return;
            event.preventDefault();
            save();
          }}
        />
        <Button small disabled={!name.trim()} onClick={save}>
          Save
        </Button>
      </div>
      <p className={styles.hint}>Saved requests stay in this browser, without secrets and files.</p>
      <News action={action} />
      <ul className={endpointStyles.endpoints}>
        {saved.map((one) => (
          <li key={one.name} className={styles.sent}>
            <button type="button" className={endpointStyles.endpoint} onClick={() => onDraft(one.draft)}>
              <Method method={one.draft.method} />
              <span className={endpointStyles.path}>{visible(one.name)}</span>
              <span className={endpointStyles.summary}>{visible(one.draft.path)}</span>
            </button>
            <Button
              small
              kind="quiet"
              disabled={!name.trim()}
              title="Rename it to the name above"
              onClick={() =>
                store(
                  () =>
                    withSaved(
                      saved.filter((other) => other.name !== one.name),
                      name,
                      one.draft,
                    ),
                  "Renamed.",
                )
              }
            >
              Rename
            </Button>
            <IconButton
              icon="close"
              label={`Delete ${one.name}`}
              onClick={() => store(() => saved.filter((other) => other.name !== one.name), "Deleted.")}
            />
          </li>
        ))}
      </ul>
    </section>
  );
}

function Recorded({ client, generationId, draft, revision, onDraft }: EarlierProps): ReactNode {
  const filter = earlierFilter(draft);
  const action = useAction();
  const { value, problem } = useLoad(`${generationId} ${filter} ${revision}`, (signal) =>
    listRecords(client, generationId, { filter }, signal),
  );
  const fill = (record: RecordedRequest): void =>
    void action.run("Reading the request…", async () => {
      onDraft(draftOfRecord(await readRecord(client, generationId, record.number)));
      return undefined;
    });
  const items = value?.items.slice(0, MOST) ?? [];
  return (
    <section aria-label="Earlier requests" className={editorStyles.earlierPart}>
      <News action={action} />
      {problem && <p className={styles.hint}>{problem.message}</p>}
      {value && items.length === 0 && <p className={styles.hint}>No request to this endpoint is recorded yet.</p>}
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
  const pattern = (path.split("?")[0] ?? "/").replace(/\{[^{}/]+\}/g, "*").replaceAll('"', "");
  return `method:${method} path:${/[\s()]/.test(pattern) ? `"${pattern}"` : pattern}`;
}
