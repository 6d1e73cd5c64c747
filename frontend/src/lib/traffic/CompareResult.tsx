import { type ReactNode, useState } from "react";

import { readChecks, writeChecks } from "../api/checks";
import type { PreviewClient } from "../api/client";
import type { Compared, Comparison, PreviewAnswer, Verdict } from "../api/replay";
import { Notice } from "../ui/controls";
import { count, milliseconds } from "../ui/format";
import { News } from "../ui/News";
import panel from "../ui/panel.module.css";
import { useAction } from "../ui/useAction";
import { visible, visibleWithoutColours } from "../ui/visible";
import { Differences } from "./Differences";
import styles from "./traffic.module.css";
import { VerdictBadge } from "./VerdictBadge";
import { VerdictCounts, VERDICTS } from "./VerdictCounts";

const MOST = 200;
const MOST_LINES = 30;

interface CompareResultProps {
  client: PreviewClient;
  generationId: string;
  result: Comparison;
  /** Compare again, as a rule has changed. */
  onAgain: () => void;
}

/** The verdict of each endpoint, the worst first, with what differs. */
export function CompareResult({ client, generationId, result, onAgain }: CompareResultProps): ReactNode {
  const action = useAction();
  const sorted = [...result.endpoints].sort((a, b) => VERDICTS.indexOf(a.verdict) - VERDICTS.indexOf(b.verdict));
  const skipped = result.items.filter((one) => one.skipped !== null);
  const ignore = (path: string): void =>
    void action.run("Saving the rule…", async () => {
      const { checks, ignore: before } = await readChecks(client, generationId);
      await writeChecks(client, generationId, { checks, ignore: [...before, path] });
      onAgain();
      return `${path} is ignored from now on; the rule is in preview.checks.toml.`;
    });
  return (
    <section className={panel.section} aria-label="Result of the comparison">
      <VerdictCounts verdicts={result.endpoints.map((one) => one.verdict)} />
      <News action={action} />
      {result.failure !== null && (
        <div className={panel.pad}>
          <Notice tone="bad" role="alert">
            The second version does not start: {visible(result.failure)}
          </Notice>
          <Lines lines={result.last_lines} label="Its last lines" />
        </div>
      )}
      {sorted.slice(0, MOST).map((one) => (
        <Endpoint
          key={one.endpoint}
          name={one.endpoint}
          verdict={one.verdict}
          items={result.items.filter((item) => item.endpoint === one.endpoint && item.skipped === null)}
          onIgnore={ignore}
        />
      ))}
      {sorted.length > MOST && <p className={panel.hint}>And {count(sorted.length - MOST, "more endpoint")}.</p>}
      {skipped.length > 0 && (
        <p className={panel.hint}>
          {count(skipped.length, "request")} not sent: {visible(skipped[0]?.skipped ?? "")}
        </p>
      )}
    </section>
  );
}

interface EndpointProps {
  name: string;
  verdict: Verdict;
  items: readonly Compared[];
  onIgnore: (path: string) => void;
}

function Endpoint({ name, verdict, items, onIgnore }: EndpointProps): ReactNode {
  const [isOpen, setOpen] = useState(verdict === "broke" || verdict === "changed");
  return (
    <div className={styles.endpoint}>
      <button type="button" className={styles.endpointHead} aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        <VerdictBadge verdict={verdict} />
        <span className={styles.title}>{visible(name)}</span>
        <span className={panel.fact}>{count(items.length, "request")}</span>
      </button>
      {isOpen && items.slice(0, MOST_LINES).map((one, at) => <Item key={at} one={one} onIgnore={onIgnore} />)}
    </div>
  );
}

function Item({ one, onIgnore }: { one: Compared; onIgnore: (path: string) => void }): ReactNode {
  const before = one.first?.lines ?? [];
  const after = one.candidate?.lines ?? [];
  const isOther = before.join("\n") !== after.join("\n");
  return (
    <>
      <p className={panel.wrap} style={{ margin: "6px 0 0" }}>
        <VerdictBadge verdict={one.verdict} />
        <span className={panel.mono}>
          {visible(one.method)} {visible(one.path)}
        </span>
        <span className={panel.fact}>
          {answered(one.first)} first, {answered(one.candidate)} second
        </span>
      </p>
      <Differences differences={one.differences} before="first" after="second" onIgnore={onIgnore} />
      {one.is_cut && <p className={panel.hint}>There are more differences.</p>}
      {one.noise.length > 0 && (
        <p className={panel.hint}>
          Ignored, because it changes every time: {visible(one.noise.slice(0, 20).join(", "))}
        </p>
      )}
      {isOther && one.verdict !== "same" && (
        <div className={styles.sides}>
          <Lines lines={before} label="Log lines, first" />
          <Lines lines={after} label="Log lines, second" />
        </div>
      )}
    </>
  );
}

function Lines({ lines, label }: { lines: readonly string[]; label: string }): ReactNode {
  return (
    <div>
      <span className={panel.fact}>{label}</span>
      <pre className={`${panel.code} ${panel.wrapped}`} tabIndex={0} aria-label={label}>
        {lines.length === 0 ? "none" : lines.slice(0, MOST_LINES).map(visibleWithoutColours).join("\n")}
      </pre>
    </div>
  );
}

function answered(answer: PreviewAnswer | null): string {
  if (answer === null || answer.status === 0) return "no response";
  return `${answer.status} in ${milliseconds(answer.elapsed_ms)}`;
}
