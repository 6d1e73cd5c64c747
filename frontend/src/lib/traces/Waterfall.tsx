import { type CSSProperties, type ReactNode, useState } from "react";

import type { RecordTiming } from "../api/records";
import type { SpanKind, Trace, TraceSpan } from "../api/traces";
import { useTranslate, english, type Untranslated } from "../texts/translate";
import { Button, Notice } from "../ui/controls";
import { count, milliseconds } from "../ui/format";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import { spansOf, type Span } from "../traffic/words";
import { fold, isFolded, rowsOf, type SpanRow } from "./rows";
import styles from "./traces.module.css";

const KINDS: Record<SpanKind, Untranslated> = {
  request: english("application"),
  sql: english("SQL"),
  call: english("outgoing request"),
  cache: english("cache"),
  other: english("other"),
};
const MOST_ROWS = 300;

/** The spans of a request as bars below each other, with what is probably slow. */
export function Waterfall({ trace, timing }: { trace: Trace; timing: RecordTiming }): ReactNode {
  const t = useTranslate();
  const [isWhole, setWhole] = useState(false);
  const before = timing.connected_ms ?? timing.queued_ms ?? 0;
  const total = Math.max(timing.ended_ms, before + trace.duration_ms, 0.001);
  const phases = spansOf(t, timing).filter((one) => one.to > one.from);
  const all = rowsOf(trace.spans);
  const rows = isWhole ? all : fold(all).slice(0, MOST_ROWS);
  const left = all.length - rows.reduce((sum, row) => sum + (isFolded(row) ? 0 : 1), 0);
  const marked = new Set(trace.hints.flatMap((hint) => hint.span_ids));
  return (
    <section className={panel.section} aria-label={t("Trace")}>
      <h4>{t("Trace")}</h4>
      <p className={panel.hint}>
        {t("{sql_count} in {sql_ms}", {
          sql_count: count(t, trace.sql_count, "{count} statement", "{count} statements"),
          sql_ms: milliseconds(trace.sql_ms),
        })}
        {trace.call_count > 0 &&
          `, ${count(t, trace.call_count, "{count} outgoing request", "{count} outgoing requests")}`}
        {t(". Reported by the application.")}
      </p>
      {trace.hints.map((hint) => (
        <div key={hint.kind + hint.statement} className={panel.pad}>
          <Notice tone="warn">{visible(hint.sentence)}</Notice>
        </div>
      ))}
      <ul className={styles.rows}>
        <Phases phases={phases.filter((one) => one.to <= before)} total={total} />
        {rows.map((row, at) =>
          isFolded(row) ? (
            <li key={`folded ${at}`} className={styles.folded} style={indent(row.depth)}>
              {t("{folded} more of the same, {sum}", { folded: row.folded.length, sum: milliseconds(sum(row.folded)) })}
            </li>
          ) : (
            <Row key={at} row={row} before={before} total={total} isMarked={marked.has(row.span.span_id)} />
          ),
        )}
        <Phases phases={phases.filter((one) => one.to > before)} total={total} />
      </ul>
      {left > 0 && (
        <div className={panel.pad}>
          <Button small onClick={() => setWhole(true)}>
            {t("Show all {spans} spans", { spans: trace.spans.length })}
          </Button>
        </div>
      )}
      {trace.dropped > 0 && (
        <p className={panel.hint}>
          {count(
            t,
            trace.dropped,
            "{count} span of this request was not kept.",
            "{count} spans of this request were not kept.",
          )}
        </p>
      )}
    </section>
  );
}

/** What the service has measured itself: before the application, and from its first byte on. */
function Phases({ phases, total }: { phases: readonly Span[]; total: number }): ReactNode {
  return phases.map(({ name, word, from, to }) => (
    <Bar key={name} name={word} kind="service" from={from} took={to - from} total={total} />
  ));
}

interface RowProps {
  row: SpanRow;
  before: number;
  total: number;
  isMarked: boolean;
}

function Row({ row: { span, depth }, before, total, isMarked }: RowProps): ReactNode {
  const t = useTranslate();
  const bar = (
    <BarParts
      name={visible(span.name)}
      note={noteOf(span, isMarked)}
      kind={span.kind}
      from={before + span.offset_ms}
      took={span.duration_ms}
      total={total}
    />
  );
  if (span.detail === "" && span.error === null)
    return (
      <li className={styles.row} style={indent(depth)}>
        <div className={styles.line}>{bar}</div>
      </li>
    );
  return (
    <li className={styles.row} style={indent(depth)}>
      <details>
        <summary className={styles.line}>{bar}</summary>
        {/* It scrolls, so the keyboard must reach it. */}
        <pre className={styles.detail} tabIndex={0} aria-label={t("Statement or address")}>
          {visible(span.detail)}
        </pre>
        {span.error !== null && <p className={styles.error}>{visible(span.error)}</p>}
      </details>
    </li>
  );
}

function noteOf(span: TraceSpan, isMarked: boolean): string {
  const words = [
    span.status === null ? "" : String(span.status),
    span.error === null ? "" : "failed",
    isMarked ? "hint" : "",
  ];
  return words.filter(Boolean).join(", ");
}

interface BarProps {
  name: string;
  kind: SpanKind | "service";
  note?: string;
  from: number;
  took: number;
  total: number;
}

function Bar(props: BarProps): ReactNode {
  return (
    <li className={styles.row}>
      <div className={styles.line}>
        <BarParts {...props} />
      </div>
    </li>
  );
}

function BarParts({ name, kind, note = "", from, took, total }: BarProps): ReactNode {
  const t = useTranslate();
  const place = { "--from": share(from, total), "--share": share(took, total) } as CSSProperties;
  const word = kind === "service" ? t("service") : t(KINDS[kind]);
  return (
    <>
      <span className={styles.name}>
        <span className={styles.kind} data-kind={kind} aria-hidden="true" />
        {name} <span className={styles.note}>{note || (kind === "sql" || kind === "request" ? "" : word)}</span>
      </span>
      <span className={styles.track} aria-hidden="true">
        <span className={styles.bar} data-kind={kind} style={place} />
      </span>
      <span className={styles.took}>{milliseconds(took)}</span>
    </>
  );
}

function share(part: number, total: number): number {
  return Math.min(1, Math.max(0, part / total));
}

function indent(depth: number): CSSProperties {
  return { "--depth": depth } as CSSProperties;
}

function sum(rows: readonly SpanRow[]): number {
  return rows.reduce((all, row) => all + row.span.duration_ms, 0);
}
