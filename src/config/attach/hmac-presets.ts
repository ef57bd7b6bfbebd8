/** Schemes that are known by name, as a config would write them. */
export const PRESETS = {
  /** `X-Hub-Signature-256` of GitHub. */
  github: { sign: ["{body}"], headers: { "X-Hub-Signature-256": "sha256={signature}" } },
  /** Version 0 of Slack. */
  slack: {
    sign: ["v0", "{timestamp}", "{body}"],
    separator: ":",
    headers: { "X-Slack-Request-Timestamp": "{timestamp}", "X-Slack-Signature": "v0={signature}" },
  },
  /** Standard Webhooks 1.0: the key is base64 behind `whsec_`. */
  standard_webhooks: {
    key_encoding: "base64",
    key_prefix: "whsec_",
    sign: ["msg_{nonce}", "{timestamp}", "{body}"],
    separator: ".",
    signature_encoding: "base64",
    headers: {
      "webhook-id": "msg_{nonce}",
      "webhook-timestamp": "{timestamp}",
      "webhook-signature": "v1,{signature}",
    },
  },
  /** `Stripe-Signature`, version 1. */
  stripe: {
    sign: ["{timestamp}", "{body}"],
    separator: ".",
    headers: { "Stripe-Signature": "t={timestamp},v1={signature}" },
  },
} as const satisfies Record<string, Preset>;

interface Preset {
  readonly key_encoding?: "text" | "hex" | "base64";
  readonly key_prefix?: string;
  readonly sign: readonly string[];
  readonly separator?: string;
  readonly signature_encoding?: "hex" | "base64";
  readonly headers: Readonly<Record<string, string>>;
}
