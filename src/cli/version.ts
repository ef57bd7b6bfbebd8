import manifest from "../../package.json" with { type: "json" };

/** Version of the package, as package.json has it. */
export function version(): string {
  return manifest.version;
}
