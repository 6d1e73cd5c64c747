import type { PreviewClient } from "./client";
import { of } from "./transport";
import type { FilesChanged } from "./types";

export interface StoredFile {
  path: string;
  size_bytes: number;
  sha256: string;
  /** Whether the content is UTF-8 text. */
  is_text: boolean;
}

export interface FileListing {
  files: StoredFile[];
  /** Covers all files; for `If-Match`. */
  etag: string;
}

export type NewContent = string | { base64: string };

export interface FilesEdit {
  files?: Record<string, NewContent>;
  remove?: string[];
}

export type FilesSaved = FilesChanged & { etag: string };

export type ArchiveFormat = "zip" | "tar.gz";

/** The files, in the order of their paths. With the tag of an earlier listing, rejects with status 304 if it still holds. */
export function listFiles(
  client: PreviewClient,
  generationId: string,
  known?: string,
  signal?: AbortSignal,
): Promise<FileListing> {
  return client.json(of(generationId, "/files"), {
    ...(known !== undefined && { headers: { "If-None-Match": known } }),
    ...(signal && { signal }),
  });
}

export async function readFile(
  client: PreviewClient,
  generationId: string,
  path: string,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts = path.split("/").map(encodeURIComponent).join("/");
  const response = await client.send(of(generationId, `/files/${parts}`), signal ? { signal } : {});
  return new Uint8Array(await response.arrayBuffer());
}

/** Write and remove files in one step. Rejects with status 412 if the files are not those of the tag any more. */
export async function changeFiles(
  client: PreviewClient,
  generationId: string,
  edit: FilesEdit,
  etag: string,
): Promise<FilesSaved> {
  try {
    return await client.json<FilesSaved>(of(generationId, "/files"), {
      method: "PATCH",
      json: edit,
      headers: { "If-Match": etag },
    });
  } finally {
    client.noteChange(generationId);
  }
}

/** All files as one archive, with a name for it. */
export async function readArchive(
  client: PreviewClient,
  generationId: string,
  format: ArchiveFormat,
): Promise<{ name: string; content: Blob }> {
  const response = await client.send(of(generationId, `/archive?format=${format}`));
  const named = /filename="([\w.-]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1];
  return { name: named ?? `${generationId}.${format}`, content: await response.blob() };
}
