import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { Problem } from "../api/problem";
import { useTranslate } from "../texts/translate";
import { useRole } from "../together/role";
import { Button, classes, copyText, IconButton } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { FileButton } from "../ui/FileButton";
import { count } from "../ui/format";
import { News } from "../ui/News";
import { useAction } from "../ui/useAction";
import { visible } from "../ui/visible";
import type { Draft } from "./draft";
import { Method } from "./EndpointList";
import editorStyles from "./editor.module.css";
import endpointStyles from "./endpoints.module.css";
import { MAX_COLLECTION_BYTES, readPostman } from "./postman";
import { filledDraft } from "../variables/references";
import type { Variables } from "../variables/useVariables";
import styles from "./request.module.css";
import { snippet } from "./snippets";
import { type Kept, useSaved } from "./useSaved";

interface SavedListProps {
  client: PreviewClient;
  generationId: string;
  draft: Draft;
  /** Address of the preview, for commands to copy; null while it does not run. */
  baseUrl: string | null;
  onDraft: (draft: Draft) => void;
  variables: Variables;
}

/** Requests under a name, which all who may use the preview see. */
export function SavedList({ client, generationId, draft, baseUrl, onDraft, variables }: SavedListProps): ReactNode {
  const t = useTranslate();
  const saved = useSaved(client, generationId);
  const [name, setName] = useState("");
  const action = useAction();
  const canChange = useRole() === "owner";
  const run = (busy: string, act: () => Promise<string>): void =>
    void action.run(busy, async () => {
      const said = await act();
      setName("");
      return said;
    });
  const save = (): void =>
    run(t("Saving…"), async () => {
      await saved.save(name, draft);
      return t("Saved.");
    });
  const rename = (one: Kept): void =>
    run(t("Renaming…"), async () => {
      await saved.save(name, one.draft);
      if (name.trim() !== one.name) await saved.remove(one);
      return t("Renamed.");
    });
  const remove = (one: Kept): void =>
    run(t("Deleting…"), async () => {
      await saved.remove(one);
      return t("Deleted.");
    });
  const move = (): void =>
    run(t("Moving…"), async () =>
      t("{move} moved to the project.", { move: count(t, await saved.move(), "{count} request", "{count} requests") }),
    );
  const copyAll = (): void =>
    run(t("Copying…"), async () => {
      const all = saved.list ?? [];
      const curlOf = (one: Draft): string =>
        snippet("curl", filledDraft(one, variables.known.values), baseUrl ?? "http://localhost");
      const commands = all.map((one) => `# ${one.name}\n${curlOf(one.draft)}`);
      await copyText(`${commands.join("\n\n")}\n`);
      return t("{all} copied as curl commands.", { all: count(t, all.length, "{count} request", "{count} requests") });
    });
  const load = (chosen: File): void =>
    run(t("Reading the collection…"), async () => {
      if (chosen.size > MAX_COLLECTION_BYTES)
        throw new Error(
          t("The file is too large. Export a smaller collection, of at most {megabytes} MB.", {
            megabytes: MAX_COLLECTION_BYTES / 1_000_000,
          }),
        );
      const { requests, left, variables: values } = readPostman(await chosen.text());
      let skipped = left;
      for (const one of requests) {
        try {
          await saved.save(one.name, one.draft);
        } catch (error) {
          if (error instanceof Problem && error.code !== "saved_request_limit_reached") throw error;
          // Such as a body that is too long; if none can be saved, the reason is shown.
          skipped += 1;
          if (skipped === requests.length + left) throw error;
        }
      }
      for (const one of values)
        // A value that was set here is newer than the collection's.
        if (!variables.known.values.has(one.name) && !variables.known.secrets.has(one.name))
          await variables.set(one.name, one.value, one.isSecret);
      return t("{imported} imported{more}.", {
        imported: count(t, requests.length + left - skipped, "{count} request", "{count} requests"),
        more:
          skipped > 0
            ? t(", {skipped} left out: the body is too long, or no more requests can be saved", {
                skipped: skipped.toLocaleString("en"),
              })
            : "",
      });
    });
  const list = saved.list ?? [];
  return (
    <section aria-label={t("Saved requests")} className={editorStyles.earlierPart}>
      {canChange && (
        <div className={editorStyles.line}>
          <input
            className={classes(controls.field, editorStyles.grow)}
            aria-label={t("Name of the saved request")}
            placeholder={t("Save this request as…")}
            maxLength={80}
            value={name}
            onChange={(event) => setName(event.target.value)}
            onKeyDown={(event) => {
              if (event.key !== "Enter" || !name.trim()) return;
              event.preventDefault();
              save();
            }}
          />
          <Button small disabled={!name.trim() || action.busy !== null} onClick={save}>
            {t("Save")}
          </Button>
          {list.length > 0 && (
            <Button small kind="quiet" icon="copy" disabled={action.busy !== null} onClick={copyAll}>
              {t("Copy all as curl")}
            </Button>
          )}
        </div>
      )}
      {canChange && (
        <div className={editorStyles.line}>
          <FileButton
            kind="quiet"
            label={t("Postman collection")}
            accept=".json,application/json"
            disabled={action.busy !== null}
            onFile={load}
          >
            {t("Import a Postman collection")}
          </FileButton>
        </div>
      )}
      <p className={styles.hint}>
        {saved.isShared
          ? t("Kept with the project, without secrets and files; guests who may send requests see them.")
          : t("Kept in this browser, without secrets and files.")}
      </p>
      {canChange && saved.inBrowser.length > 0 && (
        <Button small disabled={action.busy !== null} onClick={move}>
          {t("Move {inBrowser} from this browser to the project", {
            inBrowser: count(t, saved.inBrowser.length, "{count} request", "{count} requests"),
          })}
        </Button>
      )}
      {saved.problem !== null && <p className={styles.hint}>{saved.problem}</p>}
      {saved.list === null && saved.problem === null && <p className={styles.hint}>{t("Loading…")}</p>}
      <News action={action} />
      <ul className={endpointStyles.endpoints}>
        {list.map((one) => (
          <li key={one.name} className={styles.sent}>
            <button type="button" className={endpointStyles.endpoint} onClick={() => onDraft(one.draft)}>
              <Method method={one.draft.method} />
              <span className={endpointStyles.path}>{visible(one.name)}</span>
              <span className={endpointStyles.summary}>{visible(one.draft.path)}</span>
            </button>
            {canChange && (
              <>
                <Button
                  small
                  kind="quiet"
                  disabled={!name.trim() || action.busy !== null}
                  title={t("Rename it to the name above")}
                  onClick={() => rename(one)}
                >
                  {t("Rename")}
                </Button>
                <IconButton
                  icon="close"
                  label={t("Delete {name}", { name: visible(one.name) })}
                  disabled={action.busy !== null}
                  onClick={() => remove(one)}
                />
              </>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}
