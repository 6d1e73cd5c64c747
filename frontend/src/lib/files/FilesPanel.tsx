import { type ReactNode, useEffect, useRef, useState, useSyncExternalStore } from "react";

import type { PreviewClient } from "../api/client";
import { type NewContent, readArchive } from "../api/files";
import { usePreviewClient } from "../context";
import { useTranslate } from "../texts/translate";
import { Button, classes, IconButton, Notice, saveFile } from "../ui/controls";
import { Ask } from "../ui/Dialog";
import { count } from "../ui/format";
import { News } from "../ui/News";
import { Panel, type PanelProps } from "../ui/Panel";
import panel from "../ui/panel.module.css";
import { useAction } from "../ui/useAction";
import { visible } from "../ui/visible";
import { fileDeskOf } from "./desk";
import styles from "./files.module.css";
import { FileTree } from "./FileTree";
import { FileView } from "./FileView";
import { PathDialog } from "./PathDialog";
import { Readme, readmeOf } from "./Readme";
import { contentOf } from "./text";
import { savedWords } from "./words";

/** A file, and a line of it to go to. A new object goes there again. */
export interface FilePlace {
  path: string;
  line?: number | null;
}

export interface FilesPanelProps extends PanelProps {
  client?: PreviewClient | undefined;
  /** The file that is open; null for none. Without it, the panel knows itself. */
  shown?: FilePlace | null;
  onShown?: (place: FilePlace | null) => void;
}

type Asking = "create" | "rename" | "delete" | null;

