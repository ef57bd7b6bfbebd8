import { getCACertificates } from "node:tls";

/** The system's own store, PEM; where there is none (slim images), the roots that the runtime was built with. */
export function systemRoots(): readonly string[] {
  const system = getCACertificates("system");
  return system.length > 0 ? system : getCACertificates("bundled");
}
