import { defineConfig } from "rolldown";

/**
 * `dist/`: the sources gathered into a few modules, packages left where npm puts them (docs/decisions/0031). All lie in one folder,
 * where a program that is started as a process of its own is found beside whoever starts it, as in `src/`.
 */
export default defineConfig({
  input: ["src/main.ts", "src/cli/read-config/program.ts"],
  platform: "node",
  external: (id) => !/^[./]/.test(id),
  output: {
    dir: "dist",
    cleanDir: true,
    chunkFileNames: "[name].js",
    comments: { legal: true, annotation: false, jsdoc: false },
  },
});
