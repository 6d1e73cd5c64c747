import type { SubmitEvent, ReactNode } from "react";

import { Button, classes, CopyButton, IconButton } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { type Draft, type Field, METHODS, obstacle, pathFields, takesBody } from "./draft";
import styles from "./request.module.css";
import { snippet, type SnippetKind } from "./snippets";

interface EditorProps {
  draft: Draft;
  onDraft: (draft: Draft) => void;
  onSend: () => void;
  onCancel: () => void;
  isSending: boolean;
  /** Why nothing can be sent at all now. */
  unavailable: string | null;
  baseUrl: string | null;
  /** What came of it, below. */
  children?: ReactNode;
}

const KINDS: readonly SnippetKind[] = ["curl", "httpx", "fetch"];

/** A request being written: method and path, parameters, headers, body. */
export function Editor(props: EditorProps): ReactNode {
  const { draft, onDraft, isSending, unavailable, baseUrl } = props;
  const wrong = obstacle(draft);
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    if (!isSending && wrong === null && unavailable === null) props.onSend();
  };
  return (
    <form className={styles.request} onSubmit={submit} aria-label="Request">
      <div className={styles.sendLine}>
        <select
          className={classes(controls.field, styles.methodField)}
          data-method={draft.method}
          aria-label="Method"
          value={draft.method}
          onChange={(event) => onDraft({ ...draft, method: event.target.value })}
        >
          {METHODS.map((method) => (
            <option key={method}>{method}</option>
          ))}
        </select>
        <input
          className={classes(controls.field, styles.mono, styles.grow)}
          aria-label="Path"
          value={draft.path}
          spellCheck={false}
          onChange={(event) => {
            const path = event.target.value;
            onDraft({ ...draft, path, pathFields: pathFields(path, draft.pathFields) });
          }}
        />
        {isSending ? (
          <Button onClick={props.onCancel}>Cancel</Button>
        ) : (
          <Button kind="primary" icon="send" type="submit" disabled={wrong !== null || unavailable !== null}>
            Send
          </Button>
        )}
      </div>
      <div className={styles.scroll}>
        <div className={styles.editor}>
          {(unavailable ?? wrong) !== null && <p className={styles.hint}>{unavailable ?? wrong}</p>}
          {draft.pathFields.length > 0 && (
            <Fields
              title="Path"
              fields={draft.pathFields}
              isFixed
              onFields={(fields) => onDraft({ ...draft, pathFields: fields })}
            />
          )}
          <Fields title="Query" fields={draft.query} onFields={(query) => onDraft({ ...draft, query })} />
          <Fields title="Headers" fields={draft.headers} onFields={(headers) => onDraft({ ...draft, headers })} />
          {takesBody(draft.method) && (
            <label className={styles.bodyField}>
              <span className={styles.fieldsTitle}>Body</span>
              <textarea
                className={classes(controls.field, styles.mono)}
                rows={Math.min(12, Math.max(4, draft.body.split("\n").length))}
                value={draft.body}
                spellCheck={false}
                onChange={(event) => onDraft({ ...draft, body: event.target.value })}
              />
            </label>
          )}
          {baseUrl !== null && wrong === null && (
            <div className={styles.copyAs}>
              <span>Copy as</span>
              {KINDS.map((kind) => (
                <span key={kind} className={styles.copyKind}>
                  {kind}
                  <CopyButton text={() => snippet(kind, draft, baseUrl)} label={`Copy as ${kind}`} />
                </span>
              ))}
            </div>
          )}
        </div>
        {props.children}
      </div>
    </form>
  );
}

interface FieldsProps {
  title: string;
  fields: readonly Field[];
  isFixed?: boolean;
  onFields: (fields: Field[]) => void;
}

function Fields({ title, fields, isFixed, onFields }: FieldsProps): ReactNode {
  const change = (at: number, part: Partial<Field>): void =>
    onFields(fields.map((one, index) => (index === at ? { ...one, ...part } : one)));
  return (
    <fieldset className={styles.fields}>
      <legend className={styles.fieldsHead}>
        <span className={styles.fieldsTitle}>{title}</span>
        {!isFixed && (
          <IconButton
            icon="plus"
            label={title === "Query" ? "Add a query parameter" : "Add a header"}
            onClick={() => onFields([...fields, { name: "", value: "", type: null }])}
          />
        )}
      </legend>
      {fields.map((field, at) => (
        <div key={at} className={styles.fieldRow}>
          {field.type === null ? (
            <input
              className={classes(controls.field, styles.mono)}
              aria-label={`${title}: name ${at + 1}`}
              placeholder="name"
              value={field.name}
              onChange={(event) => change(at, { name: event.target.value })}
            />
          ) : (
            <span className={styles.fieldName} id={`pv-${title}-${at}`}>
              {field.name}
            </span>
          )}
          <input
            className={classes(controls.field, styles.mono)}
            aria-label={field.type === null ? `${title}: value ${at + 1}` : `${title}: ${field.name}`}
            placeholder={field.type === null ? "value" : field.type === "path" ? "required" : field.type}
            value={field.value}
            onChange={(event) => change(at, { value: event.target.value })}
          />
          {field.type === null && (
            <IconButton
              icon="close"
              label={`Remove ${field.name || "this row"}`}
              onClick={() => onFields(fields.filter((_, index) => index !== at))}
            />
          )}
        </div>
      ))}
    </fieldset>
  );
}
