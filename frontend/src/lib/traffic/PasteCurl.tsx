import { type ReactNode, type SubmitEvent, useState } from "react";

import type { PreviewClient } from "../api/client";
import { asProblem } from "../api/problem";
import type { ParsedRequest } from "../api/records";
import { importCurl } from "../api/replay";
import type { Draft } from "../request/draft";
import { Button, Notice } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { Dialog } from "../ui/Dialog";
import panel from "../ui/panel.module.css";

interface PasteCurlProps {
  client: PreviewClient;
  generationId: string;
  onDraft: (draft: Draft) => void;
  onClose: () => void;
}

/** Reads a curl command into a request that can be sent. */
export function PasteCurl({ client, generationId, onDraft, onClose }: PasteCurlProps): ReactNode {
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
    <Dialog title="Paste a curl command" onClose={onClose}>
      <form onSubmit={(event) => void submit(event)}>
        <div className={panel.form} style={{ padding: "12px 0 0" }}>
          <label>
            The command, as a browser’s developer tools copy it; it is read and not run
            <textarea
              className={controls.field}
              rows={7}
              autoFocus
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
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" disabled={text.trim() === "" || isOn}>
            Read it
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

interface Sendable {
  method: string;
  /** Path and query. */
  target: string;
  headers: readonly (readonly [string, string])[];
  body: string;
}

/** A request that was read from a command, as the editor has it. */
export function draftOfParsed({ method, path, headers, body }: ParsedRequest): Draft {
  return draftOfSendable({ method, target: path, headers: Object.entries(headers), body: body ?? "" });
}

/** A request as the editor has it. Braces of the path stay as they are, so they are written as escapes. */
export function draftOfSendable({ method, target, headers, body }: Sendable): Draft {
  const at = target.indexOf("?");
  const path = at === -1 ? target : target.slice(0, at);
  const query = new URLSearchParams(at === -1 ? "" : target.slice(at + 1));
  return {
    method,
    path: path.replaceAll("{", "%7B").replaceAll("}", "%7D"),
    pathFields: [],
    query: [...query].map(([name, value]) => ({ name, value, type: null })),
    headers: headers.map(([name, value]) => ({ name, value, type: null })),
    body,
  };
}
