import { type CSSProperties, type ReactNode, type RefObject, type SubmitEvent, useEffect, useId, useRef } from "react";

import { useTranslate } from "../texts/translate";
import { Button, classes, CopyButton, IconButton } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { BodyField } from "./BodyField";
import {
  ANY_BEARER,
  secretOf,
  type Draft,
  type Field,
  fieldProblem,
  METHODS,
  obstacle,
  pathFields,
  takesBody,
  warning,
} from "./draft";
import { visible } from "../ui/visible";
import { DraftVariables } from "../variables/DraftVariables";
import type { Variables } from "../variables/useVariables";
import editorStyles from "./editor.module.css";
import { PartSplitter, usePartSplit } from "./PartSplitter";
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
  onOpenFile: ((path: string, line: number) => void) | undefined;
  baseUrl: string | null;
  /** The draft with the values of its variables, for code that is copied. */
  ready?: Draft;
  variables?: Variables;
  /** Why its variables keep it from being sent; null when they do not. */
  blocked?: string | null;
  /** Whether there is a response, whole or on its way; not an error's sentence. */
  hasResponse: boolean;
  /** Whether the draft is an endpoint that was picked just now; true once for each. */
  takePicked?: () => boolean;
  /** Requests to fill in again. */
  earlier?: ReactNode;
  /** What came of it, below. */
  children?: ReactNode;
}

const KINDS: readonly SnippetKind[] = ["curl", "httpx", "fetch"];

/** A request being written: method and path, parameters, headers, body. */
export function Editor(props: EditorProps): ReactNode {
  const t = useTranslate();
  const { draft, onDraft, isSending, unavailable, baseUrl, ready = draft, blocked = null } = props;
  const wrong = obstacle(t, draft) ?? blocked;
  const isFieldEmpty = draft.pathFields.some((one) => !one.value);
  // An empty field says at its place that it is required.
  const said = unavailable ?? (isFieldEmpty ? null : wrong);
  const [percent, setPercent] = usePartSplit();
  // Beside a short sentence, the form keeps its size.
  const isSplit = props.hasResponse && percent !== null;
  const form = useRef<HTMLFormElement>(null);
  useFocusOfPicked(form, draft, props.takePicked);
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    if (isSending || unavailable !== null) return;
    if (wrong === null) props.onSend();
    else if (isFieldEmpty) emptyField(form.current)?.focus();
    else form.current?.querySelector<HTMLElement>(blocked === null ? "[data-path]" : "[data-unset]")?.focus();
  };
  return (
    <form ref={form} className={editorStyles.request} onSubmit={submit} aria-label={t("Request")}>
      <div className={editorStyles.sendLine}>
        <select
          className={classes(controls.field, editorStyles.methodField)}
          data-method={draft.method}
          aria-label={t("Method")}
          value={draft.method}
          onChange={(event) => onDraft({ ...draft, method: event.target.value })}
        >
          {METHODS.map((method) => (
            <option key={method}>{method}</option>
          ))}
        </select>
        <input
          className={classes(controls.field, editorStyles.mono, editorStyles.grow)}
          aria-label={t("Path")}
          aria-invalid={!draft.path.startsWith("/")}
          data-path
          value={draft.path}
          spellCheck={false}
          onChange={(event) => {
            const path = event.target.value;
            onDraft({ ...draft, path, pathFields: pathFields(path, draft.pathFields) });
          }}
        />
        {/* Two elements, by their keys: one whose type changes during a click would send the request again. */}
        {isSending ? (
          <Button key="stop" icon="stop" onClick={props.onCancel}>
            {t("Stop")}
          </Button>
        ) : (
          <Button key="send" kind="primary" icon="send" type="submit" disabled={unavailable !== null}>
            {t("Send")}
          </Button>
        )}
      </div>
      <div className={editorStyles.scroll}>
        <div
          className={editorStyles.parts}
          data-split={isSplit}
          style={isSplit ? ({ "--form": `${percent}%` } as CSSProperties) : undefined}
        >
          <div className={editorStyles.editor}>
            <Source draft={draft} onOpenFile={props.onOpenFile} />
            {said !== null && (
              <p className={styles.hint} role="status">
                {said}
              </p>
            )}
            {wrong === null && warning(t, ready) !== null && (
              <p className={styles.hint} role="status">
                {warning(t, ready)}
              </p>
            )}
            {props.variables && <DraftVariables {...{ draft, onDraft }} variables={props.variables} />}
            {draft.pathFields.length > 0 && (
              <Fields
                title={t("Path")}
                fields={draft.pathFields}
                isFixed
                onFields={(fields) => onDraft({ ...draft, pathFields: fields })}
              />
            )}
            <Fields title={t("Query")} fields={draft.query} onFields={(query) => onDraft({ ...draft, query })} />
            <Fields
              title={t("Headers")}
              fields={draft.headers}
              onFields={(headers) => onDraft({ ...draft, headers })}
            />
            {(draft.cookies ?? []).length > 0 && (
              <Fields
                title={t("Cookies")}
                fields={draft.cookies ?? []}
                isFixed
                onFields={(cookies) => onDraft({ ...draft, cookies })}
              />
            )}
            <Credentials draft={draft} onDraft={onDraft} />
            {takesBody(draft.method) && <BodyField draft={draft} onDraft={onDraft} />}
            {baseUrl !== null && wrong === null && (
              <div className={editorStyles.copyAs}>
                <span>{t("Copy as")}</span>
                {KINDS.map((kind) => (
                  <span key={kind} className={editorStyles.copyKind}>
                    {kind}
                    <CopyButton text={() => snippet(kind, ready, baseUrl)} label={t("Copy as {kind}", { kind })} />
                  </span>
                ))}
              </div>
            )}
            {props.earlier}
          </div>
          {props.hasResponse && <PartSplitter percent={percent} onPercent={setPercent} />}
          <div className={editorStyles.response} data-brief={!props.hasResponse}>
            {props.children}
          </div>
        </div>
      </div>
    </form>
  );
}

