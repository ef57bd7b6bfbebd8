import type { SyntheticSpec } from "../core/destination.ts";
import type { SyntheticAnswer } from "../core/ports.ts";
import { textAnswer, wrongMethod } from "./answer.ts";
import { Parameters } from "./form.ts";
import type { SyntheticMaker, SyntheticTools } from "./synthetic.ts";

type Spec = Extract<SyntheticSpec, { readonly as: "aws_sts" }>;

/** Actions that hand out keys, and whether they name the role that was taken. */
const ISSUING: ReadonlyMap<string, "role" | "plain"> = new Map([
  ["AssumeRole", "role"],
  ["AssumeRoleWithWebIdentity", "role"],
  ["GetSessionToken", "plain"],
]);

/**
 * AWS STS, version 2011-06-15 of its query interface. The keys are stand-ins: requests that are signed with them are signed anew by
 * the `sigv4` attachment of the destination that they go to.
 */
export const awsSts: SyntheticMaker<"aws_sts"> = (spec, ask, body, tools) => {
  if (ask.method !== "POST" && ask.method !== "GET") return wrongMethod("GET, POST");
  const parameters = ask.method === "GET" ? Parameters.ofQuery(ask) : Parameters.ofBody(ask, body);
  const action = parameters?.get("Action") ?? null;
  if (parameters === null || action === null) return problem("MissingAction", "No action was named.", tools);
  if (action === "GetCallerIdentity") {
    const identity = `<Arn>${ARN}</Arn><UserId>POSTERN</UserId><Account>${ACCOUNT}</Account>`;
    return result(action, identity, tools);
  }
  const kind = ISSUING.get(action);
  if (kind === undefined) return problem("InvalidAction", "The edge answers no such action.", tools);
  const role = `<AssumedRoleUser><AssumedRoleId>POSTERN:guest</AssumedRoleId><Arn>${ARN}</Arn></AssumedRoleUser>`;
  return result(action, `${credentials(spec, tools)}${kind === "role" ? role : ""}`, tools);
};

/** Nobody's: real account ids have no run of twelve zeros. */
const ACCOUNT = "000000000000";
const ARN = `arn:aws:sts::${ACCOUNT}:assumed-role/postern/guest`;

function credentials(spec: Spec, { wallMs }: SyntheticTools): string {
  const expiration = `${new Date(wallMs() + spec.expiresInSeconds * 1000).toISOString().slice(0, 19)}Z`;
  return (
    `<Credentials><AccessKeyId>${spec.accessKeyId}</AccessKeyId><SecretAccessKey>${spec.secretAccessKey}</SecretAccessKey>` +
    `<SessionToken>${spec.sessionToken}</SessionToken><Expiration>${expiration}</Expiration></Credentials>`
  );
}

const NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/";

function result(action: string, inner: string, { newId }: SyntheticTools): SyntheticAnswer {
  return textAnswer(
    200,
    "text/xml",
    `<${action}Response xmlns="${NAMESPACE}"><${action}Result>${inner}</${action}Result>` +
      `<ResponseMetadata><RequestId>${newId()}</RequestId></ResponseMetadata></${action}Response>`,
  );
}

function problem(code: string, message: string, { newId }: SyntheticTools): SyntheticAnswer {
  return textAnswer(
    400,
    "text/xml",
    `<ErrorResponse xmlns="${NAMESPACE}"><Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error>` +
      `<RequestId>${newId()}</RequestId></ErrorResponse>`,
  );
}
