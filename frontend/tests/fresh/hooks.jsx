import { usePreview, usePreviewLogs } from "@preview/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

function Badge() {
  const { instance } = usePreview("gen_1");
  const { logs } = usePreviewLogs("gen_1");
  return `${instance?.status} ${logs.length}`;
}

createRoot(document.body).render(
  <StrictMode>
    <Badge />
  </StrictMode>,
);
