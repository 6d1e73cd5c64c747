// Another React app that embeds the pieces, as its author would write it: from the built package.
import "@preview/react/style.css";

import { useMemo } from "react";

import {
  DataPanel,
  LaunchPanel,
  PreviewClient,
  PreviewProvider,
  PreviewTerminal,
  RequestPanel,
  usePreview,
  usePreviewLogs,
  usePreviewSnapshots,
} from "@preview/react";

export function Studio({ service, token }: { service: string; token: string }) {
  const client = useMemo(() => new PreviewClient({ baseUrl: service, token: () => token }), [service, token]);
  return (
    <PreviewProvider client={client}>
      <h1>Studio</h1>
      <Badge generationId="gen_1" />
      <LaunchPanel generationId="gen_1" name="My backend" />
      <PreviewTerminal generationId="gen_1" style={{ height: 400 }} />
      <RequestPanel generationId="gen_1" />
      <DataPanel generationId="gen_1" />
    </PreviewProvider>
  );
}

function Badge({ generationId }: { generationId: string }) {
  const { instance } = usePreview(generationId);
  const { snapshots } = usePreviewSnapshots(generationId);
  const { lines, connection } = usePreviewLogs(generationId, { limit: 3 });
  return (
    <p data-testid="badge">
      {instance?.status ?? "none"} {connection.phase} {lines.map((one) => one.message).join(",")} {snapshots?.length}
    </p>
  );
}
