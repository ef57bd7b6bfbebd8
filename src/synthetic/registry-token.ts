import { jsonAnswer, wrongMethod } from "./answer.ts";
import type { SyntheticMaker } from "./synthetic.ts";

/** The token server of a container registry (distribution's token specification): asked by GET, or by POST as OAuth2 is. */
export const registryToken: SyntheticMaker<"registry_token"> = (spec, ask, _body, { wallMs }) => {
  if (ask.method !== "GET" && ask.method !== "POST") return wrongMethod("GET, POST");
  return jsonAnswer(200, {
    token: spec.token,
    access_token: spec.token,
    token_type: "Bearer",
    expires_in: spec.expiresInSeconds,
    issued_at: new Date(wallMs()).toISOString(),
  });
};
