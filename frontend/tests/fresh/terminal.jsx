import "@preview/react/style.css";

import { PreviewTerminal } from "@preview/react";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

createRoot(document.body).render(
  <StrictMode>
    <PreviewTerminal generationId="gen_1" style={{ height: 400 }} />
  </StrictMode>,
);
