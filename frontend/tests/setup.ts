import { configure } from "@testing-library/react";

// A busy machine: its first rendering of a page may take longer than the library's one second.
configure({ asyncUtilTimeout: 30_000 });