/** The first field that must have a value and has none. */
function emptyField(form: HTMLElement | null): HTMLElement | undefined {
  const required = form?.querySelectorAll<HTMLInputElement | HTMLSelectElement>("[aria-required=true]") ?? [];
  return [...required].find((one) => one.value === "");
}

/**
 * A picked endpoint has the focus where the person goes on: in its first empty required field, or at Send; at its path
 * while nothing can be sent.
 */
function useFocusOfPicked(
  form: RefObject<HTMLFormElement | null>,
  draft: Draft,
  takePicked: (() => boolean) | undefined,
): void {
  useEffect(() => {
    if (!takePicked?.()) return;
    const one = (selector: string): HTMLElement | null | undefined =>
      form.current?.querySelector<HTMLElement>(selector);
    const next = emptyField(form.current) ?? one("[type=submit]:not([disabled])") ?? one("[data-path]");
    next?.focus({ preventScroll: true });
  }, [form, draft, takePicked]);
}

interface FieldsProps {
  title: string;
  fields: readonly Field[];
  isFixed?: boolean;
  onFields: (fields: Field[]) => void;
}

function Fields({ title, fields, isFixed, onFields }: FieldsProps): ReactNode {
  const t = useTranslate();
  const added = useRef<HTMLInputElement>(null);
  const isAdding = useRef(false);
  const id = useId();
  useEffect(() => {
    // The next typing is meant for the new row.
    if (isAdding.current) added.current?.focus();
    isAdding.current = false;
  }, [fields.length]);
  const change = (at: number, part: Partial<Field>): void =>
    onFields(fields.map((one, index) => (index === at ? { ...one, ...part } : one)));
  return (
    <fieldset className={editorStyles.fields}>
      <legend className={editorStyles.fieldsHead}>
        <span className={editorStyles.fieldsTitle}>{title}</span>
        {!isFixed && (
          <IconButton
            icon="plus"
            label={title === "Query" ? t("Add a query parameter") : t("Add a header")}
            onClick={() => {
              isAdding.current = true;
              onFields([...fields, { name: "", value: "", type: null }]);
            }}
          />
        )}
      </legend>
      {fields.map((field, at) => (
        <div key={at} className={editorStyles.fieldRow}>
          {field.type === null ? (
            <input
              ref={at === fields.length - 1 ? added : null}
              className={classes(controls.field, editorStyles.mono)}
              aria-label={t("{title}: name {at}", { title, at: at + 1 })}
              placeholder={t("name")}
              value={field.name}
              onChange={(event) => change(at, { name: event.target.value })}
            />
          ) : (
            <span className={editorStyles.fieldName} title={field.description}>
              {field.name}
              {field.required && <b className={editorStyles.required}> *</b>}
            </span>
          )}
          <Value
            title={title}
            field={field}
            at={at}
            problemId={`${id}-${at}`}
            onValue={(value) => change(at, { value })}
          />
          {field.type === null && (
            <IconButton
              icon="close"
              label={t("Remove {name}", { name: field.name || t("this row") })}
              onClick={() => onFields(fields.filter((_, index) => index !== at))}
            />
          )}
          {fieldProblem(t, field) !== null && (
            <p id={`${id}-${at}`} className={editorStyles.fieldProblem}>
              {fieldProblem(t, field)}
            </p>
          )}
        </div>
      ))}
    </fieldset>
  );
}

