import { type ReactNode, useState } from "react";

import type { Snapshot } from "../api/data";
import type { PreviewClient } from "../api/client";
import { listVersions, type Version } from "../api/history";
import { compare, type CompareSide, type Comparison } from "../api/replay";
import { type Preset, readEnvironment } from "../api/settings";
import type { Generation } from "../api/types";
import { usePreviewClient } from "../context";
import { useTranslate, type Translate } from "../texts/translate";
import { Button } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { ago } from "../ui/format";
import { News } from "../ui/News";
import panel from "../ui/panel.module.css";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import { CompareResult } from "./CompareResult";

const MOST_VERSIONS = 20;

export interface ComparePanelProps {
  generationId: string;
  client?: PreviewClient | undefined;
}

interface Choice {
  key: string;
  label: string;
  side: CompareSide;
}

/** Recorded requests, sent to two versions of a project; the endpoints whose answers differ. */
export function ComparePanel(props: ComparePanelProps): ReactNode {
  const t = useTranslate();
  const { generationId } = props;
  const client = usePreviewClient(props.client);
  const action = useAction();
  const [[first, second], choose] = useState<[string | null, string | null]>([null, null]);
  const [filter, setFilter] = useState("");
  const [result, setResult] = useState<Comparison | null>(null);
  const found = useLoad(generationId, async () => {
    const [generations, versions, snapshots, settings] = await Promise.allSettled([
      client.generations(),
      listVersions(client, generationId),
      client.data.snapshots(generationId),
      readEnvironment(client, generationId),
    ]);
    if (generations.status === "rejected") throw generations.reason;
    return choicesOf(
      t,
      generationId,
      generations.value,
      versions.status === "fulfilled" ? versions.value.items : [],
      snapshots.status === "fulfilled" ? snapshots.value : [],
      settings.status === "fulfilled" ? settings.value.presets : [],
    );
  });
  const choices = found.value ?? [];
  const [usualFirst, usualSecond] = usualSides(choices);
  const a = choices.find((one) => one.key === first) ?? usualFirst;
  const b = choices.find((one) => one.key === second) ?? usualSecond;
  const run = (ignore?: string[]): void => {
    if (!a || !b) return;
    const words = filter.trim();
    void action.run(t("Comparing: both versions are started as hidden copies…"), async () => {
      const sides = { a: a.side, b: b.side, ...(words && { filter: words }), ...(ignore && { ignore }) };
      setResult(await compare(client, generationId, sides));
      return undefined;
    });
  };
  return (
    <div className={panel.scroll}>
      <form
        className={panel.form}
        aria-label={t("Compare")}
        onSubmit={(event) => {
          event.preventDefault();
          run();
        }}
      >
        <p className={panel.hint} style={{ padding: 0 }}>
          {t(
            "The recorded requests of the first version are sent to copies of both. Values that change every time are ignored.",
          )}
        </p>
        <div className={panel.pair}>
          <Side label={t("First version")} choices={choices} value={a?.key} onChoose={(key) => choose([key, second])} />
          <Side label={t("Second version")} choices={choices} value={b?.key} onChoose={(key) => choose([first, key])} />
        </div>
        <label>
          {t("Requests: a filter (without one, the newest 50)")}
          <input
            className={controls.field}
            placeholder="method:GET path:/books*"
            spellCheck={false}
            value={filter}
            onChange={(event) => setFilter(event.target.value)}
          />
        </label>
        <div className={panel.wrap}>
          <Button kind="primary" icon="play" type="submit" disabled={action.busy !== null || !a || !b}>
            {t("Compare")}
          </Button>
          {found.problem && <span className={panel.fact}>{found.problem.message}</span>}
          {a && b && a.key === b.key && <span className={panel.fact}>{t("Both are the same version.")}</span>}
        </div>
      </form>
      <News action={action} />
      {result && <CompareResult client={client} generationId={generationId} result={result} onAgain={() => run()} />}
    </div>
  );
}

interface SideProps {
  label: string;
  choices: readonly Choice[];
  value: string | undefined;
  onChoose: (key: string) => void;
}

function Side({ label, choices, value, onChoose }: SideProps): ReactNode {
  return (
    <label>
      {label}
      <select className={controls.field} value={value ?? ""} onChange={(event) => onChoose(event.target.value)}>
        {choices.map((one) => (
          <option key={one.key} value={one.key}>
            {one.label}
          </option>
        ))}
      </select>
    </label>
  );
}

/** An earlier version with this one, else this project, whose requests are recorded, with another one. */
export function usualSides(choices: readonly Choice[]): [Choice | undefined, Choice | undefined] {
  const [now] = choices;
  const earlier = choices.find((one) => one.side.version !== undefined);
  if (earlier) return [earlier, now];
  return [now, choices.find((one) => one.side.generation !== now?.side.generation) ?? now];
}

/** This project as it is now comes first, then its earlier versions (the newest first), its presets, its data of each snapshot, then all other projects. */
export function choicesOf(
  t: Translate,
  generationId: string,
  generations: readonly Generation[],
  versions: readonly Version[],
  snapshots: readonly Snapshot[],
  presets: readonly Preset[],
): Choice[] {
  const active = presets.find((one) => one.active);
  return [
    { key: "now", label: t("this project"), side: { generation: generationId } },
    ...versions.slice(1, 1 + MOST_VERSIONS).map((one) => ({
      key: t("version {number}", { number: one.number }),
      label: t("this project, version {number} ({created_at})", {
        number: one.number,
        created_at: ago(t, one.created_at),
      }),
      side: { generation: generationId, version: one.number },
    })),
    ...presets
      .filter((one) => one !== active)
      .map((one) => ({
        key: t("preset {name}", { name: one.name }),
        label: t("this project with the preset “{name}”", { name: visible(one.name) }),
        side: { generation: generationId, preset: one.name },
      })),
    ...(active
      ? [
          {
            key: t("no preset"),
            label: t("this project without a preset"),
            side: { generation: generationId, preset: "" },
          },
        ]
      : []),
    ...snapshots.map((one) => ({
      key: one.id,
      label: t("this project with the data “{name}” ({created_at})", {
        name: visible(one.name || "snapshot"),
        created_at: ago(t, one.created_at),
      }),
      side: { generation: generationId, snapshot: one.id },
    })),
    ...generations
      .filter((one) => one.id !== generationId)
      .map((one) => ({
        key: one.id,
        label: `${visible(one.name)} (${ago(t, one.created_at)})`,
        side: { generation: one.id },
      })),
  ];
}
