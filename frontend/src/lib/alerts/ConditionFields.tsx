import type { ReactNode } from "react";

import type { PreviewEvent, Subject } from "../api/alerts";
import { useTranslate, english, type Untranslated } from "../texts/translate";
import controls from "../ui/controls.module.css";
import panel from "../ui/panel.module.css";
import type { Fields } from "./fields";

interface ConditionFieldsProps {
  fields: Fields;
  onFields: (change: Partial<Fields>) => void;
}

const KINDS: readonly (readonly [Fields["kind"], Untranslated])[] = [
  ["matches", english("lines or requests match a filter")],
  ["absent", english("nothing matches a filter for some time")],
  ["event", english("something happens to the preview")],
  ["error_rate", english("a share of the requests fails")],
  ["memory", english("memory is nearly used up")],
];

const EVENTS: readonly (readonly [PreviewEvent, Untranslated])[] = [
  ["failed", english("it fails")],
  ["ended", english("it ends, for any reason")],
  ["exited", english("its process exits")],
  ["crashed", english("its process crashes, even if it is started again")],
  ["unhealthy", english("it is unhealthy")],
  ["restarted", english("it is reloaded")],
];

/** The condition of a rule. */
export function ConditionFields({ fields, onFields }: ConditionFieldsProps): ReactNode {
  const t = useTranslate();
  const { kind } = fields;
  const hasFilter = kind === "matches" || kind === "absent";
  return (
    <>
      <label>
        {t("Fires when")}
        <select
          className={controls.field}
          value={kind}
          onChange={(event) => onFields({ kind: event.target.value as Fields["kind"] })}
        >
          {KINDS.map(([one, words]) => (
            <option key={one} value={one}>
              {t(words)}
            </option>
          ))}
        </select>
      </label>
      {hasFilter && (
        <div className={panel.pair}>
          <label style={{ gridColumn: "1 / -1" }}>
            {t("Filter")}
            <input
              className={controls.field}
              required
              spellCheck={false}
              placeholder={"error -path:/health"}
              value={fields.filter}
              onChange={(event) => onFields({ filter: event.target.value })}
            />
          </label>
          <label>
            {t("Search in")}
            <select
              className={controls.field}
              value={fields.on}
              onChange={(event) => onFields({ on: event.target.value as Subject })}
            >
              <option value="lines">{t("log lines")}</option>
              <option value="requests">{t("recorded requests")}</option>
            </select>
          </label>
          {kind === "matches" && (
            <Whole label={t("Number of matches")} name="count" max={10_000} {...{ fields, onFields }} />
          )}
          <Seconds label={kind === "matches" ? t("Within (seconds)") : t("For (seconds)")} {...{ fields, onFields }} />
        </div>
      )}
      {kind === "event" && (
        <div className={panel.pair}>
          <label>
            {t("What happens")}
            <select
              className={controls.field}
              value={fields.event}
              onChange={(event) => onFields({ event: event.target.value as PreviewEvent })}
            >
              {EVENTS.map(([one, words]) => (
                <option key={one} value={one}>
                  {t(words)}
                </option>
              ))}
            </select>
          </label>
          {fields.event === "exited" && (
            <label>
              {t("Exit code (empty: any)")}
              <input
                className={controls.field}
                type="number"
                min={0}
                max={255}
                value={fields.exitCode}
                onChange={(event) => onFields({ exitCode: event.target.value })}
              />
            </label>
          )}
        </div>
      )}
      {(kind === "error_rate" || kind === "memory") && (
        <div className={panel.pair}>
          <Whole
            label={kind === "memory" ? t("Percentage of its limit") : t("Percentage of the requests")}
            name="percent"
            max={100}
            {...{ fields, onFields }}
          />
          {kind === "error_rate" && (
            <>
              <Seconds label={t("Within (seconds)")} {...{ fields, onFields }} />
              <Whole label={t("Minimum number of requests")} name="atLeast" max={10_000} {...{ fields, onFields }} />
            </>
          )}
        </div>
      )}
    </>
  );
}

interface NumberProps extends ConditionFieldsProps {
  label: string;
}

function Seconds(props: NumberProps): ReactNode {
  return <Whole {...props} name="seconds" max={86_400} />;
}

interface WholeProps extends NumberProps {
  name: "count" | "seconds" | "percent" | "atLeast";
  max: number;
}

function Whole({ label, name, max, fields, onFields }: WholeProps): ReactNode {
  return (
    <label>
      {label}
      <input
        className={controls.field}
        type="number"
        min={1}
        max={max}
        required
        value={fields[name]}
        onChange={(event) => onFields({ [name]: event.target.value })}
      />
    </label>
  );
}
