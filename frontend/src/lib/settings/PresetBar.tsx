import { type ReactNode, type SubmitEvent, useState } from "react";

import type { PreviewClient } from "../api/client";
import { addPreset, type ProjectEnvironment, removePreset } from "../api/settings";
import { useTranslate } from "../texts/translate";
import { Button } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { Ask, Dialog } from "../ui/Dialog";
import panel from "../ui/panel.module.css";
import { visible } from "../ui/visible";
import styles from "./settings.module.css";

export type Run = (busy: string, act: () => Promise<string | undefined>) => void;

interface PresetBarProps {
  client: PreviewClient;
  environment: ProjectEnvironment;
  /** The preset that is shown; null: the project's own settings. */
  layer: string | null;
  isBusy: boolean;
  onLayer: (name: string | null) => void;
  onUse: (name: string | null) => void;
  run: Run;
}

/** Chooses the preset that is shown, and the one that is used. */
export function PresetBar(props: PresetBarProps): ReactNode {
  const t = useTranslate();
  const { client, environment, layer, isBusy, onLayer, run } = props;
  const [open, setOpen] = useState<"add" | "remove" | null>(null);
  const close = (): void => setOpen(null);
  const isUsed = environment.active_preset === layer;
  return (
    <div className={styles.presets}>
      <div className={styles.layers} role="group" aria-label={t("Settings to show")}>
        {[null, ...environment.presets.map((one) => one.name)].map((name) => (
          <button
            key={name ?? ""}
            type="button"
            className={styles.layer}
            aria-pressed={layer === name}
            onClick={() => onLayer(name)}
          >
            {name === null ? t("Project") : visible(name)}
            {name !== null && environment.active_preset === name && (
              <span className={panel.badge} data-tone="good">
                {t("in use")}
              </span>
            )}
          </button>
        ))}
        <Button small kind="quiet" icon="plus" disabled={isBusy} onClick={() => setOpen("add")}>
          {t("Preset")}
        </Button>
      </div>
      {environment.presets.length > 0 && (
        <div className={panel.wrap}>
          <p className={styles.layerHint}>
            {layer === null
              ? t("These apply to every launch; a preset overrides them.")
              : t("These override the project's own settings while the preset is in use.")}
          </p>
          {!isUsed && (
            <Button small kind="primary" disabled={isBusy} onClick={() => props.onUse(layer)}>
              {layer === null ? t("Use no preset") : t("Use this preset")}
            </Button>
          )}
          {layer !== null && (
            <Button small kind="danger" disabled={isBusy} onClick={() => setOpen("remove")}>
              {t("Delete")}
            </Button>
          )}
        </div>
      )}
      {open === "add" && (
        <NewPreset
          environment={environment}
          onClose={close}
          onAdd={(name, copyOf) => {
            close();
            run(t("Saving…"), async () => {
              await addPreset(client, environment.project_id, name, copyOf);
              onLayer(name);
              return t("The preset {name} was created.", { name });
            });
          }}
        />
      )}
      {open === "remove" && layer !== null && (
        <Ask
          title={t("Delete the preset {layer}?", { layer: visible(layer) })}
          action={t("Delete")}
          onClose={close}
          onYes={() =>
            run(t("Deleting…"), async () => {
              await removePreset(client, environment.project_id, layer);
              onLayer(null);
              return t("The preset was deleted.");
            })
          }
        >
          <p>{t("Its variables and secrets are deleted. This cannot be undone.")}</p>
        </Ask>
      )}
    </div>
  );
}

interface NewPresetProps {
  environment: ProjectEnvironment;
  onClose: () => void;
  onAdd: (name: string, copyOf: string | null) => void;
}

function NewPreset({ environment, onClose, onAdd }: NewPresetProps): ReactNode {
  const t = useTranslate();
  const [name, setName] = useState("");
  const [source, setSource] = useState("");
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    onAdd(name.trim(), source || null);
  };
  return (
    <Dialog title={t("A new preset")} onClose={onClose}>
      <form className={panel.form} onSubmit={submit}>
        <label>
          {t("Name")}
          <input
            className={controls.field}
            required
            maxLength={64}
            pattern="[A-Za-z0-9][A-Za-z0-9._\-]*"
            title={t("Letters, digits, '.', '_' and '-'")}
            placeholder={t("staging")}
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
        </label>
        {environment.presets.length > 0 && (
          <label>
            {t("Copy from")}
            <select className={controls.field} value={source} onChange={(event) => setSource(event.target.value)}>
              <option value="">{t("nothing")}</option>
              {environment.presets.map((one) => (
                <option key={one.name}>{one.name}</option>
              ))}
            </select>
          </label>
        )}
        <div className={controls.dialogButtons}>
          <Button kind="primary" type="submit">
            {t("Create preset")}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
