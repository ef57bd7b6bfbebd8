import type { PosternConfig } from "../../config/config.ts";
import { CaError } from "../../tls/ca-error.ts";
import { loadCa } from "../../tls/ca-files.ts";
import type { CertificateAuthority } from "../../tls/certificate-authority.ts";
import { CommandFailure, EXIT } from "../command.ts";
import type { EdgeSystem } from "./system.ts";

/** The CA of this edge, checked; `null` only where the config names none. @throws CommandFailure: the config names no CA that serves */
export function loadCaOf(config: PosternConfig, system: EdgeSystem): CertificateAuthority | null {
  if (system.ca !== null) return system.ca;
  try {
    return config.ca === null ? null : loadCa(config.ca, system.clock.wallMs());
  } catch (error) {
    if (error instanceof CaError) throw new CommandFailure(error.message, EXIT.usage);
    throw error;
  }
}
