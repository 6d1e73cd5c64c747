import { type ReactNode, useEffect, useState } from "react";

import type { PreviewClient } from "../api/client";
import { changeEnvironment, type ProjectEnvironment, readEnvironment } from "../api/settings";
import { usePreviewClient } from "../context";
import { useTranslate } from "../texts/translate";
import { Button, IconButton, Notice } from "../ui/controls";
import { News } from "../ui/News";
import { Panel, type PanelProps } from "../ui/Panel";
import panel from "../ui/panel.module.css";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import { usePreview } from "../usePreview";
import { ComparePresets } from "./ComparePresets";
import { DetectedList } from "./DetectedList";
import { PresetBar } from "./PresetBar";
import type { WantedOption } from "./start";
import { StartOptionsForm } from "./StartOptionsForm";
import { VariableList } from "./VariableList";

export interface SettingsPanelProps extends PanelProps {
  client?: PreviewClient | undefined;
  /** Called to show a line of a file. */
  onOpenFile?: ((path: string, line: number) => void) | undefined;
  /** How often the variable that a failed launch missed was asked for: each time its field is opened. */
  asked?: number | undefined;
}

/** Launch settings of a generation's project: variables, secrets, presets, start options. It fills its parent. */
export function SettingsPanel(props: SettingsPanelProps): ReactNode {
  const t = useTranslate();
  const { generationId } = props;
  const client = usePreviewClient(props.client);
  const { instance, isLoaded } = usePreview(generationId, { client, poll: false });
  const loaded = useLoad(
    isLoaded ? generationId : null,
    (signal) => readEnvironment(client, generationId, signal),
    `${instance?.id ?? ""} ${instance?.status ?? ""}`,
  );
  const action = useAction();
  // “It applies at the next launch” is over with that launch.
  const { dismiss } = action;
  useEffect(dismiss, [dismiss, instance?.id]);
  // Undefined: the preset in use, if there is one.
  const [chosen, setChosen] = useState<string | null>();
  const [wanted, setWanted] = useState({ name: "", round: 0 });
  const [option, setOption] = useState<WantedOption | null>(null);
  const found = loaded.value;
  const layerName = chosen === undefined ? (found?.active_preset ?? null) : chosen;
  const preset = found?.presets.find((one) => one.name === layerName);
  const layer = preset ?? found?.settings;
  const running = found?.running.find((one) => one.generation_id === generationId);
  const run = (busy: string, act: () => Promise<string | undefined>): void =>
    void action.run(busy, async () => {
      const said = await act();
      loaded.refresh();
      return said;
    });
  const restart = (): Promise<string> =>
    client.restart(generationId).then(() => t("The preview runs with the saved settings."));
  const saved = running ? t("Saved.") : t("Saved. It applies at the next launch.");
  const [answered, setAnswered] = useState(0);
  const asked = props.asked ?? 0;
  if (found && asked !== answered) {
    setAnswered(asked);
    const missing = instance?.status === "failed" ? missingVariable(found, instance.reason) : undefined;
    if (missing) setWanted({ name: missing, round: wanted.round + 1 });
  }
  const show = (name: string | null): void => {
    setChosen(name);
    setOption(null);
    setWanted({ ...wanted, name: "" });
  };
  const use = (name: string | null): void => {
    show(name);
    run(name === null ? t("Switching off the preset…") : t("Switching to {name}…", { name }), async () => {
      await changeEnvironment(client, found?.project_id ?? "", null, { active_preset: name ?? "" });
      return running ? restart() : saved;
    });
  };
  // What was just done is newer than what was read before it.
  const isOutdated = loaded.isLoading && action.done !== null;
  return (
    <Panel {...props} label={t("Settings")}>
      <div className={panel.scroll}>
        <div className={panel.bar}>
          <h3>{t("Settings of the project")}</h3>
          <span className={panel.spring} />
          <IconButton icon="restart" label={t("Refresh")} onClick={loaded.refresh} />
        </div>
        <News action={action} />
        {loaded.problem && (
          <div className={panel.pad}>
            <Notice tone="bad" role="alert">
              {loaded.problem.message}
            </Notice>
          </div>
        )}
        {!found && !loaded.problem && <p className={panel.none}>{t("Loading…")}</p>}
        {found?.problem && (
          <div className={panel.pad}>
            <Notice tone="bad">{found.problem}</Notice>
          </div>
        )}
        {running && !running.is_current && !isOutdated && (
          <div className={panel.pad}>
            <Notice
              tone="warn"
              actions={
                <Button
                  small
                  icon="restart"
                  disabled={action.busy !== null}
                  onClick={() => run(t("Restarting…"), restart)}
                >
                  {t("Restart to apply")}
                </Button>
              }
            >
              {t("The running preview was started with other settings{more}.", {
                more:
                  running.preset === found?.active_preset
                    ? ""
                    : t(" (preset {preset})", { preset: visible(running.preset ?? "none") }),
              })}
            </Notice>
          </div>
        )}
        {found && layer && (
          <>
            <PresetBar
              client={client}
              environment={found}
              layer={preset?.name ?? null}
              isBusy={action.busy !== null}
              onLayer={show}
              onUse={use}
              run={run}
            />
            <VariableList
              key={`${preset?.name ?? ""} ${wanted.round}`}
              client={client}
              projectId={found.project_id}
              preset={preset?.name ?? null}
              layer={layer}
              wanted={wanted.name}
              isRunning={running !== undefined}
              saved={saved}
              isBusy={action.busy !== null}
              restart={restart}
              run={run}
            />
            <DetectedList
              environment={found}
              onSet={(name) => setWanted({ name, round: wanted.round + 1 })}
              onOption={setOption}
              onOpenFile={props.onOpenFile}
            />
            <StartOptionsForm
              key={`start ${preset?.name ?? ""} ${JSON.stringify([layer.start, layer.memory_mb])}`}
              layer={layer}
              isBusy={action.busy !== null}
              wanted={option}
              onSave={(change) => {
                setOption(null);
                run(t("Saving…"), async () => {
                  await changeEnvironment(client, found.project_id, preset?.name ?? null, change);
                  return saved;
                });
              }}
            />
            {found.presets.length > 0 && <ComparePresets client={client} environment={found} />}
          </>
        )}
      </div>
    </Panel>
  );
}

/** The first variable that has a placeholder, and that the reason of a failure names. */
function missingVariable({ detected }: ProjectEnvironment, reason: string | null): string | undefined {
  const words = new Set(reason?.match(/\w+/g));
  return detected?.entries.find((one) => one.kind === "variable" && one.made_up && words.has(one.name))?.name;
}
