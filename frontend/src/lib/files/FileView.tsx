import { type ReactNode, useCallback, useEffect, useState } from "react";

import { asProblem, type Problem } from "../api/problem";
import { useTranslate } from "../texts/translate";
import { Button, IconButton, Notice, saveFile } from "../ui/controls";
import { bytes } from "../ui/format";
import { News } from "../ui/News";
import panel from "../ui/panel.module.css";
import type { Action } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import { CodeEditor } from "./CodeEditor";
import type { FileDesk, FilesSnapshot } from "./desk";
import styles from "./files.module.css";
import { languageOf } from "./languages";
import { isMarkdown, Readme } from "./Readme";
import { savedWords } from "./words";

interface FileViewProps {
  desk: FileDesk;
  files: FilesSnapshot;
  path: string;
  place: { line: number } | null;
  action: Action;
  onBack: () => void;
  onRename: () => void;
  onDelete: () => void;
  /** Show another file. */
  onShow: (path: string) => void;
}

/** For so long, what became of a change stands where the keys are. */
const SAID_MS = 6000;

/** One file: its text to be changed, and what became of the last change. */
export function FileView(props: FileViewProps): ReactNode {
  const t = useTranslate();
  const { desk, files, path, action } = props;
  const file = files.open.get(path);
  const { problem } = useLoad(file ? null : path, (signal) => desk.read(path, signal));
  const [outcome, setOutcome] = useState<{ tone: "info" | "bad"; words: string } | null>(null);
  const [isReading, setReading] = useState(false);
  const isConflict = files.conflicts.has(path);
  const isUnsaved = files.unsaved.has(path);
  const [problemOfSave, setProblemOfSave] = useState<Problem | null>(null);
  const save = useCallback(
    (overwrite = false): void => {
      if (!desk.snapshot().unsaved.has(path) && !overwrite) return;
      void action.run(t("Saving…"), async () => {
        setOutcome(null);
        setProblemOfSave(null);
        try {
          setOutcome(savedWords(t, await desk.save(path, overwrite)));
        } catch (error) {
          const why = asProblem(error);
          // The notice about the conflict says what to do.
          if (why.status !== 412) setProblemOfSave(why);
        }
        return undefined;
      });
    },
    [action, desk, path, t],
  );
  useEffect(() => {
    if (outcome?.tone !== "info") return;
    const timer = setTimeout(() => setOutcome(null), SAID_MS);
    return () => clearTimeout(timer);
  }, [outcome]);
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "s" && !event.defaultPrevented) {
        event.preventDefault();
        save();
      }
    };
    addEventListener("keydown", onKeyDown);
    return () => removeEventListener("keydown", onKeyDown);
  }, [save]);
  const stored = desk.find(path);
  const download = (): void =>
    void action.run(t("Loading…"), async () => {
      saveFile(path.slice(path.lastIndexOf("/") + 1), [await desk.content(path)], "application/octet-stream");
      return undefined;
    });
  const canEdit = files.readOnly === null;
  // In the place of the keys, which has its height anyway: nothing covers the changed line.
  const saying = action.busy ?? (outcome?.tone === "info" && !isUnsaved ? outcome.words : "");
  // Below the text: what is being read or written does not move.
  const notices = (
    <div className={styles.notices}>
      {action.busy === null && outcome?.tone === "bad" && (
        <Told tone="bad" words={outcome.words} onClose={() => setOutcome(null)} />
      )}
      {problemOfSave && (
        <Told
          tone="bad"
          words={t("Not saved. {message}", { message: problemOfSave.message })}
          onClose={() => setProblemOfSave(null)}
        />
      )}
      {(!file || action.busy === null) && <News action={action} />}
      {isConflict && <Conflict {...props} isGone={!stored} onOverwrite={() => save(true)} />}
    </div>
  );
  return (
    <div className={styles.file}>
      <div className={panel.bar}>
        <span className={styles.back}>
          <IconButton icon="left" label={t("All files")} onClick={props.onBack} />
        </span>
        <h3 className={styles.path}>
          {visible(path)}
          {isUnsaved && <span className={panel.badge}>{t("not saved")}</span>}
        </h3>
        <span className={panel.spring} />
        {file && isMarkdown(path) && (
          <Button small kind="quiet" aria-pressed={isReading} onClick={() => setReading(!isReading)}>
            {t("Formatted")}
          </Button>
        )}
        {file && canEdit && (
          <Button small kind="primary" disabled={!isUnsaved || action.busy !== null} onClick={() => save()}>
            {t("Save")}
          </Button>
        )}
        {stored && (
          <IconButton icon="download" label={t("Download {path}", { path: visible(path) })} onClick={download} />
        )}
        {stored && canEdit && (
          <>
            <Button small kind="quiet" disabled={action.busy !== null || isUnsaved} onClick={props.onRename}>
              {t("Rename")}
            </Button>
            <IconButton
              icon="clear"
              label={t("Delete {path}", { path: visible(path) })}
              disabled={action.busy !== null}
              onClick={props.onDelete}
            />
          </>
        )}
      </div>
      {!canEdit && <Told tone="info" words={files.readOnly ?? ""} />}
      {problem && !file && <Unreadable problem={problem} size={stored?.size_bytes} onDownload={download} />}
      {!file && notices}
      {file && (
        <>
          {isReading ? (
            <Readme {...{ desk, files, path }} onShow={props.onShow} />
          ) : (
            <CodeEditor desk={desk} file={file} isReadOnly={!canEdit} place={props.place} onSave={() => save()} />
          )}
          {notices}
          <div className={styles.foot}>
            <p className={styles.keys} data-covered={saying !== ""}>
              <span>{languageOf(path)?.[0] ?? t("Plain text")}</span>
              {canEdit && <span>{t("Ctrl+S saves")}</span>}
              <span>{t("Ctrl+F searches")}</span>
              <span>{t("Esc, then Tab leaves the editor")}</span>
            </p>
            <p className={styles.saying} role="status">
              {saying}
            </p>
          </div>
        </>
      )}
    </div>
  );
}

