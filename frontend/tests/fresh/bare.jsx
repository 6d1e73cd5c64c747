import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

createRoot(document.body).render(<StrictMode>bare</StrictMode>);