interface ValueProps {
  title: string;
  field: Field;
  at: number;
  /** Of the sentence that says what is wrong with it. */
  problemId: string;
  onValue: (value: string) => void;
}

/** A choice where the endpoint names its values, else a text. */
function Value({ title, field, at, problemId, onValue }: ValueProps): ReactNode {
  const t = useTranslate();
  const label = field.type === null ? t("{title}: value {at}", { title, at: at + 1 }) : `${title}: ${field.name}`;
  const common = {
    className: classes(controls.field, editorStyles.mono),
    "aria-label": label,
    "aria-required": field.required,
    "aria-invalid": fieldProblem(t, field) !== null,
    "aria-describedby": fieldProblem(t, field) === null ? undefined : problemId,
    value: field.value,
  };
  if (field.choices?.length)
    return (
      <select {...common} onChange={(event) => onValue(event.target.value)}>
        <option value="">
          {field.fallback
            ? t("default: {fallback}", { fallback: field.fallback })
            : field.required
              ? t("required")
              : t("none")}
        </option>
        {field.choices.map((choice) => (
          <option key={choice}>{choice}</option>
        ))}
      </select>
    );
  const hint = field.fallback
    ? t("default: {fallback}", { fallback: field.fallback })
    : field.required
      ? t("required")
      : field.type;
  return <input {...common} placeholder={hint ?? t("value")} onChange={(event) => onValue(event.target.value)} />;
}

/** The endpoint's place in the source. */
function Source({ draft, onOpenFile }: Pick<EditorProps, "draft" | "onOpenFile">): ReactNode {
  if (!draft.source) return null;
  const { file, line } = draft.source;
  const place = visible(`${file}:${line}`);
  if (!onOpenFile) return <p className={styles.hint}>{place}</p>;
  return (
    <button type="button" className={editorStyles.source} onClick={() => onOpenFile(file, line)}>
      {place}
    </button>
  );
}

const KIND_LABELS = { bearer: "token", basic: "user:password", key: "key", other: "" } as const;

/** Tokens and keys that the endpoint names. They stay in this tab, and are not kept in the history. */
function Credentials({ draft, onDraft }: Pick<EditorProps, "draft" | "onDraft">): ReactNode {
  const t = useTranslate();
  const known = (draft.credentials ?? []).filter((one) => one.kind !== "other");
  if (known.length === 0) return null;
  return (
    <fieldset className={editorStyles.fields}>
      <legend className={editorStyles.fieldsTitle}>{t("Authentication")}</legend>
      {known.map((one) => (
        <div key={one.scheme} className={editorStyles.fieldRow}>
          <span className={editorStyles.fieldName}>{one.scheme === ANY_BEARER ? t("Bearer token") : one.scheme}</span>
          <input
            type="password"
            autoComplete="off"
            className={classes(controls.field, editorStyles.mono)}
            aria-label={t("Authentication: {scheme}", { scheme: one.scheme })}
            placeholder={KIND_LABELS[one.kind]}
            value={secretOf(draft, one)}
            onChange={(event) => onDraft({ ...draft, secrets: { ...draft.secrets, [one.scheme]: event.target.value } })}
          />
        </div>
      ))}
    </fieldset>
  );
}