function Told({ tone, words, onClose }: { tone: "info" | "bad"; words: string; onClose?: () => void }): ReactNode {
  const t = useTranslate();
  return (
    <div className={panel.pad}>
      <Notice
        tone={tone}
        role={tone === "bad" ? "alert" : "status"}
        actions={
          onClose && (
            <Button small kind="quiet" onClick={onClose}>
              {t("Dismiss")}
            </Button>
          )
        }
      >
        {words}
      </Notice>
    </div>
  );
}

/** The stored file has changed since this text was read. */
function Conflict(props: FileViewProps & { isGone: boolean; onOverwrite: () => void }): ReactNode {
  const t = useTranslate();
  const { desk, path, action, isGone } = props;
  const take = (): void =>
    void action.run(t("Loading…"), async () => {
      await desk.revert(path);
      if (isGone) props.onBack();
      return undefined;
    });
  return (
    <div className={panel.pad}>
      <Notice
        tone="warn"
        role="alert"
        actions={
          <>
            <Button small disabled={action.busy !== null} onClick={take}>
              {isGone ? t("Discard my text") : t("Reload theirs")}
            </Button>
            <Button small kind="danger" disabled={action.busy !== null} onClick={props.onOverwrite}>
              {isGone ? t("Save mine") : t("Overwrite")}
            </Button>
          </>
        }
      >
        {isGone
          ? t("This file was deleted elsewhere. Your text is still here.")
          : t("This file was changed elsewhere since you opened it. Your text is still here.")}
      </Notice>
    </div>
  );
}

function Unreadable(props: { problem: Problem; size: number | undefined; onDownload: () => void }): ReactNode {
  const t = useTranslate();
  const { problem, size } = props;
  return (
    <div className={panel.none}>
      <p>
        {problem.message}
        {size !== undefined && t(" Its size is {size}.", { size: bytes(size) })}
      </p>
      {size !== undefined && (
        <Button icon="download" onClick={props.onDownload}>
          {t("Download")}
        </Button>
      )}
    </div>
  );
}
