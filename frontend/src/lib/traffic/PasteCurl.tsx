import { type ReactNode, type SubmitEvent, useState } from "react";

import type { PreviewClient } from "../api/client";
import { asProblem } from "../api/problem";
import { importCurl } from "../api/replay";
import type { Draft } from "../request/draft";
import { useTranslate } from "../texts/translate";
import { Button, Notice } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { Dialog } from "../ui/Dialog";
import panel from "../ui/panel.module.css";
import { draftOfParsed } from "./sendable";

interface PasteCurlProps {
  client: PreviewClient;
  generationId: string;
  onDraft: (draft: Draft) => void;
  onClose: () => void;
}

/** Reads a curl command into a request that can be sent. */
export function PasteCurl({ client, generationId, onDraft, onClose }: PasteCurlProps): ReactNode {
  const t = useTranslate();
  const [text, setText] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const [isOn, setOn] = useState(false);
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    setOn(true);
    setProblem(null);
    try {
      onDraft(draftOfParsed(await importCurl(client, generationId, text)));
      onClose();
    } catch (error) {
      setProblem(asProblem(error).message);
      setOn(false);
    }
  };
  return (
    <Dialog title={t("Paste a curl command")} onClose={onClose}>
      <form onSubmit={(event) => void submit(event)}>
        <div className={panel.form} style={{ padding: "12px 0 0" }}>
          <label>
            {t("The command, as copied from a browser’s developer tools; it is parsed, not run")}
            <textarea
              className={controls.field}
              rows={7}
              data-autofocus
              spellCheck={false}
              value={text}
              onChange={(event) => setText(event.target.value)}
            />
          </label>
          {problem !== null && (
            <Notice tone="bad" role="alert">
              {problem}
            </Notice>
          )}
        </div>
        <div className={controls.dialogButtons}>
          <Button onClick={onClose}>{t("Cancel")}</Button>
          <Button kind="primary" type="submit" disabled={text.trim() === "" || isOn}>
            {t("Import")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
