import type { PosternConfig } from "../../config/config.ts";
import { type Loaded, loadConfig } from "../../config/load.ts";
import { systemRoots } from "../system-roots.ts";
import type { Message, ReadOrder, Settings } from "./messages.ts";
import { pagesOf } from "./rule-pages.ts";

/** The reading process itself, which `reader.ts` starts: reads one config, tells what became of it, and ends. */

const { path, verify, roots } = JSON.parse(process.argv[2] ?? "") as ReadOrder;
// The compiler of the policy is loaded only where it is asked for its opinion.
const loaded = loadConfig(path, verify ? (await import("../policy-findings.ts")).policyFindings : undefined);
if (loaded.ok) for (const page of pagesOf(loaded.config.destinations)) tell({ kind: "page", page });
// Without the channel nothing keeps the process.
tell({ kind: "end", loaded: withoutRules(loaded), systemRoots: roots ? systemRoots() : [] }, () =>
  process.disconnect?.(),
);

function tell(message: Message, whenWritten?: () => void): void {
  if (process.send === undefined) throw new Error("started by hand: run `postern check` instead");
  process.send(message, (error: Error | null) => {
    // Whoever asked is gone: there is nobody to tell, not even of that.
    if (error !== null) process.exit(1);
    whenWritten?.();
  });
}

function withoutRules(whole: Loaded<PosternConfig>): Loaded<Settings> {
  if (!whole.ok) return whole;
  const { destinations: _, ...settings } = whole.config;
  return { ...whole, config: settings };
}
