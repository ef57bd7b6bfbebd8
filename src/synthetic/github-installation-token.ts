import { jsonAnswer, wrongMethod } from "./answer.ts";
import type { SyntheticMaker } from "./synthetic.ts";

/**
 * `POST /app/installations/{id}/access_tokens` of GitHub, for programs that hold a made-up app key. Permissions are those that
 * the real token has, which the edge does not know: none are claimed.
 */
export const githubInstallationToken: SyntheticMaker<"github_installation_token"> = (spec, ask, _body, { wallMs }) => {
  if (ask.method !== "POST") return wrongMethod("POST");
  const endMs = wallMs() + spec.expiresInSeconds * 1000;
  return jsonAnswer(201, {
    token: spec.token,
    expires_at: `${new Date(endMs).toISOString().slice(0, 19)}Z`,
    permissions: {},
    repository_selection: "selected",
  });
};
