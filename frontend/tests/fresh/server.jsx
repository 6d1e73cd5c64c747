import {
  DataPanel,
  FailuresPanel,
  FilesPanel,
  LaunchPanel,
  PreviewClient,
  PreviewProvider,
  PreviewTerminal,
  RequestPanel,
  usePreview,
  usePreviewLogs,
} from "@preview/react";
import { StrictMode, version } from "react";
import { renderToString } from "react-dom/server";

function Badge() {
  const { instance } = usePreview("gen_1");
  const { logs, isConnected } = usePreviewLogs("gen_1");
  return <p>{`${instance === null} ${logs.length} ${isConnected}`}</p>;
}

export { version };

export function render() {
  const client = new PreviewClient({ baseUrl: "https://previews.example.com", token: () => "x" });
  return renderToString(
    <StrictMode>
      <PreviewProvider client={client}>
        <Badge />
        <LaunchPanel generationId="gen_1" name="Mine" />
        <PreviewTerminal generationId="gen_1" onLine={() => undefined} />
        <RequestPanel generationId="gen_1" />
        <FailuresPanel generationId="gen_1" />
        <FilesPanel generationId="gen_1" />
        <DataPanel generationId="gen_1" />
      </PreviewProvider>
    </StrictMode>,
  );
}
