import { of, type Transport } from "./transport";
import type { Generation } from "./types";

/** A server that a preview has of its own. */
export interface DataServer {
  kind: string;
  /** Program and version: `PostgreSQL 15.13`. */
  version: string;
  connections: number;
  /** Null: not used yet. */
  size_bytes: number | null;
}

export interface DataTable {
  name: string;
  /** May be an estimate; null where it is not known. */
  rows: number | null;
  size_bytes: number | null;
}

/** A database of a preview, with its tables. */
export interface DataDatabase {
  /** `postgresql`, `mysql`, or `sqlite:` and a path in the project. */
  id: string;
  kind: string;
  name: string;
  size_bytes: number | null;
  tables: DataTable[];
  /** A sentence; why its tables cannot be listed. */
  problem: string | null;
}

/** Rows in the server's own text; null is NULL. */
interface Rows {
  columns: { name: string; type: string }[];
  rows: (string | null)[][];
}

export interface TableRows extends Rows {
  offset: number;
  has_more: boolean;
}

export interface QueryRows extends Rows {
  /** Whether there are more rows, or longer values. */
  is_cut: boolean;
  elapsed_ms: number;
}

export type SnapshotKind = "manual" | "before_restore" | "before_reset" | "before_move" | "fork";

export interface SnapshotPart {
  /** `files`, or the kind of a database: `PostgreSQL`. */
  kind: string;
  size_bytes: number;
  files: number | null;
}

/** A preview's files and databases at one moment. */
export interface Snapshot {
  id: string;
  generation_id: string;
  name: string;
  kind: SnapshotKind;
  created_at: string;
  size_bytes: number;
  sha256: string;
  parts: SnapshotPart[];
}

/** The result of a restore or a reset. */
export interface Replaced {
  /** The data that was replaced: restore it to undo this. Null where nothing was stored. */
  before: Snapshot | null;
  elapsed_ms: number;
}

export type ChangeKind = "added" | "removed" | "changed";

export interface FileChange {
  path: string;
  change: ChangeKind;
  size_before: number | null;
  size_after: number | null;
}

export interface RowSample {
  change: ChangeKind;
  before: Record<string, unknown> | null;
  after: Record<string, unknown> | null;
}

export interface TableChange {
  name: string;
  added: number;
  changed: number;
  removed: number;
  samples: RowSample[];
  note: string | null;
}

/** The changes from one snapshot to another, or to the data of now. */
export interface SnapshotDiff {
  files: FileChange[];
  databases: { name: string; tables: TableChange[] }[];
  is_cut: boolean;
}

/** The data of previews: databases, read-only statements and snapshots. All methods reject with `Problem`. */
export class DataClient {
  readonly #transport: Transport;
  readonly #changed: (generationId: string) => void;

  constructor(transport: Transport, changed: (generationId: string) => void) {
    this.#transport = transport;
    this.#changed = changed;
  }

  // A running preview's databases

  async servers(generationId: string): Promise<DataServer[]> {
    return (await this.#transport.json<{ services: DataServer[] }>(of(generationId, "/preview/services"))).services;
  }

  async databases(generationId: string): Promise<DataDatabase[]> {
    return (await this.#transport.json<{ databases: DataDatabase[] }>(of(generationId, "/preview/data"))).databases;
  }

  rows(
    generationId: string,
    table: { database: string; table: string; offset: number; limit: number },
    signal?: AbortSignal,
  ): Promise<TableRows> {
    const query = new URLSearchParams({
      database: table.database,
      table: table.table,
      offset: String(table.offset),
      limit: String(table.limit),
    });
    return this.#transport.json(of(generationId, `/preview/data/rows?${query.toString()}`), signal ? { signal } : {});
  }

  query(
    generationId: string,
    query: { database?: string; sql: string; limit?: number },
    signal?: AbortSignal,
  ): Promise<QueryRows> {
    const call = { method: "POST", json: query, ...(signal && { signal }) };
    return this.#transport.json(of(generationId, "/preview/data/query"), call);
  }

  /** Replace the data by that of a launch: files as uploaded, empty databases, all steps again. */
  reset(generationId: string): Promise<Replaced> {
    return this.#change(generationId, "/preview/data/reset");
  }

  // Snapshots

  async snapshots(generationId: string): Promise<Snapshot[]> {
    return (await this.#transport.json<{ snapshots: Snapshot[] }>(of(generationId, "/preview/snapshots"))).snapshots;
  }

  saveSnapshot(generationId: string, name: string): Promise<Snapshot> {
    return this.#change(generationId, "/preview/snapshots", { name });
  }

  restoreSnapshot(generationId: string, snapshotId: string): Promise<Replaced> {
    return this.#change(generationId, `/preview/snapshots/${encodeURIComponent(snapshotId)}/restore`);
  }

  async deleteSnapshot(generationId: string, snapshotId: string): Promise<void> {
    try {
      const path = of(generationId, `/preview/snapshots/${encodeURIComponent(snapshotId)}`);
      await this.#transport.send(path, { method: "DELETE" });
    } finally {
      this.#changed(generationId);
    }
  }

  /** Undo the deletion of a snapshot. */
  undeleteSnapshot(generationId: string, snapshotId: string): Promise<Snapshot> {
    return this.#change(generationId, `/preview/snapshots/${encodeURIComponent(snapshotId)}/undelete`);
  }

  /** The changes from snapshot `before` to snapshot `after`, or to the running preview (`now`). */
  diff(generationId: string, before: string, after: string, signal?: AbortSignal): Promise<SnapshotDiff> {
    const path = `/preview/snapshots/${encodeURIComponent(before)}/diff/${encodeURIComponent(after)}`;
    return this.#transport.json(of(generationId, path), signal ? { signal } : {});
  }

  /** Make a new generation whose previews begin with a snapshot's data; null: the running preview's data. */
  fork(generationId: string, snapshotId: string | null, name: string): Promise<Generation> {
    return this.#change(generationId, "/fork", { snapshot: snapshotId, name });
  }

  async #change<T>(generationId: string, path: string, json: unknown = {}): Promise<T> {
    try {
      return await this.#transport.json<T>(of(generationId, path), { method: "POST", json });
    } finally {
      this.#changed(generationId);
    }
  }
}
