import type { PosternConfig } from "../../config/config.ts";
import { loadCa } from "../../tls/ca-files.ts";
import type { CertificateAuthority } from "../../tls/certificate-authority.ts";
import type { EdgeSystem } from "./system.ts";

/** The CA of this edge, checked; `null` only where the config names none. @throws CaError */
export function loadCaOf(config: PosternConfig, system: EdgeSystem): CertificateAuthority | null {
  if (system.ca !== null) return system.ca;
  return config.ca === null ? null : loadCa(config.ca, system.clock.wallMs());
}
