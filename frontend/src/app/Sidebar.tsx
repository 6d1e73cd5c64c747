import { type ReactNode, useRef } from "react";

import { Button, Dot, Notice } from "../lib/ui/controls";
import { pickInput, type Picked } from "./folder";
import styles from "./app.module.css";
import type { Project, Projects } from "./useProjects";

interface SidebarProps {
  projects: Projects;
  selected: string | null;
  onSelect: (id: string) => void;
  onPick: (picked: Promise<Picked>) => void;
  isUploading: boolean;
}

/** The person's projects, and the place to drop another. */
export function Sidebar({ projects, selected, onSelect, onPick, isUploading }: SidebarProps): ReactNode {
  const { list, problem, takesUploads } = projects;
  return (
    <nav className={styles.sidebar} aria-label="Projects">
      <h2 className={styles.sideTitle}>Projects</h2>
      {list?.length === 0 && <p className={styles.hint}>Nothing here yet.</p>}
      {problem && <Notice tone="bad">{problem.message}</Notice>}
      <ul className={styles.projects}>
        {list?.map((project) => (
          <li key={project.id}>
            <button
              type="button"
              className={styles.project}
              aria-current={project.id === selected ? "page" : undefined}
              onClick={() => onSelect(project.id)}
            >
              <Dot tone={toneOf(project)} />
              <span className={styles.projectName}>{project.name}</span>
              <span className={styles.projectState}>{stateOf(project)}</span>
            </button>
          </li>
        ))}
      </ul>
      {takesUploads && list !== null && list.length > 0 && <DropZone onPick={onPick} isUploading={isUploading} />}
    </nav>
  );
}

export function DropZone({ onPick, isUploading }: Pick<SidebarProps, "onPick" | "isUploading">): ReactNode {
  const folder = useRef<HTMLInputElement>(null);
  const archive = useRef<HTMLInputElement>(null);
  const take = (input: HTMLInputElement): void => {
    if (input.files && input.files.length > 0) onPick(pickInput(input.files));
    input.value = "";
  };
  return (
    <div className={styles.dropZone}>
      <p>
        <strong>{isUploading ? "Uploading…" : "Drop a folder or a zip"}</strong>
        anywhere on this page
      </p>
      <div className={styles.dropButtons}>
        <Button small icon="folder" disabled={isUploading} onClick={() => folder.current?.click()}>
          Folder
        </Button>
        <Button small icon="upload" disabled={isUploading} onClick={() => archive.current?.click()}>
          Zip
        </Button>
      </div>
      <input
        ref={folder}
        type="file"
        hidden
        aria-label="A folder"
        {...{ webkitdirectory: "" }}
        onChange={(event) => take(event.target)}
      />
      <input
        ref={archive}
        type="file"
        hidden
        aria-label="A zip or tar.gz"
        accept=".zip,.tar.gz,.tgz,application/zip,application/gzip"
        onChange={(event) => take(event.target)}
      />
    </div>
  );
}

function toneOf({ preview }: Project): "good" | "busy" | "bad" | "idle" {
  switch (preview?.status) {
    case "running":
      return "good";
    case "starting":
    case "stopping":
      return "busy";
    case "failed":
      return "bad";
    default:
      return "idle";
  }
}

function stateOf({ preview, createdAt }: Project): string {
  if (preview && preview.status !== "stopped") return preview.status;
  return createdAt === null ? "" : ago(createdAt);
}

function ago(time: string): string {
  const minutes = Math.floor((Date.now() - Date.parse(time)) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return new Date(time).toLocaleDateString();
}
