import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { compare, type ComparedEndpoint, type Comparison, type Verdict } from "../api/replay";
import type { Generation } from "../api/types";
import { usePreviewClient } from "../context";
import { Button } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { ago, count, milliseconds } from "../ui/format";
import { News } from "../ui/News";
import panel from "../ui/panel.module.css";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import { Differences } from "./Differences";
import styles from "./traffic.module.css";

export interface ComparePanelProps {
  generationId: string;
  client?: PreviewClient | undefined;
}

const TONES: Record<Verdict, "good" | "info" | "warn" | "bad"> = {
  same: "good",
  noisy: "info",
  changed: "warn",
  broke: "bad",
};
const WORDS: Record<Verdict, string> = {
  same: "The same answers",
  noisy: "Only values that differ each time, such as ids and times",
  changed: "Other answers",
  broke: "An answer failed that did not fail before",
};
const ORDER: readonly Verdict[] = ["broke", "changed", "noisy", "same"];

/** Recorded requests, sent to two versions of a project; the endpoints whose answers differ. */
export function ComparePanel(props: ComparePanelProps): ReactNode {
  const { generationId } = props;
  const client = usePreviewClient(props.client);
  const action = useAction();
  const [other, setOther] = useState("");
  const [filter, setFilter] = useState("");
  const [result, setResult] = useState<Comparison | null>(null);
  const generations = useLoad("generations", () => client.generations());
  const others = (generations.value ?? []).filter((one) => one.id !== generationId);
  const chosen = other || (others[0]?.id ?? "");
  const run = (): void =>
    void action.run("Comparing: both versions are started as hidden copies…", async () => {
      setResult(
        await compare(client, generationId, {
          a: { generation: chosen },
          b: { generation: generationId },
          requests: { filter: filter.trim() },
        }),
      );
      return undefined;
    });
  return (
    <div className={panel.scroll}>
      <form
        className={panel.form}
        aria-label="Compare"
        onSubmit={(event) => {
          event.preventDefault();
          run();
        }}
      >
        <p className={panel.hint} style={{ padding: 0 }}>
          The recorded requests are sent to copies of both versions; what differs is shown for each endpoint.
        </p>
        <label>
          Compare this project with
          <select className={controls.field} value={chosen} onChange={(event) => setOther(event.target.value)}>
            {others.map((one) => (
              <option key={one.id} value={one.id}>
                {nameOf(one)}
              </option>
            ))}
          </select>
        </label>
        <label>
          Requests (a filter; all without one)
          <input
            className={controls.field}
            placeholder="method:GET path:/books*"
            spellCheck={false}
            value={filter}
            onChange={(event) => setFilter(event.target.value)}
          />
        </label>
        <div className={panel.wrap}>
          <Button kind="primary" icon="play" type="submit" disabled={action.busy !== null || chosen === ""}>
            Compare
          </Button>
          {generations.value && others.length === 0 && (
            <span className={panel.fact}>Upload another version to compare with.</span>
          )}
        </div>
      </form>
      <News action={action} />
      {result && <Result result={result} />}
    </div>
  );
}

function nameOf(one: Generation): string {
  return `${visible(one.name)} (${ago(one.created_at)})`;
}

function Result({ result }: { result: Comparison }): ReactNode {
  const sorted = [...result.endpoints].sort((a, b) => ORDER.indexOf(a.verdict) - ORDER.indexOf(b.verdict));
  return (
    <section className={panel.section} aria-label="Result of the comparison">
      <div className={styles.counts} role="status">
        {ORDER.map((verdict) => {
          const number = result.endpoints.filter((one) => one.verdict === verdict).length;
          return (
            <span key={verdict} className={panel.badge} data-tone={number > 0 ? TONES[verdict] : undefined}>
              {number} {verdict}
            </span>
          );
        })}
        <span className={panel.fact}>in {milliseconds(result.elapsed_ms)}</span>
      </div>
      {sorted.length === 0 && <p className={panel.none}>No recorded request could be sent to both versions.</p>}
      {sorted.map((one) => (
        <Endpoint key={`${one.method} ${one.path}`} one={one} />
      ))}
      {result.notes.map((note) => (
        <p key={note} className={panel.hint}>
          {visible(note)}
        </p>
      ))}
    </section>
  );
}

function Endpoint({ one }: { one: ComparedEndpoint }): ReactNode {
  const [isOpen, setOpen] = useState(one.verdict === "broke" || one.verdict === "changed");
  return (
    <div className={styles.endpoint}>
      <button type="button" className={styles.endpointHead} aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <span className={panel.badge} data-tone={TONES[one.verdict]}>
          {one.verdict}
        </span>
        <span className={styles.title}>
          {visible(one.method)} {visible(one.path)}
        </span>
        <span className={panel.fact}>{count(one.requests, "request")}</span>
      </button>
      {isOpen && (
        <>
          <p className={panel.fact} style={{ margin: "4px 0 0" }}>
            {WORDS[one.verdict]}
            {one.ms_before !== null &&
              one.ms_after !== null &&
              `; ${milliseconds(one.ms_before)} before, ${milliseconds(one.ms_after)} now`}
            .
          </p>
          <Differences differences={one.differences} before="the other version" after="this version" />
        </>
      )}
    </div>
  );
}
