import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";

/** What `npm ci` on any machine rests on. */

interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
  readonly dev?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const root = resolve(import.meta.dirname, "..");
const lock = JSON.parse(await readFile(join(root, "package-lock.json"), "utf8")) as {
  packages: Readonly<Record<string, Locked>>;
};
const manifest = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
};
const packages = Object.entries(lock.packages).filter(([path]) => path !== "");

describe("the lock file", () => {
  test("versions in package.json are exact and the locked ones", () => {
    for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
      expect(version).toMatch(/^\d+\.\d+\.\d+$/);
      expect([name, lock.packages[`node_modules/${name}`]?.version]).toEqual([name, version]);
    }
  });

  // npm 11 refuses an install whose lock lacks one, and drops those of other platforms when it writes the lock (npm/cli#4828).
  test("holds every optional dependency of every platform", () => {
    const missing = packages.flatMap(([path, { optionalDependencies = {} }]) =>
      Object.keys(optionalDependencies).filter((name) => !placesOf(path, name).some((place) => place in lock.packages)),
    );
    expect(missing).toEqual([]);
    expect(packages.filter(([, { version, link }]) => version === undefined && link !== true)).toEqual([]);
  });

  // An entry without a hash is installed unchecked on the one platform that takes it.
  test("has a hash for every package, so that a registry cannot serve another one", () => {
    const unhashed = packages.filter(([, { integrity }]) => integrity?.startsWith("sha512-") !== true);
    // mockttp names it as optional and does without it; the registry that the lock was made from does not have this version.
    expect(unhashed.map(([path]) => path)).toEqual(["node_modules/tls-impersonate"]);
  });

  test("names no registry: whichever npm is set to serves", () => {
    expect(packages.filter(([, { resolved }]) => resolved !== undefined).map(([path]) => path)).toEqual([]);
  });

  test("nothing that the package runs with has an install script", () => {
    const scripts = packages.filter(([, { hasInstallScript, dev }]) => hasInstallScript === true && dev !== true);
    expect(scripts.map(([path]) => path)).toEqual([]);
  });
});

/** Where Node would look for `name` from inside `path`, nearest first. */
function placesOf(path: string, name: string): string[] {
  const parts = path.split("node_modules/");
  return parts.map((_, i) =>
    `${parts.slice(0, parts.length - i).join("node_modules/")}/node_modules/${name}`.replace(/^\/|(?<=\/)\/+/g, ""),
  );
}