/** The files of a generation: a tree, and an editor. It fills its parent. */
export function FilesPanel(props: FilesPanelProps): ReactNode {
  const t = useTranslate();
  const { generationId, onShown } = props;
  const client = usePreviewClient(props.client);
  const desk = fileDeskOf(client, generationId);
  const files = useSyncExternalStore(desk.subscribe, desk.snapshot, desk.snapshot);
  const [own, setOwn] = useState<FilePlace | null>(null);
  const shown = props.shown === undefined ? own : props.shown;
  const [asking, setAsking] = useState<Asking>(null);
  const [removed, setRemoved] = useState<{ path: string; content: NewContent } | null>(null);
  const action = useAction();
  const isNarrowBack = useRef(false);
  useFresh(client, generationId, () => void desk.refresh());
  useUnsavedGuard(files.unsaved.size > 0);
  const show = (place: FilePlace | null): void => {
    setOwn(place);
    onShown?.(place);
    action.dismiss();
  };
  const path = shown?.path ?? null;
  const paths = files.listing?.files.map((one) => one.path) ?? [];
  const readme = readmeOf(paths);
  const create = (to: string): void =>
    void action.run(t("Creating…"), async () => {
      await desk.create(to, "");
      setOwn({ path: to });
      onShown?.({ path: to });
      return t("Created {to}.", { to: visible(to) });
    });
  const rename = (from: string, to: string): void =>
    void action.run(t("Renaming…"), async () => {
      const saved = await desk.rename(from, to, contentOf(await desk.content(from)));
      setOwn({ path: to });
      onShown?.({ path: to });
      return t("Renamed. {words}", { words: savedWords(t, saved).words });
    });
  const remove = (gone: string): void =>
    void action.run(t("Deleting…"), async () => {
      const content = contentOf(await desk.content(gone));
      const saved = await desk.remove(gone);
      setRemoved({ path: gone, content });
      setOwn(null);
      onShown?.(null);
      return t("Deleted {gone}. {words}", { gone: visible(gone), words: savedWords(t, saved).words });
    });
  const undo = (): void => {
    if (!removed) return;
    void action.run(t("Restoring…"), async () => {
      const saved = await desk.create(removed.path, removed.content);
      setRemoved(null);
      return t("Restored {path}. {words}", { path: visible(removed.path), words: savedWords(t, saved).words });
    });
  };
  const download = (): void =>
    void action.run(t("Packing the project…"), async () => {
      const { name, content } = await readArchive(client, generationId, "zip");
      saveFile(name, [content], "application/zip");
      return undefined;
    });
  const line = shown?.line ?? null;
  const [place, setPlace] = useState<{ of: FilePlace | null; at: { line: number } | null }>({ of: null, at: null });
  if (place.of !== shown) setPlace({ of: shown, at: line === null ? null : { line } });
  return (
    <Panel {...props} label={t("Files")}>
      <div className={styles.files} data-open={path !== null} data-readme={readme !== null}>
        <div className={styles.list}>
          <div className={panel.bar}>
            <h3>
              {files.listing ? count(t, files.listing.files.length, "{count} file", "{count} files") : t("Files")}
            </h3>
            <span className={panel.spring} />
            {files.readOnly === null && files.listing && (
              <IconButton icon="plus" label={t("New file")} onClick={() => setAsking("create")} />
            )}
            {files.listing && <IconButton icon="download" label={t("Download the project")} onClick={download} />}
          </div>
          {files.problem && !files.listing && (
            <div className={panel.pad}>
              <Notice
                tone={files.problem.status === 404 ? "info" : "bad"}
                role="alert"
                actions={
                  <Button small onClick={() => void desk.refresh()}>
                    {t("Try again")}
                  </Button>
                }
              >
                {files.problem.status === 404
                  ? t("The files of this generation are kept by another application; they cannot be shown here.")
                  : files.problem.message}
              </Notice>
            </div>
          )}
          {!files.listing && !files.problem && <p className={panel.none}>{t("Loading…")}</p>}
          {files.listing && (
            <FileTree
              files={files.listing.files}
              shown={path}
              unsaved={files.unsaved}
              onShow={(one) => show({ path: one })}
            />
          )}
        </div>
        <div className={styles.open}>
          {path === null ? (
            <>
              <News action={action}>
                {removed && (
                  <Button small onClick={undo}>
                    {t("Undo")}
                  </Button>
                )}
              </News>
              <p className={classes(panel.none, styles.choose)}>
                {t("Choose a file to read or change it. Saving reloads the running preview.")}
              </p>
              {readme !== null && <Readme {...{ desk, files }} path={readme} onShow={(one) => show({ path: one })} />}
            </>
          ) : (
            <FileView
              key={path}
              desk={desk}
              files={files}
              path={path}
              place={place.at}
              action={action}
              onBack={() => {
                isNarrowBack.current = true;
                show(null);
              }}
              onRename={() => setAsking("rename")}
              onDelete={() => setAsking("delete")}
              onShow={(one) => show({ path: one })}
            />
          )}
        </div>
      </div>
      {asking === "create" && (
        <PathDialog
          title={t("New file")}
          action={t("Create")}
          path=""
          taken={paths}
          onPath={create}
          onClose={() => setAsking(null)}
        />
      )}
      {asking === "rename" && path !== null && (
        <PathDialog
          title={t("Rename the file")}
          action={t("Rename")}
          path={path}
          taken={paths}
          onPath={(to) => rename(path, to)}
          onClose={() => setAsking(null)}
        />
      )}
      {asking === "delete" && path !== null && (
        <Ask
          title={t("Delete {path}?", { path: visible(path) })}
          action={t("Delete")}
          onYes={() => remove(path)}
          onClose={() => setAsking(null)}
        >
          {t("A running preview is reloaded without it. You can undo this.")}
        </Ask>
      )}
    </Panel>
  );
}

/** Calls at first, when the generation may have changed, and when the person comes back to the page. */
function useFresh(client: PreviewClient, generationId: string, refresh: () => void): void {
  const latest = useRef(refresh);
  useEffect(() => {
    latest.current = refresh;
  });
  useEffect(() => {
    const call = (): void => latest.current();
    call();
    const leave = client.onChange(generationId, call);
    addEventListener("focus", call);
    return () => {
      leave();
      removeEventListener("focus", call);
    };
  }, [client, generationId]);
}

/** The browser asks before the page is left with unsaved text. */
function useUnsavedGuard(isUnsaved: boolean): void {
  useEffect(() => {
    if (!isUnsaved) return;
    const ask = (event: BeforeUnloadEvent): void => event.preventDefault();
    addEventListener("beforeunload", ask);
    return () => removeEventListener("beforeunload", ask);
  }, [isUnsaved]);
}
