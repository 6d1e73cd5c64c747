import { type ReactNode, useState } from "react";

import { useTranslate, english, type Untranslated } from "../texts/translate";
import { Button, classes, IconButton } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { bytes } from "../ui/format";
import panel from "../ui/panel.module.css";
import type { BodyKind, Draft, Field, FormField } from "./draft";
import { toBase64 } from "./multipart";
import editorStyles from "./editor.module.css";

interface BodyFieldProps {
  draft: Draft;
  onDraft: (draft: Draft) => void;
}

const KINDS: readonly (readonly [BodyKind, Untranslated])[] = [
  ["text", english("Text or JSON")],
  ["form", english("Form")],
  ["multipart", english("Form with files")],
  ["file", english("File")],
];
const TYPES: Record<BodyKind, string | null> = {
  text: "application/json",
  form: "application/x-www-form-urlencoded",
  multipart: null,
  file: "application/octet-stream",
};
/** The service's own limit for a call is lower or higher by setting; a browser tab bears this. */
const MAX_FILE_BYTES = 20 * 1024 * 1024;

/** The body of a request: text, a form, a form with files, or one file. */
export function BodyField({ draft, onDraft }: BodyFieldProps): ReactNode {
  const t = useTranslate();
  const kind = draft.bodyKind ?? "text";
  return (
    <div className={editorStyles.bodyField}>
      <div className={editorStyles.fieldsHead}>
        <span className={editorStyles.fieldsTitle}>{t("Body")}</span>
        <select
          className={controls.field}
          aria-label={t("Kind of body")}
          value={kind}
          onChange={(event) => onDraft(withKind(draft, event.target.value as BodyKind))}
        >
          {KINDS.map(([one, label]) => (
            <option key={one} value={one}>
              {t(label)}
            </option>
          ))}
        </select>
      </div>
      {kind === "text" && (
        <textarea
          className={classes(controls.field, editorStyles.mono)}
          aria-label={t("Body")}
          rows={Math.min(12, Math.max(4, draft.body.split("\n").length))}
          value={draft.body}
          spellCheck={false}
          onChange={(event) => onDraft({ ...draft, body: event.target.value })}
        />
      )}
      {(kind === "form" || kind === "multipart") && (
        <Form
          fields={draft.form ?? []}
          hasFiles={kind === "multipart"}
          onFields={(form) => onDraft({ ...draft, form })}
        />
      )}
      {kind === "file" && (
        <FileChoice
          label={t("File to send")}
          field={draft.file ?? { name: "", value: "", isFile: true }}
          onField={(file) => onDraft({ ...draft, file })}
        />
      )}
    </div>
  );
}

function withKind(draft: Draft, bodyKind: BodyKind): Draft {
  const others: Field[] = draft.headers.filter((one) => one.name.toLowerCase() !== "content-type");
  const type = TYPES[bodyKind];
  const headers = type === null ? others : [...others, { name: "Content-Type", value: type, type: null }];
  return { ...draft, bodyKind, headers };
}

interface FormProps {
  fields: FormField[];
  hasFiles: boolean;
  onFields: (fields: FormField[]) => void;
}

function Form({ fields, hasFiles, onFields }: FormProps): ReactNode {
  const t = useTranslate();
  const change = (at: number, part: Partial<FormField>): void =>
    onFields(fields.map((one, index) => (index === at ? { ...one, ...part } : one)));
  const add = (isFile: boolean): void => onFields([...fields, { name: "", value: "", isFile }]);
  return (
    <div className={editorStyles.fields}>
      {fields.map((field, at) => (
        <div key={at} className={editorStyles.fieldRow}>
          <input
            className={classes(controls.field, editorStyles.mono)}
            aria-label={t("Form: name {at}", { at: at + 1 })}
            placeholder={t("name")}
            value={field.name}
            onChange={(event) => change(at, { name: event.target.value })}
          />
          {field.isFile ? (
            <FileChoice
              label={t("Form: file {at}", { at: at + 1 })}
              field={field}
              onField={(chosen) => onFields(fields.map((one, index) => (index === at ? chosen : one)))}
            />
          ) : (
            <input
              className={classes(controls.field, editorStyles.mono)}
              aria-label={t("Form: value {at}", { at: at + 1 })}
              placeholder={t("value")}
              value={field.value}
              onChange={(event) => change(at, { value: event.target.value })}
            />
          )}
          <IconButton
            icon="close"
            label={t("Remove {name}", { name: field.name || t("this field") })}
            onClick={() => onFields(fields.filter((_, index) => index !== at))}
          />
        </div>
      ))}
      <div className={editorStyles.line}>
        <Button small onClick={() => add(false)}>
          {t("Add a field")}
        </Button>
        {hasFiles && (
          <Button small onClick={() => add(true)}>
            {t("Add a file")}
          </Button>
        )}
      </div>
    </div>
  );
}

interface FileChoiceProps {
  label: string;
  field: FormField;
  onField: (field: FormField) => void;
}

function FileChoice({ label, field, onField }: FileChoiceProps): ReactNode {
  const t = useTranslate();
  const [problem, setProblem] = useState<string | null>(null);
  const choose = async (file: File | undefined): Promise<void> => {
    if (!file) return;
    if (file.size > MAX_FILE_BYTES) {
      setProblem(
        t("The file is {size}; at most {MAX_FILE_BYTES} can be sent.", {
          size: bytes(file.size),
          MAX_FILE_BYTES: bytes(MAX_FILE_BYTES),
        }),
      );
      return;
    }
    try {
      const base64 = toBase64(new Uint8Array(await file.arrayBuffer()));
      setProblem(null);
      onField({ ...field, file, base64 });
    } catch {
      setProblem(t("The file cannot be read. Choose it again."));
    }
  };
  return (
    <span>
      <input
        type="file"
        className={editorStyles.fileChoice}
        aria-label={label}
        onChange={(event) => void choose(event.target.files?.[0])}
      />
      {field.file && <span className={panel.fact}>{bytes(field.file.size)}</span>}
      {problem !== null && <span className={editorStyles.fieldProblem}>{problem}</span>}
    </span>
  );
}
