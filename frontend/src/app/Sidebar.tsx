import { type ReactNode, type RefObject, useRef, useState } from "react";

import { asProblem } from "../lib/api/problem";
import { Button, Dot, IconButton, Notice } from "../lib/ui/controls";
import { ago } from "../lib/ui/format";
import { pickInput, type Picked } from "./folder";
import styles from "./app.module.css";
import { isOn, type Project, type Projects } from "./useProjects";

interface SidebarProps {
  projects: Projects;
  selected: string | null;
  onSelect: (id: string) => void;
  onPick: (picked: Promise<Picked>) => void;
  /** New files of the selected project. */
  onReplace: (picked: Promise<Picked>) => void;
  isUploading: boolean;
}

/** The person's projects, and the place to drop another. */
export function Sidebar({ projects, selected, onSelect, onPick, onReplace, isUploading }: SidebarProps): ReactNode {
  const { list, problem, takesUploads } = projects;
  return (
    <nav className={styles.sidebar} aria-label="Projects">
      <h2 className={styles.sideTitle}>Projects</h2>
      {list?.length === 0 && <p className={styles.hint}>Nothing here yet.</p>}
      <ul className={styles.projects}>
        {list?.map((project) => (
          <li key={project.id}>
            <button
              type="button"
              className={styles.project}
              title={ageOf(project)}
              aria-current={project.id === selected ? "page" : undefined}
              onClick={() => onSelect(project.id)}
            >
              <Dot tone={toneOf(project)} />
              <span className={styles.projectName}>{project.name}</span>
              <span className={styles.projectState}>{stateOf(project)}</span>
            </button>
            {takesUploads && !isOn(project.preview) && project.id === selected && (
              <Remove project={project} onRemove={projects.remove} />
            )}
            {takesUploads && isOn(project.preview) && project.id === selected && (
              <Replace project={project} onReplace={onReplace} isUploading={isUploading} />
            )}
          </li>
        ))}
      </ul>
      {problem && <Notice tone="bad">{problem.message}</Notice>}
      {takesUploads && list !== null && list.length > 0 && <DropZone onPick={onPick} isUploading={isUploading} />}
    </nav>
  );
}

/** The changed folder of a project that runs: its files become these, and it is reloaded. */
function Replace({
  project,
  onReplace,
  isUploading,
}: { project: Project } & Pick<SidebarProps, "onReplace" | "isUploading">): ReactNode {
  const folder = useRef<HTMLInputElement>(null);
  return (
    <>
      <Button
        small
        kind="quiet"
        aria-label={`${isUploading ? "Uploading…" : "Replace files…"} of ${project.name}`}
        disabled={isUploading}
        onClick={() => folder.current?.click()}
      >
        {isUploading ? "Uploading…" : "Replace files…"}
      </Button>
      <input
        ref={folder}
        type="file"
        hidden
        aria-label="The changed folder"
        {...{ webkitdirectory: "" }}
        onChange={(event) => take(event.target, onReplace)}
      />
    </>
  );
}

/** Deletes the files that were uploaded, when it is pressed twice. */
function Remove({ project, onRemove }: { project: Project; onRemove: Projects["remove"] }): ReactNode {
  const [isAsked, setAsked] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  if (problem !== null) return <Notice tone="bad">{problem}</Notice>;
  if (!isAsked)
    return (
      <Button small kind="quiet" aria-label={`Remove ${project.name}`} onClick={() => setAsked(true)}>
        Remove…
      </Button>
    );
  return (
    <span className={styles.removing} role="alertdialog" aria-label={`Remove ${project.name}?`}>
      <span>Remove its files?</span>
      <Button small autoFocus onClick={() => setAsked(false)}>
        Cancel
      </Button>
      <Button
        small
        kind="danger"
        onClick={() => {
          onRemove(project.id).catch((error: unknown) => setProblem(asProblem(error).message));
        }}
      >
        Remove
      </Button>
    </span>
  );
}

export function DropZone({ onPick, isUploading }: Pick<SidebarProps, "onPick" | "isUploading">): ReactNode {
  const folder = useRef<HTMLInputElement>(null);
  const archive = useRef<HTMLInputElement>(null);
  return (
    <div className={styles.dropZone}>
      <p role="status">
        <strong>{isUploading ? "Uploading…" : "Drop a folder or a zip"}</strong>
        {isUploading ? "it is listed here when it is there" : "anywhere on this page"}
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
        onChange={(event) => take(event.target, onPick)}
      />
      <ArchiveInput field={archive} onPick={onPick} />
    </div>
  );
}

/** The way in where there is no room for the list: telephones pick a file, and have no folders to drop. */
export function UploadButton({ onPick, isUploading }: Pick<SidebarProps, "onPick" | "isUploading">): ReactNode {
  const archive = useRef<HTMLInputElement>(null);
  return (
    <span className={styles.uploadButton}>
      <IconButton
        icon="upload"
        label={isUploading ? "Uploading…" : "Upload a zip"}
        disabled={isUploading}
        onClick={() => archive.current?.click()}
      />
      <ArchiveInput field={archive} onPick={onPick} />
    </span>
  );
}

function ArchiveInput({ field, onPick }: { field: RefObject<HTMLInputElement | null> } & Pick<SidebarProps, "onPick">) {
  return (
    <input
      ref={field}
      type="file"
      hidden
      aria-label="A zip or tar.gz"
      accept=".zip,.tar.gz,.tgz,application/zip,application/gzip"
      onChange={(event) => take(event.target, onPick)}
    />
  );
}

function take(input: HTMLInputElement, onPick: SidebarProps["onPick"]): void {
  if (input.files && input.files.length > 0) onPick(pickInput(input.files));
  input.value = "";
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

/** The state in a word; of what has never run, when it came. */
function stateOf({ preview, createdAt }: Project): string {
  if (preview) return preview.status;
  return createdAt === null ? "" : `added ${ago(createdAt)}`;
}

function ageOf({ createdAt }: Project): string | undefined {
  return createdAt === null ? undefined : `Added ${ago(createdAt)}`;
}
