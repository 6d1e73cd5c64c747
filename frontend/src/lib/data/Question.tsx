import { type ReactNode, useState } from "react";

import type { Snapshot } from "../api/data";
import { useTranslate } from "../texts/translate";
import controls from "../ui/controls.module.css";
import { Ask } from "../ui/Dialog";
import { bytes } from "../ui/format";
import type { PreviewSnapshots } from "../usePreviewSnapshots";
import styles from "./data.module.css";
import { timeOf, titleOf } from "./words";

/** Something that is asked before it is done. */
export type Asked =
  { kind: "restore" | "delete"; snapshot: Snapshot } | { kind: "fork"; snapshot: Snapshot | null } | { kind: "reset" };

interface QuestionProps {
  asked: Asked;
  /** The project's name. */
  name: string;
  snapshots: PreviewSnapshots;
  onClose: () => void;
}

/** Says what will happen, and does it if that is wanted. */
export function Question({ asked, name, snapshots, onClose }: QuestionProps): ReactNode {
  const t = useTranslate();
  const [forkName, setForkName] = useState(`${name}-fork`);
  switch (asked.kind) {
    case "restore":
      return (
        <Ask
          title={t("Restore “{snapshot}”?", { snapshot: titleOf(t, asked.snapshot) })}
          action={t("Restore")}
          onYes={() => void snapshots.restore(asked.snapshot)}
          onClose={onClose}
        >
          <p>
            {t(
              "The application is stopped, its files and databases are restored to {snapshot}, and it is started again. The code stays as it is now.",
              { snapshot: timeOf(asked.snapshot) },
            )}
          </p>
          <p>{t("The current data is saved as a snapshot first, so you can undo this.")}</p>
        </Ask>
      );
    case "delete":
      return (
        <Ask
          title={t("Delete “{snapshot}”?", { snapshot: titleOf(t, asked.snapshot) })}
          action={t("Delete")}
          onYes={() => void snapshots.remove(asked.snapshot)}
          onClose={onClose}
        >
          <p>
            {t("The snapshot ({size_bytes}) is deleted. {more}", {
              size_bytes: bytes(asked.snapshot.size_bytes),
              more:
                asked.snapshot.kind === "fork"
                  ? t(
                      "New previews of this project start with this data. After the deletion, they start with empty databases.",
                    )
                  : t("The data of a running preview stays as it is."),
            })}
          </p>
          <p>
            {t(
              "You can undo this while the service keeps deleted snapshots (by default a day): here, or with the command “preview snapshot undelete”.",
            )}
          </p>
        </Ask>
      );
    case "reset":
      return (
        <Ask title={t("Reset the data?")} action={t("Reset")} onYes={() => void snapshots.reset()} onClose={onClose}>
          <p>
            {t(
              "The application is stopped. Its files become those that were uploaded, its databases are emptied, and all setup steps (migrations, initial data) run again. Then it is started.",
            )}
          </p>
          <p>{t("The current data is saved as a snapshot first, so you can undo this.")}</p>
        </Ask>
      );
    case "fork":
      return (
        <Ask
          title={t("Fork into a new project")}
          action={t("Fork")}
          kind="primary"
          onYes={() => void snapshots.fork(asked.snapshot?.id ?? null, forkName.trim())}
          onClose={onClose}
        >
          <p>
            {t("The new project has the same source. {more}", {
              more: asked.snapshot
                ? t("Its previews begin with the data of “{snapshot}”.", { snapshot: titleOf(t, asked.snapshot) })
                : t("Its previews begin with the current data."),
            })}
          </p>
          <label className={styles.forkName}>
            {t("Name")}
            <input
              className={controls.field}
              value={forkName}
              required
              onChange={(event) => setForkName(event.target.value)}
            />
          </label>
        </Ask>
      );
  }
}
